//! Owns fan-out: from the log to the inboxes of the instances that hold a room's online members.
//! Must not contain: connections, per-user publishes, or a write to any store.
#![warn(missing_docs)]

mod presence;
mod routing;
mod run;
mod stats;

pub use run::{Deps, FanOut, FanOutConfig};
pub use stats::{FanOutStats, StatsSnapshot};
