//! The memory of senders' own keys, so that a repeated send creates nothing.
//!
//! A key is looked up in what this instance appended since the index last moved, then in the index
//! on disk, which follows the log. Both are asked in this order at the moment of the decision, so
//! that a key on its way from one to the other is always in at least one.
//!
//! How old a key is goes by the time the memory has been at work since, as a steady clock measures
//! it: the machine's clock may be set forward by days between a send and its repetition, which must
//! be known all the same. Time in which no server runs makes no key older.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use klatch_domain::event::{Change, Event};
use klatch_domain::{Clock, Rejection, RoomId, Timestamp};
use klatch_ports::api::commands::Sent;
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::key_index::{KeyEntry, KeyIndex, Remembered};
use klatch_ports::log::{Key, Kind, LogReader, Record};
use klatch_ports::messages::Applied;
use klatch_ports::{ErrorKind, Offset, Partition, PortError, PortResult, Position, StreamId};
use klatch_protocol::event::decode;
use klatch_protocol::sealed::Place;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::service::Deps;

/// Records the index takes in at once.
const FEED_BATCH: usize = 2_000;
/// How long the index waits for company before it takes in a few records.
const FEED_LINGER: Duration = Duration::from_millis(200);

/// A key that became an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    partition: Partition,
    offset: Offset,
    /// In the memory's own time.
    at: Timestamp,
}

/// Keys that became events.
pub(crate) struct KeyMemory {
    index: Arc<dyn KeyIndex>,
    reader: Arc<dyn LogReader>,
    clock: Arc<dyn Clock>,
    /// How long a key is remembered, in milliseconds.
    remembered: u64,
    time: Time,
    recent: Mutex<Recent>,
    /// Held while the index takes in records: one feeder at a time.
    feeding: tokio::sync::Mutex<()>,
}

/// The index' own time: goes on from where its last life left it.
struct Time {
    from: Timestamp,
    since: Instant,
}

impl Time {
    fn going_on(from: Timestamp) -> Self {
        Self { from, since: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.from.0.saturating_add(passed))
    }
}

#[derive(Default)]
struct Recent {
    offsets: HashMap<u128, Offset>,
    order: VecDeque<(Offset, u128)>,
}

impl KeyMemory {
    pub(crate) fn new(
        index: Arc<dyn KeyIndex>,
        reader: Arc<dyn LogReader>,
        clock: Arc<dyn Clock>,
        remembered: Duration,
    ) -> Self {
        let (recent, feeding) = (Mutex::default(), tokio::sync::Mutex::default());
        let remembered = u64::try_from(remembered.as_millis()).unwrap_or(u64::MAX);
        let time = Time::going_on(index.time());
        Self { index, reader, clock, remembered, time, recent, feeding }
    }

    /// Brings the index at least to `offset`: what another instance appended up to there is known
    /// afterwards. Costs nothing when it is there already.
    pub(crate) async fn reach(&self, partition: Partition, offset: Offset) -> PortResult<()> {
        let applied = self.index.applied(partition)?;
        if applied.epoch == self.reader.epoch() && applied.offset >= offset {
            return Ok(());
        }
        self.feed(partition).await
    }

    /// The event a key of `room` became, as far as this instance knows.
    pub(crate) fn look_up(&self, room: RoomId, key: u128) -> PortResult<Option<Known>> {
        let partition = self.reader.partition_of(StreamId::Messages, Key(room.bits()));
        let recent = self.recent.lock().offsets.get(&key).copied();
        let found = match recent {
            Some(offset) => Some(Remembered { offset, at: self.time.now() }),
            None => self.index.lookup(partition, key)?,
        };
        Ok(found.map(|Remembered { offset, at }| Known { partition, offset, at }))
    }

    /// Remembers a key that has just become durable, until the index has it.
    pub(crate) fn remember(&self, key: u128, offset: Offset) {
        let mut recent = self.recent.lock();
        recent.offsets.insert(key, offset);
        recent.order.push_back((offset, key));
    }

    /// Takes in records until none are left for now.
    async fn feed(&self, partition: Partition) -> PortResult<()> {
        let _feeding = self.feeding.lock().await;
        let reader = &self.reader;
        let applied = self.index.applied(partition)?;
        let epoch = reader.epoch();
        // The index of another life of the log says nothing about this one.
        let mut at = if applied.epoch == epoch { applied.offset } else { Offset::ZERO };
        if at == Offset::ZERO {
            at = self.horizon(partition).await?;
        }
        // What was forgotten is older than any key that counts.
        at = at.max(reader.start(StreamId::Messages, partition).await?);
        if at > applied.offset {
            // So that it is not looked for again until something follows.
            self.index.commit(partition, Applied { epoch, offset: at }, self.time.now(), &[])?;
        }
        loop {
            let batch = reader.read(StreamId::Messages, partition, at, FEED_BATCH).await?;
            if batch.through == at {
                return Ok(());
            }
            at = batch.through;
            let entries: Vec<KeyEntry> = batch.records.iter().filter_map(entry).collect();
            let applied = Applied { epoch, offset: at };
            self.index.commit(partition, applied, self.time.now(), &entries)?;
            self.forget_through(at);
        }
    }

