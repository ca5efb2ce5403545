//! Owns the embedded adapters: everything a server of one machine needs, in its data directory.
//! Must not contain: business rules, bytes of the log's events, or another process to talk to.
#![warn(missing_docs)]

pub mod accounts;
mod broken;
mod engine;
pub mod erasures;
mod files;
pub mod key_index;
pub mod keys;
pub mod stores;

pub use klatch_log as log;
pub use klatch_log::disk;
