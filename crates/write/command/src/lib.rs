//! Owns the command role: validates, authorises at the room's head, assigns seq and id, appends.
//! Must not contain: a write to any store or read model, or anything that acknowledges before the
//! log has.
#![warn(missing_docs)]

mod append;
mod create_room;
mod decide;
mod import;
mod keys;
mod prepare;
mod room_state;
mod sequencer;
mod service;
mod wish;

pub use import::Importer;
pub use keys::KeyFeeder;
pub use service::{CommandConfig, CommandService, Deps};
