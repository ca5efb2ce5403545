//! Events: the facts that commands became. The unit of the log.

use crate::clock::Timestamp;
use crate::id::{MessageId, RoomId, UserId};
use crate::member::MemberRole;
use crate::message::{ContentType, Message, Ordinal, Seq};
use crate::room::{RoomTexts, RoomType, Visibility};
use crate::sealed::Sealed;
use crate::user::ServerRole;

/// A fact on the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something in a room's timeline.
    Timeline(TimelineEvent),
    /// Something about a user.
    User(UserEvent),
}

/// A fact of a room's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEvent {
    /// Which room.
    pub room: RoomId,
    /// Its number in the room.
    pub seq: Seq,
    /// When; never before the event before it.
    pub at: Timestamp,
    /// Who did it.
    pub actor: UserId,
    /// What happened.
    pub change: Change,
}

/// What happened in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A message was sent.
    MessageSent(MessageSent),
    /// A message got new words.
    MessageEdited {
        /// Which message.
        message: MessageId,
        /// The new words.
        body: Sealed,
    },
    /// A message was taken back.
    MessageDeleted {
        /// Which message.
        message: MessageId,
    },
    /// The room began; always seq 1.
    RoomCreated(RoomCreated),
    /// Names or texts changed.
    RoomUpdated {
        /// All texts after the change.
        texts: RoomTexts,
        /// Visibility after the change.
        visibility: Visibility,
    },
    /// The room was closed for writing, or opened again.
    RoomArchived {
        /// Closed or open.
        archived: bool,
    },
    /// The room is gone.
    RoomDeleted,
    /// Someone came in, or was brought in.
    MemberJoined {
        /// Who.
        user: UserId,
        /// As what.
        role: MemberRole,
        /// Ordinal of the room's newest message then: everything up to it counts as read.
        read_floor: Ordinal,
    },
    /// Someone went, or was removed by the actor.
    MemberLeft {
        /// Who.
        user: UserId,
    },
    /// A member's role changed.
    MemberRoleChanged {
        /// Whose.
        user: UserId,
        /// To what.
        role: MemberRole,
    },
}

/// A message at the moment it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSent {
    /// Its id.
    pub id: MessageId,
    /// Its place in the main history, if it is shown there.
    pub ordinal: Option<Ordinal>,
    /// What its content is.
    pub content_type: ContentType,
    /// Its words.
    pub body: Sealed,
    /// Hash of (room, sender, the sender's own key), when a key was given.
    pub key: Option<u128>,
    /// Hash of the external id, when imported.
    pub external: Option<u128>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The thread it belongs to.
    pub thread: Option<MessageId>,
}

/// A room at its beginning. Its first members are in it, so that no room is ever without an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomCreated {
    /// Kind of place.
    pub kind: RoomType,
    /// Who may find it.
    pub visibility: Visibility,
    /// Names and texts.
    pub texts: RoomTexts,
    /// First members, the owner among them.
    pub members: Vec<(UserId, MemberRole)>,
    /// Hash of the external id, when imported.
    pub external: Option<u128>,
}

/// A fact about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEvent {
    /// Whom it is about.
    pub user: UserId,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub change: UserChange,
}

/// What happened to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// The account began.
    Registered {
        /// Sealed profile.
        profile: Sealed,
        /// Whether a program acts under this name.
        bot: bool,
        /// Role on the server.
        role: ServerRole,
        /// Hash of the external id, when imported.
        external: Option<u128>,
    },
    /// The profile changed.
    ProfileChanged {
        /// Sealed profile after the change.
        profile: Sealed,
    },
    /// The role on the server changed.
    RoleChanged {
        /// Role after the change.
        role: ServerRole,
    },
    /// The person was erased: their key is destroyed, what is left of them is their id.
    Erased,
}

impl TimelineEvent {
    /// The sealed words that it brings.
    pub fn words(&self) -> Option<&Sealed> {
        match &self.change {
            Change::MessageSent(sent) => Some(&sent.body),
            Change::MessageEdited { body, .. } => Some(body),
            Change::MessageDeleted { .. }
            | Change::RoomCreated(_)
            | Change::RoomUpdated { .. }
            | Change::RoomArchived { .. }
            | Change::RoomDeleted
            | Change::MemberJoined { .. }
            | Change::MemberLeft { .. }
            | Change::MemberRoleChanged { .. } => None,
        }
    }

    /// The message this event brings, as a store keeps it at first.
    pub fn new_message(&self) -> Option<Message> {
        let Change::MessageSent(sent) = &self.change else { return None };
        Some(Message {
            id: sent.id,
            room: self.room,
            seq: self.seq,
            ordinal: sent.ordinal,
            sender: self.actor,
            content_type: sent.content_type,
            body: Some(sent.body.clone()),
            reply_to: sent.reply_to,
            thread: sent.thread,
            created_at: self.at,
            edited: None,
            deleted: None,
        })
    }
}
