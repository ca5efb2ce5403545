//! Counts of what the log did, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the buckets in which sync times are counted, in microseconds.
pub const SYNC_BUCKETS_US: [u64; 11] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// What the log did since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Appends that became durable.
    pub appends: u64,
    /// Records that became durable.
    pub records: u64,
    /// Bytes written for them, headers and padding included.
    pub bytes: u64,
    /// Appends refused because another writer was first.
    pub conflicts: u64,
    /// Appends refused because the queue or the disk was full.
    pub refused: u64,
    /// Syncs of records; `records / syncs` is the size of a batch.
    pub syncs: u64,
    /// Time spent in those syncs, in microseconds.
    pub sync_us: u64,
    /// How many syncs took no longer than [`SYNC_BUCKETS_US`] and longer than the bucket before;
    /// the last count is of all that took longer.
    pub sync_buckets: [u64; SYNC_BUCKETS_US.len() + 1],
    /// Records in the largest batch.
    pub batch_records_max: u64,
    /// Bytes that wait to become durable now.
    pub queue_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Stats {
    appends: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    conflicts: AtomicU64,
    refused: AtomicU64,
    syncs: AtomicU64,
    sync_us: AtomicU64,
    sync_buckets: [AtomicU64; SYNC_BUCKETS_US.len() + 1],
    batch_records_max: AtomicU64,
}

impl Stats {
    pub(super) fn synced(&self, appends: usize, records: u32, bytes: usize, took: Duration) {
        self.appends.fetch_add(appends as u64, Relaxed);
        self.records.fetch_add(u64::from(records), Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.batch_records_max.fetch_max(u64::from(records), Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Relaxed);
        self.sync_us.fetch_add(us, Relaxed);
        let bucket = SYNC_BUCKETS_US.partition_point(|end| *end < us);
        if let Some(count) = self.sync_buckets.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn conflicts(&self, count: usize) {
        self.conflicts.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn refused(&self, count: usize) {
        self.refused.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn snapshot(&self, queue_bytes: usize) -> LogStats {
        LogStats {
            appends: self.appends.load(Relaxed),
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            conflicts: self.conflicts.load(Relaxed),
            refused: self.refused.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            sync_us: self.sync_us.load(Relaxed),
            sync_buckets: std::array::from_fn(|index| {
                self.sync_buckets.get(index).map_or(0, |count| count.load(Relaxed))
            }),
            batch_records_max: self.batch_records_max.load(Relaxed),
            queue_bytes: queue_bytes as u64,
        }
    }
}
