//! How commands on the same machine reach a running server: HTTP over a socket in the data
//! directory that only the server's own user can open. Whoever can, can read the data anyway.

mod client;
mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use client::{Running, find};
pub(crate) use server::{Control, listen};

/// A line of an answer: any number of steps, then how it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Line {
    /// So much of so much is done.
    Step(u64, u64),
    /// It is done.
    Done(Value),
    /// It was not done, and why.
    Failed(String),
}

/// Where the socket of the server on `dir` is.
fn path(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}
