//! Power cuts: the code under test runs on files, everything it does to them is recorded, and a
//! disk is made as a power cut at some moment could have left it; see [`disk`] for what that
//! means. Then it is opened again, checked, goes on, and is cut again: also while it recovers.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod accounts;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod accounts_anew;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod directories;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod disk;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod erasures;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod keys;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod stores;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod trace;

/// What a test does to the disk.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[derive(Clone, Copy)]
struct Plan {
    seed: u64,
    cuts: usize,
    /// Lives of the process before each cut; in all but the last syncs fail.
    lives: usize,
}

/// Seeds from one on: so many, or as `KLATCH_SEEDS` says.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn seeds(from: u64, usual: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("KLATCH_SEEDS").ok().and_then(|number| number.parse().ok());
    from..from + wanted.unwrap_or(usual)
}
