//! Owns what people tell of themselves while they are there: presence, custom status, typing.
//! Must not contain: connections, engines that keep anything, or who is sent what.
#![warn(missing_docs)]

mod bucket;
mod circle;
mod config;
mod service;
#[cfg(test)]
mod tests;
mod throttle;

pub use config::PresenceConfig;
pub use service::{Deps, PresenceService};
