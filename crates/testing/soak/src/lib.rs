//! Owns the soak: people on a real server that is killed, restarted and paused, and the verdict.
//! Must not contain: anything a server is made of; only what is told on its public surfaces counts.
//!
//! [`run`] is what `klatch soak` does. [`server`] starts, kills and restarts the process. [`rest`]
//! and [`socket`] speak to it like any client. [`client`] does so under a recorder, and [`load`]
//! lets many of these loose; what they recorded is judged by [`verdict`]. The end-to-end tests are
//! made of the same parts.
#![warn(missing_docs)]

pub mod client;
mod dial;
pub mod dice;
pub mod load;
mod report;
pub mod rest;
mod run;
pub mod secrets;
pub mod server;
pub mod socket;
pub mod token;
pub mod verdict;

pub use dial::Dial;
pub use report::SoakReport;
pub use run::{Say, Soak, run};
