//! What all clients of a run share: where the server is, and where they write what they saw.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use klatch_checker::Recorder;

use crate::stays::Stays;

/// Surprises kept; the first ones matter.
const SURPRISES_MAX: usize = 50;

/// What all clients of a run share.
#[derive(Debug)]
pub struct Stage {
    /// Where the server is.
    pub address: SocketAddr,
    /// Who was in which room, by all that anyone was told.
    pub stays: Stays,
    /// How reconnecting clients were answered.
    pub tiers: Tiers,
    recorder: Recorder,
    connections: AtomicU64,
    surprises: Mutex<Vec<String>>,
}

/// How often each answer to a `resume` came.
#[derive(Debug, Default)]
pub struct Tiers {
    /// Nothing missed.
    pub replay: AtomicU64,
    /// Much missed: told by rooms.
    pub delta: AtomicU64,
    /// Too much missed, or nothing to go by.
    pub snapshot: AtomicU64,
    /// The positions meant nothing.
    pub invalid: AtomicU64,
    /// Events that came by replay.
    pub replayed: AtomicU64,
}

/// The counts at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierCounts {
    /// Resumes answered by replay.
    pub replay: u64,
    /// By delta.
    pub delta: u64,
    /// By snapshot.
    pub snapshot: u64,
    /// By a refusal of the positions.
    pub invalid: u64,
}

impl Tiers {
    /// The counts now.
    pub fn counts(&self) -> TierCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TierCounts {
            replay: read(&self.replay),
            delta: read(&self.delta),
            snapshot: read(&self.snapshot),
            invalid: read(&self.invalid),
        }
    }
}

impl Stage {
    /// A stage before a server.
    pub fn new(address: SocketAddr) -> Self {
        let begun = Instant::now();
        let clock = move || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Self {
            address,
            stays: Stays::default(),
            tiers: Tiers::default(),
            recorder: Recorder::new(clock),
            connections: AtomicU64::new(0),
            surprises: Mutex::default(),
        }
    }

    /// The history under way.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// A number for a connection.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes something that must not happen and that no invariant speaks of.
    pub fn surprise(&self, text: impl Into<String>) {
        let mut surprises = self.surprises.lock().unwrap_or_else(PoisonError::into_inner);
        if surprises.len() < SURPRISES_MAX {
            surprises.push(text.into());
        }
    }

    /// What must not have happened.
    pub fn surprises(&self) -> Vec<String> {
        self.surprises.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
