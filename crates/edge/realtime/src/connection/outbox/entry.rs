//! What goes out, before it does.

use bytes::Bytes;
use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::Position;
use klatch_protocol::ws::server::room_notice;

/// What a notice counts for in the outbox: more than it will have, its place in the tables
/// included.
pub(super) const NOTICE_BYTES: usize = 200;

/// A live event as every recipient gets it.
#[derive(Clone, Debug)]
pub(crate) struct LiveFrame {
    pub(crate) position: Position,
    pub(crate) room: RoomId,
    pub(crate) seq: Seq,
    pub(crate) frame: Bytes,
    /// Who must get it whole.
    pub(crate) concerns: Concerns,
    /// Whether its room says more than a connection has to bear: others get a notice.
    pub(crate) loud: bool,
}

/// Whom an event concerns so much that they get it whole, whatever they chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concerns {
    /// Nobody.
    Nobody,
    /// The user who comes or goes by it.
    User(UserId),
    /// All: the room begins or ends.
    All,
}

impl LiveFrame {
    pub(super) fn must_be_whole(&self, user: UserId) -> bool {
        match self.concerns {
            Concerns::Nobody => false,
            Concerns::User(concerned) => concerned == user,
            Concerns::All => true,
        }
    }
}

/// Something for one recipient only, without a place in any order; the newest of a kind replaces
/// those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Passing {
    /// Whether this user types in this room. Not sent to a connection that lags far behind.
    Typing(RoomId, UserId),
    /// How available this user is.
    Presence(UserId),
}

/// One frame of the queue.
#[derive(Debug)]
pub(super) struct Entry {
    /// Empty: a notice, which is made when its turn comes, so that it tells the newest.
    pub(super) frame: Bytes,
    /// `None`: it is for this connection alone.
    pub(super) event: Option<Place>,
}

/// Where an event is; of a notice: the newest event that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) position: Position,
}

impl Entry {
    pub(super) fn own(frame: Bytes) -> Self {
        Self { frame, event: None }
    }

    pub(super) fn whole(live: &LiveFrame) -> Self {
        Self { frame: live.frame.clone(), event: Some(Place::of(live)) }
    }

    pub(super) fn notice(place: Place) -> Self {
        Self { frame: Bytes::new(), event: Some(place) }
    }

    pub(super) fn is_notice(&self) -> bool {
        self.frame.is_empty()
    }

    pub(super) fn cost(&self) -> usize {
        if self.is_notice() { NOTICE_BYTES } else { self.frame.len() }
    }
}

impl Place {
    pub(super) fn of(live: &LiveFrame) -> Self {
        let LiveFrame { position, room, seq, .. } = *live;
        Self { room, seq, position }
    }

    /// The frame of a notice that tells this.
    pub(super) fn notice(self) -> Bytes {
        room_notice(self.room, self.seq, self.position)
    }
}
