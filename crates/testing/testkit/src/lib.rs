//! Owns what tests of many crates need: clocks and randomness that repeat, builders, faults.
//! Must not contain: an engine, a role, a test, or anything that production code uses.
#![warn(missing_docs)]

mod bus;
mod clock;
mod counted;
mod entropy;

pub use bus::{BusFaults, FlakyBus};
pub use clock::ManualClock;
pub use counted::{Counted, Tally};
pub use entropy::SeededEntropy;
