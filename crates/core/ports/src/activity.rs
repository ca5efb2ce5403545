//! What happened in a user's rooms, found without looking at each of them.
//!
//! Part of the message store's read model: kept by its commits ([`crate::messages::MessageCommit`],
//! `events` and `stays`) and as far as [`crate::messages::MessageReader::applied`]. How a room is
//! found is the engine's: compressed sets, an index, a join. Cost everywhere: what changed and what
//! is answered, not the number of rooms the user is in.

use async_trait::async_trait;
use klatch_domain::room::RoomHead;
use klatch_domain::{RoomId, Timestamp, UserId};

use crate::error::PortResult;
use crate::messages::StoredHead;
use crate::position::{Offset, Partition};

/// A room of a user's in which something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedRoom {
    /// Which room.
    pub room: RoomId,
    /// Its end, also of a room that the user has left since.
    pub head: StoredHead,
    /// Where the user went out of it last, if they are not in it.
    pub left: Option<Offset>,
}

/// A piece of the log: after `after`, up to and including `through`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Begins after this.
    pub after: Offset,
    /// Ends with this.
    pub through: Offset,
}

/// Where on the log a user's rooms spoke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Newest first, apart from each other.
    pub spans: Vec<Span>,
    /// Whether they begin later than asked, because there would have been too many.
    pub cut: bool,
}

/// The place in the list of rooms by latest activity: later ones first, then by id.
pub type ActivityPlace = (Timestamp, RoomId);

/// Finds what happened in a user's rooms.
#[async_trait]
pub trait ActivityReader: Send + Sync {
    /// The rooms of a partition with an event after `after` that the user is in, and those they
    /// went out of after `after`; newest event first. `None` when there are more than `limit`.
    async fn changed(
        &self,
        user: UserId,
        partition: Partition,
        after: Offset,
        limit: usize,
    ) -> PortResult<Option<Vec<ChangedRoom>>>;

    /// Pieces of (after, to] that hold every event of the rooms [`ActivityReader::changed`] finds.
    /// They may hold others too, and be up to 64 records long each. At most `limit` of them, the
    /// newest; `to` must not lie after what the store has applied.
    async fn spans(
        &self,
        user: UserId,
        partition: Partition,
        (after, to): (Offset, Offset),
        limit: usize,
    ) -> PortResult<Spans>;

    /// The user's rooms by latest activity, those after the place `after`, up to `limit`. Deleted
    /// ones are among them. Cost: the rooms more active than the last one answered.
    async fn latest(
        &self,
        user: UserId,
        after: Option<ActivityPlace>,
        limit: usize,
    ) -> PortResult<Vec<(RoomId, RoomHead)>>;
}
