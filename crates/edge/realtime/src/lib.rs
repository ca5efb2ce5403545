//! Owns WebSocket connections: from the upgrade to the last frame, and who gets which event.
//! Must not contain: decisions on commands, writes to any store, or a browser's other requests.
#![warn(missing_docs)]

mod config;
mod connection;
mod deps;
pub mod framing;
mod hub;
mod membership;
mod presence;
mod registry;
mod resume;
mod role;
mod signals;
mod state;
mod stats;
mod sweep;
mod upgrade;
mod words;

pub use config::{DoorLimits, RealtimeConfig, ResumeLimits};
pub use deps::Deps;
pub use role::{Leaving, Realtime};
pub use stats::{Stats, StatsSnapshot};
