//! Owns the end-to-end proof: real server processes, and clients that record what they do and see.
//! Must not contain: anything a server is made of; only what is told on its public surfaces counts.
//!
//! [`server`] starts, kills and restarts the binary under test. [`rest`] and [`socket`] speak to
//! it like any client. [`client`] does so under a recorder, and [`load`] lets many of these loose;
//! what they recorded is judged by [`verdict`]. These come from `klatch-soak`, whose command a user
//! runs. [`ubuntu_irc`] brings real conversations into import lines.
#![warn(missing_docs)]

pub mod hostile;
pub mod server;
pub mod token;
pub mod tunnel;
pub mod ubuntu_irc;

pub use klatch_soak::{client, dice, load, rest, socket, verdict};
