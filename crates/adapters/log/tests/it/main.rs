//! The embedded event log: the suites of its port, and what a disk can do to it.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod conformance;
mod copy;
mod damage;
mod faults;
mod forget_power;
mod oracle;
mod power;
mod retention;
mod rig;
