//! Owns whole servers in virtual time: real roles, real log, real clients; time, chance, disk, bus
//! and sockets from a seed.
//! Must not contain: a rule of the product, or a role that stands in for a real one.
//!
//! [`run`] lets people use two instances on one log while the power goes, syncs fail, the disk
//! fills, inboxes lose frames and the clock jumps, and judges all they saw. A seed decides
//! everything; the same seed gives the same history.
//!
//! In every fourth seed the log forgets: months pass while the machine is off, the read models are
//! the embedded ones on files, and the forgetting is cut short as everything else is.
#![warn(missing_docs)]

mod clerk;
mod files;
mod forget;
mod machine;
mod models;
mod net;
mod run;
mod server;
mod trouble;

pub use forget::Forgotten;
pub use run::{Outcome, forgets, run};
pub use trouble::Happened;
