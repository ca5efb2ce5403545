//! The event log: one vector of records per partition, offsets counted from 1.

mod consumer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::{Clock, Timestamp};
use klatch_ports::log::{
    Append, AppendError, Appended, Batch, Completion, Consumer, EventAppender, EventConsumer,
    Expected, Key, LogReader, NewRecord, Record, is_consumer_name,
};
use klatch_ports::{
    Epoch, ErrorKind, Offset, Partition, PortError, PortResult, Position, StreamId,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use consumer::{MemoryConsumer, Progress};

/// A log that lives as long as this object; clones are handles to the same log.
///
/// Appends take effect, and their completions run, on the thread that submits. Nothing is forgotten
/// unless [`MemoryLog::forget_before`] is called.
#[derive(Clone, Debug)]
pub struct MemoryLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epoch: Epoch,
    partitions: u16,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Counts appends, so that waiting readers look again.
    moved: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    partitions: Vec<PartitionLog>,
    consumers: HashMap<(String, StreamId, Partition), Arc<Mutex<Progress>>>,
}

/// Records of every stream in one order; `records[n]` has the offset `n + 1`.
#[derive(Debug, Default)]
struct PartitionLog {
    records: Vec<Record>,
    heads: HashMap<(StreamId, Key), Offset>,
    /// Records up to here, but those of SYSTEM, are not shown any more.
    forgotten: Offset,
}

impl MemoryLog {
    /// An empty log. Every stream has `partitions` (at least 1); a key lies in the same one in all.
    pub fn new(epoch: Epoch, partitions: u16, clock: Arc<dyn Clock>) -> Self {
        let partitions = partitions.max(1);
        let logs = (0..partitions).map(|_| PartitionLog::default()).collect();
        let state = State { partitions: logs, consumers: HashMap::new() };
        let moved = watch::Sender::new(0);
        Self(Arc::new(Shared { epoch, partitions, clock, state: Mutex::new(state), moved }))
    }

    /// Forgets every record before `offset`, for tests of those who read: nothing asks whether it
    /// may, and the memory is not given back.
    ///
    /// # Errors
    /// There is no such partition.
    pub fn forget_before(&self, partition: Partition, offset: Offset) -> PortResult<()> {
        let mut state = self.0.state.lock();
        let log = state.partition(partition, "forget")?;
        let last = Offset(offset.0.saturating_sub(1)).min(log.end());
        log.forgotten = log.forgotten.max(last);
        Ok(())
    }

    fn try_append(&self, append: &Append) -> Result<Appended, AppendError> {
        if !append.is_within_limits() {
            return Err(AppendError::Port(misconfigured("append", "the append exceeds a limit")));
        }
        let partition = self.partition_of(append.stream, append.key);
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let log = state.partition(partition, "append").map_err(AppendError::Port)?;
        let head = log.head(append.stream, append.key);
        if matches!(append.expected, Expected::Head(expected) if expected != head) {
            return Err(AppendError::Conflict { actual: head });
        }
        let first = log.end();
        let appended_at = log.records.last().map_or(now, |last| last.appended_at.max(now));
        for record in &append.records {
            log.push(append, record, appended_at);
        }
        let at = |offset| Position {
            stream: append.stream,
            partition,
            epoch: self.0.epoch,
            offset: Offset(offset),
        };
        Ok(Appended { first: at(first.0 + 1), last: at(log.end().0) })
    }

    /// Looks at one partition under the lock.
    fn with<T>(
        &self,
        partition: Partition,
        operation: &'static str,
        look: impl FnOnce(&PartitionLog) -> T,
    ) -> PortResult<T> {
        self.0.state.lock().partition(partition, operation).map(|log| look(log))
    }
}

impl State {
    fn partition(
        &mut self,
        partition: Partition,
        operation: &'static str,
    ) -> PortResult<&mut PartitionLog> {
        let found = self.partitions.get_mut(usize::from(partition.0));
        found.ok_or_else(|| misconfigured(operation, "there is no such partition"))
    }
}

impl PartitionLog {
    fn end(&self) -> Offset {
        Offset(self.records.len() as u64)
    }

    pub(super) fn start(&self, stream: StreamId) -> Offset {
        if stream == StreamId::System { Offset::ZERO } else { self.forgotten }
    }

    fn is_there(&self, home: StreamId, offset: Offset) -> bool {
        offset > self.start(home)
    }

    fn head(&self, stream: StreamId, key: Key) -> Option<Offset> {
        self.heads.get(&(stream, key)).copied().filter(|head| self.is_there(stream, *head))
    }

