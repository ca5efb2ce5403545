//! The log as the port has it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::Timestamp;
use klatch_ports::log::{
    Append, AppendError, Batch, Completion, Consumer, EventAppender, EventConsumer, Key, LogReader,
    Record, is_consumer_name,
};
use klatch_ports::{Epoch, ErrorKind, Offset, Partition, PortError, PortResult, StreamId};
use tokio::task::spawn_blocking;

use super::error::{io, misconfigured, port};
use super::heads::{Memory, head_key};
use super::queue::{Pending, Refusal};
use super::{EmbeddedLog, Shared, consumer};

impl Shared {
    /// Waits until there is a record after `after`, at most `most`.
    pub(super) async fn wait(&self, after: u64, most: Duration) {
        if self.end() > after {
            return;
        }
        let mut moved = self.moved.subscribe();
        let arrived = async {
            while self.end() <= after {
                // The sender lives in `self`.
                let _ = moved.changed().await;
            }
        };
        let _ = tokio::time::timeout(most, arrived).await;
    }

    pub(super) async fn read(
        self: &Arc<Self>,
        stream: StreamId,
        after: Offset,
        limit: usize,
    ) -> PortResult<Batch> {
        let end = self.end();
        if after.0 >= end || limit == 0 {
            return Ok(Batch { records: Vec::new(), through: after });
        }
        let is_there = after.0 + 1 >= self.segments.first();
        if is_there && let Some(batch) = self.tail.read(stream, (after.0, end), limit) {
            return Ok(batch);
        }
        self.blocking("read", move |shared| shared.read_from_disk(stream, (after.0, end), limit))
            .await
    }

    fn read_from_disk(
        &self,
        stream: StreamId,
        (after, end): (u64, u64),
        limit: usize,
    ) -> PortResult<Batch> {
        let read = self.reader.read(&self.segments, stream, (after, end), limit);
        match read {
            Err(error) if error.kind == ErrorKind::Forgotten && stream == StreamId::System => {
                self.kept.read(after, self.segments.first(), limit)
            }
            read => read,
        }
    }

    pub(super) async fn record(
        self: &Arc<Self>,
        stream: StreamId,
        offset: Offset,
    ) -> PortResult<Option<Record>> {
        if offset == Offset::ZERO || offset.0 > self.end() {
            return Ok(None);
        }
        let record = match self.tail.record(offset.0) {
            Some(record) if offset.0 >= self.segments.first() => Some(record),
            _ => {
                self.blocking("record", move |shared| {
                    let found = shared.reader.record(&shared.segments, offset.0)?;
                    found.map_or_else(|| shared.kept.record(offset.0), |found| Ok(Some(found)))
                })
                .await?
            }
        };
        Ok(record.filter(|record| record.kind.is_shown_in(record.home, stream)))
    }

    /// Works on the disk where that holds up no other task.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(&Arc<Self>) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        if self.stepped {
            return work(self);
        }
        let shared = Arc::clone(self);
        let gone = |error| port(ErrorKind::Unavailable, operation).because(error);
        spawn_blocking(move || work(&shared)).await.map_err(gone)?
    }
}

#[async_trait]
impl EventAppender for EmbeddedLog {
    fn submit(&self, append: Append, done: Completion) {
        let shared = &self.shared;
        if !append.is_within_limits() {
            let error = misconfigured("append", "the append exceeds a limit");
            return done(Err(AppendError::Port(error)));
        }
        if shared.space.is_refusing() {
            shared.stats.refused(1);
            return done(Err(AppendError::Port(port(ErrorKind::Full, "append"))));
        }
        let pending = Pending::new(append, done);
        if let Err(refusal) = shared.queue.push(pending, shared.config.queue_bytes) {
            let Refusal { pending, kind } = *refusal;
            shared.stats.refused(1);
            (pending.done)(Err(AppendError::Port(port(kind, "append"))));
        }
    }
}

fn check(partition: Partition, operation: &'static str) -> PortResult<()> {
    if partition == Partition(0) { Ok(()) } else { Err(no_partition(operation)) }
}

fn no_partition(operation: &'static str) -> PortError {
    misconfigured(operation, "there is no such partition")
}

#[async_trait]
impl LogReader for EmbeddedLog {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn partitions(&self, _stream: StreamId) -> u16 {
        1
    }

    fn partition_of(&self, _stream: StreamId, _key: Key) -> Partition {
        Partition(0)
    }

    async fn end(&self, _stream: StreamId, partition: Partition) -> PortResult<Offset> {
        check(partition, "end")?;
        Ok(Offset(self.shared.end()))
    }

    async fn start(&self, stream: StreamId, partition: Partition) -> PortResult<Offset> {
        check(partition, "start")?;
        Ok(Offset(self.shared.start(stream)))
    }

    async fn read(
        &self,
        stream: StreamId,
        partition: Partition,
        after: Offset,
        limit: usize,
    ) -> PortResult<Batch> {
        check(partition, "read")?;
        self.shared.read(stream, after, limit).await
    }

    async fn wait(
        &self,
        _stream: StreamId,
        partition: Partition,
        after: Offset,
        most: Duration,
    ) -> PortResult<()> {
        check(partition, "wait")?;
        self.shared.wait(after.0, most).await;
        Ok(())
    }

    async fn at_time(
        &self,
        _stream: StreamId,
        partition: Partition,
        time: Timestamp,
    ) -> PortResult<Offset> {
        check(partition, "at_time")?;
        let find =
            move |shared: &Arc<Shared>| shared.reader.at_time(&shared.segments, time, shared.end());
        self.shared.blocking("at_time", find).await.map(Offset)
    }

    async fn head(&self, stream: StreamId, key: Key) -> PortResult<Option<Offset>> {
        let key = head_key(stream, key);
        match self.shared.heads.in_memory(key) {
            // It may be kept although its segment is gone.
            Memory::Knows(None) if stream == StreamId::System => {}
            Memory::Knows(found) => return Ok(found.map(Offset)),
            Memory::CannotTell => {}
        }
        let find = move |shared: &Arc<Shared>| shared.head(key).map_err(io("head"));
        Ok(self.shared.blocking("head", find).await?.map(Offset))
    }

    async fn record(
        &self,
        stream: StreamId,
        partition: Partition,
        offset: Offset,
    ) -> PortResult<Option<Record>> {
        check(partition, "record")?;
        self.shared.record(stream, offset).await
    }
}

#[async_trait]
impl EventConsumer for EmbeddedLog {
    async fn open(
        &self,
        name: &str,
        stream: StreamId,
        partition: Partition,
        start: Offset,
    ) -> PortResult<Box<dyn Consumer>> {
        check(partition, "open consumer")?;
        if !is_consumer_name(name) {
            return Err(misconfigured("open consumer", "this cannot name a consumer"));
        }
        let name = name.to_owned();
        let open = move |shared: &Arc<Shared>| consumer::open(shared, &name, stream, start);
        let opened = self.shared.blocking("open consumer", open).await?;
        Ok(Box::new(opened))
    }
}
