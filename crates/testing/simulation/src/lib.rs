//! Owns whole servers in virtual time: real roles, real log, real clients; time, chance, disk, bus
//! and sockets from a seed.
//! Must not contain: a rule of the product, or a role that stands in for a real one.
//!
//! [`run`] lets people use two instances on one log while the power goes, syncs fail, the disk
//! fills, inboxes lose frames and the clock jumps, and judges all they saw. A seed decides
//! everything; the same seed gives the same history.
#![warn(missing_docs)]

mod machine;
mod net;
mod run;
mod server;
mod trouble;

pub use run::{Outcome, run};
pub use trouble::Happened;
