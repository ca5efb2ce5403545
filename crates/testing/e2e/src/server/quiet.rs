//! Tests that measure time or memory run alone; the others may run beside each other.

use std::fs::File;

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

/// Held while a test runs; across processes too, since some runners give each test its own.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "the lock ends with the file")] File);

/// Waits until no other test runs, and keeps them out.
///
/// # Errors
/// The lock's file cannot be used.
pub async fn alone() -> Result<Turn> {
    take(FlockOperation::LockExclusive).await
}

/// Waits until no test runs that must be alone.
///
/// # Errors
/// The lock's file cannot be used.
pub async fn beside_others() -> Result<Turn> {
    take(FlockOperation::LockShared).await
}

async fn take(operation: FlockOperation) -> Result<Turn> {
    let own = std::env::current_exe().context("finding this executable")?;
    let path = own.with_file_name("klatch-e2e.lock");
    let lock = move || {
        let file = File::options().create(true).append(true).open(&path)?;
        flock(&file, operation)?;
        Ok::<_, std::io::Error>(file)
    };
    let file = tokio::task::spawn_blocking(lock).await?.context("the lock of the tests")?;
    Ok(Turn(file))
}
