//! Membership: who is in a room, as what, and from which event on.

use crate::clock::Timestamp;
use crate::id::UserId;
use crate::message::Seq;

/// What a member may do in a room; later ones may do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberRole {
    /// Reads and writes.
    Member,
    /// Also changes the room and its members.
    Admin,
    /// Also makes admins and deletes the room.
    Owner,
}

impl MemberRole {
    /// The word on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner].into_iter().find(|role| role.as_str() == text)
    }
}

/// A user's latest stay in a room. Kept after they left, so that what they missed until then can
/// still be told, and nothing after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The user.
    pub user: UserId,
    /// Role during the stay.
    pub role: MemberRole,
    /// When they came.
    pub joined_at: Timestamp,
    /// The event that brought them in; the first of the room they see live.
    pub joined_seq: Seq,
    /// The event that took them out; the last they see. `None` while they are in.
    pub left_seq: Option<Seq>,
    /// The ordinal up to which everything counts as read when they came.
    pub read_floor: u64,
}

impl Membership {
    /// Whether the user is in the room now.
    pub fn is_current(&self) -> bool {
        self.left_seq.is_none()
    }

    /// Whether the event `seq` happened during this stay; coming and going included.
    pub fn covers(&self, seq: Seq) -> bool {
        self.joined_seq <= seq && self.left_seq.is_none_or(|left| seq <= left)
    }
}
