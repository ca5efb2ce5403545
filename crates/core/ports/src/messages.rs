//! The read model of message history, and of each room's head.
//!
//! A writer commits absolute rows together with the position they speak of, so that after a crash
//! the store is a true prefix of the log and replays from its own position.

use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::room::RoomHead;
use klatch_domain::{Message, RoomId, Seq, Timestamp, UserId};

use crate::error::PortResult;
use crate::position::{Epoch, Offset, Partition};

/// How far a store has applied one partition of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Life of the log the rows come from.
    pub epoch: Epoch,
    /// Everything up to here is in the rows.
    pub offset: Offset,
}

/// A room's end as the store knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredHead {
    /// The end.
    pub head: RoomHead,
    /// Offset of the newest event, for conditional appends.
    pub offset: Offset,
}

/// Which part of a room's history to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The newest messages.
    Latest,
    /// The newest messages with a seq below this one.
    Before(Seq),
    /// The oldest messages with a seq above this one.
    After(Seq),
}

/// Reads history.
#[async_trait]
pub trait MessageReader: Send + Sync {
    /// How far the rows go.
    async fn applied(&self, partition: Partition) -> PortResult<Applied>;

    /// Returns true once the rows go at least to `offset`, false when `most` has passed before.
    async fn wait_applied(
        &self,
        partition: Partition,
        offset: Offset,
        most: Duration,
    ) -> PortResult<bool>;

    /// Up to `limit` messages of a room's main history (those with an ordinal), always newest
    /// first. Deleted ones are in it as tombstones. Cost: one range read.
    async fn history(&self, room: RoomId, range: Range, limit: usize) -> PortResult<Vec<Message>>;

    /// The message that the event `seq` brought.
    async fn message(&self, room: RoomId, seq: Seq) -> PortResult<Option<Message>>;

    /// The room's end; `None` before its first event.
    async fn head(&self, room: RoomId) -> PortResult<Option<StoredHead>>;

    /// The ends of many rooms, in the order asked.
    async fn heads(&self, rooms: &[RoomId]) -> PortResult<Vec<Option<StoredHead>>>;

    /// The message imported under the external id with this hash.
    async fn by_external(&self, external: u128) -> PortResult<Option<(RoomId, Seq)>>;

    /// Messages that `person` sent or whose words are sealed for them, among the next `look` after
    /// `after` in an order of the store's own, and where to go on; `None` there at the end. For
    /// what is asked once in a lifetime: all calls together read every message.
    async fn of_person(
        &self,
        person: UserId,
        after: Option<MessagePlace>,
        look: usize,
    ) -> PortResult<(Vec<Message>, Option<MessagePlace>)>;
}

/// A place on a way through all messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessagePlace {
    /// Whether the way is among those without an ordinal already, which come second.
    pub other: bool,
    /// The last room looked at.
    pub room: RoomId,
    /// The last message looked at there.
    pub seq: Seq,
}

/// A user came into a room, or went out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StayChange {
    /// Which room.
    pub room: RoomId,
    /// Who.
    pub user: UserId,
    /// Where the event lies.
    pub offset: Offset,
    /// Whether they are in it after the event.
    pub inside: bool,
}

/// Rows to commit together.
#[derive(Clone, Debug, Default)]
pub struct MessageCommit {
    /// Which partition they speak of.
    pub partition: Partition,
    /// How far they bring it.
    pub applied: Applied,
    /// New or changed messages. Of several rows about one message the last counts. A message that
    /// has an ordinal keeps it, and one that has none never gets one.
    pub messages: Vec<Message>,
    /// New ends of rooms.
    pub heads: Vec<(RoomId, StoredHead)>,
    /// New external ids.
    pub externals: Vec<(u128, RoomId, Seq)>,
    /// Every timeline event that the commit brings in, in log order, and its time if it made the
    /// room active, else zero; for [`crate::activity::ActivityReader`]. The rooms' ends are among
    /// `heads`.
    pub events: Vec<(Offset, RoomId, Timestamp)>,
    /// Who came and went by them, in log order.
    pub stays: Vec<StayChange>,
}

/// Writes history. Held by the message-writer alone.
#[async_trait]
pub trait MessageWriter: Send + Sync {
    /// The message as stored, to fold an edit or delete into.
    async fn load(&self, room: RoomId, seq: Seq) -> PortResult<Option<Message>>;

    /// The room's end as stored.
    async fn load_head(&self, room: RoomId) -> PortResult<Option<StoredHead>>;

    /// Commits all rows and the position, or nothing. A commit of the stored epoch whose offset is
    /// not above the stored one was made before and changes nothing. Readers see it when this
    /// returns; a power cut may take it back, and the position with it.
    async fn commit(&self, commit: MessageCommit) -> PortResult<()>;

    /// Nothing to store, but everything up to `applied` was looked at: waiting readers may go on.
    async fn advance(&self, partition: Partition, applied: Applied) -> PortResult<()>;
}
