//! What the asker missed since positions of the log.

use klatch_domain::event::TimelineEvent;
use klatch_domain::message::MessageBody;
use klatch_domain::room::RoomHead;
use klatch_domain::{Ordinal, RoomId, Seq};

use crate::position::Position;

/// An event of the log with its words opened.
#[derive(Clone, Debug, PartialEq)]
pub struct EventView {
    /// Where it lies.
    pub position: Position,
    /// What happened.
    pub event: TimelineEvent,
    /// The words; `None` if it carries none or their person's key is gone.
    pub body: Option<MessageBody>,
}

/// A room in which something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedView {
    /// Which room.
    pub room: RoomId,
    /// The newest event the asker may see, or a later one.
    pub head_seq: Seq,
    /// The newest message; not told of a room the asker is no longer in.
    pub last_ordinal: Option<Ordinal>,
    /// The newest events the asker may see, oldest of them first.
    pub events: Vec<EventView>,
    /// Whether there are more between the position asked and the first of them.
    pub truncated: bool,
    /// Whether the asker went out of it.
    pub left: bool,
}

/// How what was missed is told.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncTier {
    /// This is all of it.
    Replay(Vec<EventView>),
    /// These rooms changed, the latest first.
    Delta(Vec<ChangedView>),
    /// The rooms that were active last.
    Snapshot(Vec<(RoomId, RoomHead)>),
    /// The positions mean nothing here: `epoch_changed`, `unknown_partition`, `ahead_of_log` or
    /// `forgotten`.
    Invalid(&'static str),
}

/// What the asker missed.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncView {
    /// What, and how it is told.
    pub tier: SyncTier,
    /// It goes up to here: to be named the next time.
    pub positions: Vec<Position>,
}
