//! The command role on the in-memory adapters and the real workers.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod forgotten;
mod idempotency;
mod members;
#[cfg(test)]
mod model;
mod order;
mod rooms;
mod world;
