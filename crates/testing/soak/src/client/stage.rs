//! What all clients of a run share: where the server is, and where they write what they saw.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use klatch_checker::{Recorder, Stays};

use crate::dial::Dial;

/// Surprises kept; the first ones matter.
const SURPRISES_MAX: usize = 50;

/// What all clients of a run share.
#[derive(Debug)]
pub struct Stage {
    /// How the server is reached.
    pub dial: Arc<dyn Dial>,
    /// The time of day by which tokens are made; the machine's when absent.
    pub token_time: Option<u64>,
    /// Who was in which room, by all that anyone was told.
    pub stays: Stays,
    /// How reconnecting clients were answered.
    pub tiers: Tiers,
    /// Where a history that breaks a promise is kept.
    pub keep_in: PathBuf,
    /// Whether servers forget: positions may then be too old to mean anything.
    pub forgets: bool,
    /// Grows when so much time has passed that no server remembers a key of before.
    pub months: Arc<AtomicU64>,
    recorder: Recorder,
    connections: AtomicU64,
    acknowledged: AtomicU64,
    frames: AtomicU64,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
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

impl TierCounts {
    /// These and others.
    pub fn add(&mut self, other: Self) {
        self.replay += other.replay;
        self.delta += other.delta;
        self.snapshot += other.snapshot;
        self.invalid += other.invalid;
    }
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
        Self::over(Arc::new(address), clock)
    }

    /// A stage before the server that `dial` reaches; `clock` gives nanoseconds that only grow.
    pub fn over(dial: Arc<dyn Dial>, clock: impl FnMut() -> u64 + Send + 'static) -> Self {
        Self {
            dial,
            token_time: None,
            stays: Stays::default(),
            tiers: Tiers::default(),
            keep_in: std::env::temp_dir(),
            forgets: false,
            months: Arc::default(),
            recorder: Recorder::new(clock),
            connections: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            surprises: Mutex::default(),
        }
    }

    /// The history under way.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Acknowledged sends and live events up to now.
    pub fn progress(&self) -> (u64, u64) {
        (self.acknowledged.load(Ordering::Relaxed), self.frames.load(Ordering::Relaxed))
    }

    /// What [`Stage::months`] is now.
    pub(crate) fn month(&self) -> u64 {
        self.months.load(Ordering::Relaxed)
    }

    /// A send was acknowledged.
    pub(super) fn count_acknowledged(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// A live event came.
    pub(super) fn count_frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
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
