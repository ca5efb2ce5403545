//! Owns the in-memory adapters of every port: for tests, and as the oracle for other adapters.
//! Must not contain: durability, business rules, or anything only another adapter needs.
#![warn(missing_docs)]

pub mod accounts;
pub mod bus;
pub mod erasures;
pub mod key_index;
pub mod keys;
pub mod kv;
pub mod log;
pub mod messages;
pub mod metadata;
mod progress;
pub mod whereabouts;