    /// Where an index that knows nothing begins: what was appended before this offset is twice as
    /// old as keys are remembered. Here the machine's clock must do, and what the log wrote down of
    /// it: the earlier of the two, so that a clock that is ahead since the last record hides none.
    async fn horizon(&self, partition: Partition) -> PortResult<Offset> {
        let (stream, reader) = (StreamId::Messages, &self.reader);
        let end = reader.end(stream, partition).await?;
        let few = Offset(end.0.saturating_sub(FEED_BATCH as u64));
        let few = few.max(reader.start(stream, partition).await?);
        let newest = reader.read(stream, partition, few, FEED_BATCH).await?;
        let newest = newest.records.last().map(|record| record.appended_at);
        let now = self.clock.now();
        let now = newest.map_or(now, |newest| newest.min(now));
        let time = now.0.saturating_sub(self.remembered.saturating_mul(2));
        reader.at_time(stream, partition, Timestamp(time)).await
    }

    fn forget_through(&self, offset: Offset) {
        let mut recent = self.recent.lock();
        while recent.order.front().is_some_and(|(first, _)| *first <= offset) {
            if let Some((_, key)) = recent.order.pop_front() {
                recent.offsets.remove(&key);
            }
        }
    }

    /// The answer of the first send with a key, if this one asks for the same.
    pub(crate) async fn repeat(
        &self,
        known: Known,
        request_hash: [u8; 16],
        deps: &Deps,
    ) -> ServiceResult<Sent> {
        let gone = || PortError::new(ErrorKind::Corrupt, "log", "repeat");
        let record = self.reader.record(StreamId::Messages, known.partition, known.offset).await?;
        let Some(record) = record else {
            let start = self.reader.start(StreamId::Messages, known.partition).await?;
            // The log has forgotten it, so its key is older than keys are remembered.
            return Err(if known.offset <= start {
                Rejection::IdempotencyMismatch.into()
            } else {
                gone().into()
            });
        };
        if self.time.now().ms_since(known.at) > self.remembered {
            // The bucket outlives the promise; a key this old is a client's mistake.
            return Err(Rejection::IdempotencyMismatch.into());
        }
        let event = decode(record.body).map_err(|error| gone().because(error))?;
        let Event::Timeline(event) = event else { return Err(gone().into()) };
        let Change::MessageSent(sent) = &event.change else { return Err(gone().into()) };
        let place = Place::Timeline(event.room, event.seq);
        let body = deps.key_ring.open_body(place, &sent.body).await?;
        if body.is_none_or(|body| body.request_hash != request_hash) {
            return Err(ServiceError::Rejected(Rejection::IdempotencyMismatch));
        }
        Ok(Sent {
            message: sent.id,
            room: event.room,
            seq: event.seq,
            ordinal: sent.ordinal,
            at: event.at,
            position: Position {
                stream: StreamId::Messages,
                partition: known.partition,
                epoch: self.reader.epoch(),
                offset: known.offset,
            },
            replayed: true,
        })
    }
}

/// Brings the index on disk up to the log, and keeps it there.
pub struct KeyFeeder(Arc<KeyMemory>);

impl std::fmt::Debug for KeyFeeder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFeeder")
    }
}

impl KeyFeeder {
    pub(crate) fn new(memory: Arc<KeyMemory>) -> Self {
        Self(memory)
    }

    /// Takes in everything the log holds now. Until this has returned no command may be decided.
    ///
    /// # Errors
    /// As the log or the index reports.
    pub async fn catch_up(&self) -> PortResult<()> {
        for partition in self.partitions() {
            self.0.feed(partition).await?;
        }
        Ok(())
    }

    /// Follows the log until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            for partition in self.partitions() {
                if let Err(error) = self.0.feed(partition).await {
                    tracing::warn!(%error, "the key index could not follow the log");
                }
            }
            let horizon = Timestamp(self.0.time.now().0.saturating_sub(self.0.remembered));
            if let Err(error) = self.0.index.forget_before(horizon) {
                tracing::warn!(%error, "the key index could not forget old keys");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(FEED_LINGER) => {}
            }
        }
    }

    fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.0.reader.partitions(StreamId::Messages)).map(Partition)
    }
}

fn entry(record: &Record) -> Option<KeyEntry> {
    if record.kind != Kind::Send {
        return None;
    }
    // A record that does not decode is the message-writer's to report.
    let Ok(Event::Timeline(event)) = decode(record.body.clone()) else { return None };
    let Change::MessageSent(sent) = event.change else { return None };
    sent.key.map(|key| KeyEntry { key, offset: record.offset })
}
