//! Owns all reads: history, rooms, members and users, with cursors and read-your-writes.
//! Must not contain: a writer of any store, an engine, JSON or HTTP, or rules of its own.
//!
//! Everything is read from the read models, which trail the log a little; a caller that names the
//! position of its own write waits until they have it. Who may see what is asked of
//! [`klatch_domain::permission`] in one place.
#![warn(missing_docs)]

mod access;
mod catch_up;
mod circle;
mod config;
mod cursor;
mod directory;
mod history;
mod members;
mod missed;
mod names;
mod rooms;
mod service;
mod tail;
mod users;

pub use config::QueryConfig;
pub use directory::Directory;
pub use service::{Deps, Query};

/// Reads a text as a cursor and writes that cursor; `None` when it is none. For fuzzing: there is
/// one text per cursor.
pub fn cursor_read_and_written(text: &str) -> Option<String> {
    cursor::Cursor::decode(text).ok().map(|cursor| cursor.encode())
}

#[cfg(test)]
mod tests;
