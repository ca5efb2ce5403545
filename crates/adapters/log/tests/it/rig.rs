//! A log over a simulated disk, small enough that a few hundred records roll many segments.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use klatch_log::disk::Disk;
use klatch_log::disk::sim::SimDisk;
use klatch_log::{EmbeddedLog, LogConfig};
use klatch_ports::log::{Append, EventAppender, Expected, Key, Kind, LogReader, NewRecord, Record};
use klatch_ports::{Offset, Partition, PortError, PortResult, StreamId};
use klatch_testkit::{ManualClock, SeededEntropy};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use smallvec::smallvec;

/// Segments of a few batches, and times that a test can wait for.
pub(crate) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 16 * 1024,
        batch_bytes: 4 * 1024,
        tail_bytes: 8 * 1024,
        read_cache_bytes: 64 * 1024,
        fill_bytes_min: 4 * 1024,
        fill_bytes_max: 8 * 1024,
        reserve_bytes: 0,
        space_interval: Duration::from_millis(20),
        idle_mark: Duration::from_millis(5),
        consumer_save: Duration::from_millis(20),
        ..LogConfig::default()
    }
}

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    config: LogConfig,
    clock: &ManualClock,
) -> PortResult<Arc<EmbeddedLog>> {
    EmbeddedLog::open(disk, config, Arc::new(clock.clone()), &SeededEntropy::new(1))
}

pub(crate) fn open_sim(sim: &SimDisk) -> PortResult<Arc<EmbeddedLog>> {
    open(sim.disk(), small(), &ManualClock::default())
}

/// Everything that `stream` shows.
pub(crate) async fn all(log: &EmbeddedLog, stream: StreamId) -> Vec<Record> {
    all_after(log, stream, Offset::ZERO).await
}

/// Everything that `stream` shows after an offset.
pub(crate) async fn all_after(
    log: &EmbeddedLog,
    stream: StreamId,
    mut after: Offset,
) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let batch = log.read(stream, Partition(0), after, 100).await.expect("read");
        if batch.through == after {
            return records;
        }
        after = batch.through;
        records.extend(batch.records);
    }
}

/// Numbers from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(SmallRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.random_range(0..limit)
    }
}

/// One record of a room.
pub(crate) fn send(key: u128, expected: Expected, body: impl Into<Bytes>) -> Append {
    let record = NewRecord { kind: Kind::Send, body: body.into() };
    Append { stream: StreamId::Messages, key: Key(key), expected, records: smallvec![record] }
}

/// Appends `count` records to seven keys, each a batch of its own.
pub(crate) async fn fill(log: &EmbeddedLog, count: u64) {
    for n in 0..count {
        let body = format!("{n} {}", "x".repeat(usize::try_from(n * 37 % 400).unwrap()));
        log.append(send(u128::from(n % 7), Expected::Any, body)).await.expect("append");
    }
}

/// The error of what must not succeed.
pub(crate) fn refused<T>(outcome: PortResult<T>) -> PortError {
    match outcome {
        Ok(_) => panic!("this succeeded"),
        Err(error) => error,
    }
}

/// Names of the segments, oldest first.
pub(crate) fn segments(sim: &SimDisk) -> Vec<String> {
    let names = sim.names("log").into_iter().filter(|name| name.contains(".seg"));
    names.map(|name| format!("log/{name}")).collect()
}
