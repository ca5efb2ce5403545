//! Many people at once, at random: sending, retrying, editing, reading, coming, going, falling off.

mod act;
mod faults;
mod town;

pub use act::Tally;
pub use faults::{Faults, Kills};
pub use town::{Plan, Ran, Town};
