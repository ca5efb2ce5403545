//! How far a loop has come, for metrics and for readiness.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use klatch_domain::Timestamp;
use klatch_ports::{Offset, Partition};

/// Counters of one loop; written by the loop, read by anyone at any time.
#[derive(Debug)]
pub struct Progress {
    name: &'static str,
    partition: Partition,
    through: AtomicU64,
    end: AtomicU64,
    records: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    dead_letters: AtomicU64,
    newest_appended_ms: AtomicU64,
    failing: AtomicBool,
}

/// What a loop had done at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressSnapshot {
    /// The worker's name.
    pub name: &'static str,
    /// The partition it reads.
    pub partition: Partition,
    /// Everything up to here is done.
    pub through: Offset,
    /// End of the log when it was last looked at.
    pub end: Offset,
    /// Records applied or reacted to since the start.
    pub records: u64,
    /// Batches since the start.
    pub batches: u64,
    /// Failed attempts since the start.
    pub failures: u64,
    /// Dead letters since the start.
    pub dead_letters: u64,
    /// When the log took in the newest record done; 0 before the first.
    pub newest_appended: Timestamp,
    /// Whether the last attempt failed: the loop is waiting to try again.
    pub failing: bool,
}

impl ProgressSnapshot {
    /// Offsets between what is done and the end of the log. An upper bound of the records to do:
    /// a stream need not show every offset.
    pub fn lag(&self) -> u64 {
        self.end.0.saturating_sub(self.through.0)
    }
}

impl Progress {
    pub(crate) fn new(name: &'static str, partition: Partition) -> Self {
        Self {
            name,
            partition,
            through: AtomicU64::new(0),
            end: AtomicU64::new(0),
            records: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            newest_appended_ms: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        }
    }

    /// The counters now. Each is right by itself; together they may be a batch apart.
    pub fn snapshot(&self) -> ProgressSnapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProgressSnapshot {
            name: self.name,
            partition: self.partition,
            through: Offset(load(&self.through)),
            end: Offset(load(&self.end)),
            records: load(&self.records),
            batches: load(&self.batches),
            failures: load(&self.failures),
            dead_letters: load(&self.dead_letters),
            newest_appended: Timestamp(load(&self.newest_appended_ms)),
            failing: self.failing.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn looked_at(&self, through: Offset, end: Offset) {
        self.through.store(through.0, Ordering::Relaxed);
        self.end.store(end.0.max(through.0), Ordering::Relaxed);
    }

    pub(crate) fn did(&self, records: usize, newest: Option<Timestamp>) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        if let Some(newest) = newest {
            self.newest_appended_ms.store(newest.0, Ordering::Relaxed);
        }
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn buried(&self) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
        self.failing.store(false, Ordering::Relaxed);
    }
}
