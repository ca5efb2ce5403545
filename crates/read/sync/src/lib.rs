//! Owns what a user missed since positions of the log: how it is told, and the events.
//! Must not contain: a connection, a request, a writer of any store, or bytes of an answer.
//!
//! One core for everyone who comes back, by WebSocket or by REST. There are three tiers. *Replay*:
//! all that was missed, if it is not too much. *Delta*: each room in which something happened, with
//! its newest events. *Snapshot*: a window of the list of rooms. The cost follows what happened in
//! the user's rooms: which they are is asked of [`ActivityReader`], and the log is read only where
//! they spoke, from its end backwards.
#![warn(missing_docs)]

mod collect;
mod judge;
mod membership;
mod visible;
mod words;

use std::sync::Arc;
use std::time::Duration;

use klatch_domain::event::TimelineEvent;
use klatch_domain::room::RoomHead;
use klatch_domain::{Ordinal, RoomId, Seq, UserId};
use klatch_ports::activity::{ActivityReader, ChangedRoom};
use klatch_ports::log::LogReader;
use klatch_ports::messages::MessageReader;
use klatch_ports::metadata::MetadataReader;
use klatch_ports::{ErrorKind, Offset, PortResult, Position, StreamId};

pub use membership::{EventAt, changes_after, was_in};
pub use words::open;

use collect::Collection;

/// How much is told of what was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most events of the user's rooms in a replay; beyond it begins the delta.
    pub events: usize,
    /// Most bytes of events, as they lie on the log, in a replay or a delta.
    pub bytes: usize,
    /// Most records of the log that are read.
    pub records: u64,
    /// Most rooms in a delta; beyond it begins the snapshot.
    pub rooms: usize,
    /// Most events of one room in a delta.
    pub room_events: usize,
    /// Rooms in a snapshot.
    pub window: usize,
    /// How long the read models are waited for.
    pub wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: 1_000,
            bytes: 8 * 1024 * 1024,
            records: 100_000,
            rooms: 10_000,
            room_events: 50,
            window: 50,
            wait: Duration::from_secs(2),
        }
    }
}

/// An event that was missed.
#[derive(Clone, Debug, PartialEq)]
pub struct MissedEvent {
    /// Where it lies.
    pub position: Position,
    /// What happened. Its words are still sealed; see [`open`].
    pub event: TimelineEvent,
}

/// A room in which something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomDelta {
    /// Which room.
    pub room: RoomId,
    /// The newest event that the user may see; may be one that comes live later.
    pub head_seq: Seq,
    /// The newest message; not told of a room the user is no longer in.
    pub last_ordinal: Option<Ordinal>,
    /// The newest events that the user may see, oldest of them first.
    pub events: Vec<MissedEvent>,
    /// Whether there are more between the position asked and the first of them.
    pub truncated: bool,
    /// Whether the user went out of the room.
    pub left: bool,
}

/// What a user missed.
#[derive(Clone, Debug, PartialEq)]
pub enum Missed {
    /// This is all of it, in log order within each partition.
    Replay(Vec<MissedEvent>),
    /// These rooms changed, the latest first.
    Delta(Vec<RoomDelta>),
    /// Too much, or nothing to go by: the rooms that were active last, with their ends.
    Snapshot(Vec<(RoomId, RoomHead)>),
    /// A read model is too far behind to tell.
    Behind,
}

/// Where a client is, per partition of MESSAGES; `None`: it did not say.
pub type Known = Vec<Option<Offset>>;

/// Finds out what was missed. Holds readers only.
#[derive(Clone)]
pub struct Sync {
    /// The events.
    pub log: Arc<dyn LogReader>,
    /// Who is in which room.
    pub metadata: Arc<dyn MetadataReader>,
    /// How far `activity` is.
    pub messages: Arc<dyn MessageReader>,
    /// Which rooms spoke.
    pub activity: Arc<dyn ActivityReader>,
}

impl std::fmt::Debug for Sync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sync").finish_non_exhaustive()
    }
}

impl Sync {
    /// Where `asked` says that the client is, or why its positions mean nothing here:
    /// `epoch_changed`, `unknown_partition`, `ahead_of_log` or `forgotten`.
    ///
    /// # Errors
    /// As the log reports.
    pub async fn judge(&self, asked: &[Position]) -> PortResult<Result<Known, &'static str>> {
        judge::judge(&*self.log, asked).await
    }

    /// The ends of all partitions of MESSAGES, in order.
    ///
    /// # Errors
    /// As the log reports.
    pub async fn ends(&self) -> PortResult<Vec<Position>> {
        let stream = StreamId::Messages;
        let mut ends = Vec::new();
        for partition in (0..self.log.partitions(stream)).map(klatch_ports::Partition) {
            let (epoch, offset) = (self.log.epoch(), self.log.end(stream, partition).await?);
            ends.push(Position { stream, partition, epoch, offset });
        }
        Ok(ends)
    }

    /// What `user` missed after `from` up to and including `to` (one position per partition, in
    /// order). Waits until the read models have reached `to`, up to the limit.
    ///
    /// # Errors
    /// As the ports report.
    pub async fn missed(
        &self,
        user: UserId,
        from: &Known,
        to: &[Position],
        limits: Limits,
    ) -> PortResult<Missed> {
        match self.find_missed(user, from, to, limits).await {
            // The log has forgotten a part of it since the positions were judged.
            Err(error) if error.kind == ErrorKind::Forgotten => self.snapshot(user, limits).await,
            missed => missed,
        }
    }

    async fn find_missed(
        &self,
        user: UserId,
        from: &Known,
        to: &[Position],
        limits: Limits,
    ) -> PortResult<Missed> {
        for end in to {
            if !self.reach(*end, limits.wait).await? {
                return Ok(Missed::Behind);
            }
        }
        let mut collection = Collection::new(self, user, limits);
        for (from, to) in from.iter().zip(to) {
            let known = match from {
                Some(from) => self.changed(user, *from, *to, limits).await?,
                None => None,
            };
            let (Some(from), Some(changed)) = (*from, known) else {
                return self.snapshot(user, limits).await;
            };
            collection.add(from, *to, changed).await?;
        }
        collection.finish().await
    }

    /// The rooms that were active last.
    ///
    /// # Errors
    /// As the store reports.
    pub async fn snapshot(&self, user: UserId, limits: Limits) -> PortResult<Missed> {
        Ok(Missed::Snapshot(self.activity.latest(user, None, limits.window).await?))
    }

    async fn changed(
        &self,
        user: UserId,
        from: Offset,
        to: Position,
        limits: Limits,
    ) -> PortResult<Option<Vec<ChangedRoom>>> {
        if from >= to.offset {
            return Ok(Some(Vec::new()));
        }
        // A replay may be of as many rooms as it has events.
        let most = limits.rooms.max(limits.events);
        self.activity.changed(user, to.partition, from, most).await
    }

    async fn reach(&self, end: Position, most: Duration) -> PortResult<bool> {
        let Position { partition, offset, .. } = end;
        if self.metadata.applied(partition).await?.offset < offset
            && !self.metadata.wait_applied(partition, offset, most).await?
        {
            return Ok(false);
        }
        if self.messages.applied(partition).await?.offset >= offset {
            return Ok(true);
        }
        self.messages.wait_applied(partition, offset, most).await
    }
}
