//! Owns what lets the log forget: the snapshot of the read models, and the round that makes it.
//! Must not contain: a role, a setting, or when a round is made.
//!
//! The snapshot is a second copy of the read models, folded from the log apart from the first. A
//! round brings it up to them, compares both, and lets the log forget what is old and covered
//! ([`Retention`]). Where the log begins after its first record, read models begin with the
//! snapshot ([`stores_for`]).
#![warn(missing_docs)]

mod fold;
mod pace;
mod round;
mod sealed_file;
mod snapshot;
mod start;

pub use fold::{P0, end, fold, judge, run, settle, start};
pub use pace::Pace;
pub use round::Retention;
pub use sealed_file::{hex, read as read_sealed, write as write_sealed};
pub use snapshot::{Behind, Held, Manifest, Snapshot, dump_name, is_stopped};
pub use start::{open_stores, stores_for};