    fn push(&mut self, append: &Append, new: &NewRecord, appended_at: Timestamp) {
        let offset = Offset(self.end().0 + 1);
        self.heads.insert((append.stream, append.key), offset);
        self.records.push(Record {
            offset,
            home: append.stream,
            key: append.key,
            kind: new.kind,
            appended_at,
            body: new.body.clone(),
        });
    }

    fn read(&self, stream: StreamId, after: Offset, limit: usize) -> Batch {
        let mut batch = Batch { records: Vec::new(), through: after };
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        for record in self.records.iter().skip(skip) {
            if batch.records.len() >= limit {
                break;
            }
            batch.through = record.offset;
            if record.kind.is_shown_in(record.home, stream) {
                batch.records.push(record.clone());
            }
        }
        batch
    }
}

#[async_trait]
impl EventAppender for MemoryLog {
    fn submit(&self, append: Append, done: Completion) {
        let outcome = self.try_append(&append);
        if outcome.is_ok() {
            self.0.moved.send_modify(|count| *count += 1);
        }
        done(outcome);
    }
}

#[async_trait]
impl LogReader for MemoryLog {
    fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    fn partitions(&self, _stream: StreamId) -> u16 {
        self.0.partitions
    }

    fn partition_of(&self, _stream: StreamId, key: Key) -> Partition {
        // Ids are random in their low bits; the remainder is below the count, so it fits.
        let partition = u16::try_from(key.0 % u128::from(self.0.partitions));
        Partition(partition.unwrap_or_default())
    }

    async fn end(&self, _stream: StreamId, partition: Partition) -> PortResult<Offset> {
        self.with(partition, "end", PartitionLog::end)
    }

    async fn start(&self, stream: StreamId, partition: Partition) -> PortResult<Offset> {
        self.with(partition, "start", |log| log.start(stream))
    }

    async fn read(
        &self,
        stream: StreamId,
        partition: Partition,
        after: Offset,
        limit: usize,
    ) -> PortResult<Batch> {
        self.with(partition, "read", |log| {
            if after < log.start(stream) {
                return Err(PortError::new(ErrorKind::Forgotten, "memory log", "read"));
            }
            Ok(log.read(stream, after, limit))
        })?
    }

    async fn wait(
        &self,
        stream: StreamId,
        partition: Partition,
        after: Offset,
        most: Duration,
    ) -> PortResult<()> {
        let mut moved = self.0.moved.subscribe();
        let arrived = async {
            while self.end(stream, partition).await? <= after {
                // The sender lives in `self`, so this ends only by a change.
                let _ = moved.changed().await;
            }
            Ok(())
        };
        tokio::time::timeout(most, arrived).await.unwrap_or(Ok(()))
    }

    async fn at_time(
        &self,
        _stream: StreamId,
        partition: Partition,
        time: Timestamp,
    ) -> PortResult<Offset> {
        self.with(partition, "at_time", |log| {
            let before = log.records.partition_point(|record| record.appended_at < time);
            Offset(before as u64).max(log.forgotten)
        })
    }

    async fn head(&self, stream: StreamId, key: Key) -> PortResult<Option<Offset>> {
        let partition = self.partition_of(stream, key);
        self.with(partition, "head", |log| log.head(stream, key))
    }

    async fn record(
        &self,
        stream: StreamId,
        partition: Partition,
        offset: Offset,
    ) -> PortResult<Option<Record>> {
        self.with(partition, "record", |log| {
            let index = usize::try_from(offset.0).ok()?.checked_sub(1)?;
            let record = log.records.get(index)?;
            let is_there = log.is_there(record.home, offset);
            (is_there && record.kind.is_shown_in(record.home, stream)).then(|| record.clone())
        })
    }
}

#[async_trait]
impl EventConsumer for MemoryLog {
    async fn open(
        &self,
        name: &str,
        stream: StreamId,
        partition: Partition,
        start: Offset,
    ) -> PortResult<Box<dyn Consumer>> {
        if !is_consumer_name(name) {
            return Err(misconfigured("open consumer", "this cannot name a consumer"));
        }
        let mut state = self.0.state.lock();
        let start = start.min(state.partition(partition, "open consumer")?.end());
        let progress = state
            .consumers
            .entry((name.to_owned(), stream, partition))
            .or_insert_with(|| Arc::new(Mutex::new(Progress::starting_at(start))));
        let holder = progress.lock().take_over();
        let progress = Arc::clone(progress);
        Ok(Box::new(MemoryConsumer { log: self.clone(), stream, partition, progress, holder }))
    }
}

fn misconfigured(operation: &'static str, why: &'static str) -> PortError {
    PortError::new(ErrorKind::Misconfigured, "memory log", operation).because(why)
}

fn closed(operation: &'static str) -> PortError {
    let why = "the consumer was opened again elsewhere";
    PortError::new(ErrorKind::Closed, "memory log", operation).because(why)
}
