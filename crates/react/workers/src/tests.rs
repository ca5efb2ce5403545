//! The folds against random valid histories, and the workers on stores in memory.

mod folds;
mod story;
mod workers;
