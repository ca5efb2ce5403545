//! Commands on a data directory, on real logs and stores.

mod models;
mod snapshot;
pub(crate) mod story;
