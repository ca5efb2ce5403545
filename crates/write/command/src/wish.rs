//! What waits at a room: a wish, who has it, and where the answer goes.

use std::sync::Arc;

use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::permission::Actor;
use klatch_domain::room::{RoomTextsPatch, Visibility};
use klatch_domain::{ContentType, Message, MessageId, Ordinal, Seq, Timestamp, UserId};
use klatch_ports::api::commands::{Changed, Reply, SendMessage, Sent};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_protocol::sealed::PersonCipher;

/// A wish in a room's queue.
pub(crate) struct Job {
    pub(crate) actor: Actor,
    pub(crate) wish: Wish,
    /// What had to be read from the stores at the room's head, once it was.
    pub(crate) facts: Option<Facts>,
    /// Key of the person whose words are in the wish, once it was looked up.
    pub(crate) cipher: Option<Arc<PersonCipher>>,
    /// How often it was refused on a state that turned out to be old.
    pub(crate) rechecks: u32,
    pub(crate) answer: Answer,
}

/// What is wanted.
pub(crate) enum Wish {
    Send(Box<SendWish>),
    Edit { message: MessageId, content: String },
    Delete { message: MessageId },
    Update { texts: RoomTextsPatch, visibility: Option<Visibility> },
    Archive { archived: bool },
    DeleteRoom,
    Join,
    Leave,
    Add { user: UserId, role: MemberRole },
    Remove { user: UserId },
    ChangeRole { user: UserId, role: MemberRole },
    Import(Box<ImportWish>),
    ImportMember { user: UserId, role: MemberRole, at: Timestamp },
}

/// A message to send, already checked as far as it can be without the room.
pub(crate) struct SendWish {
    pub(crate) message: SendMessage,
    pub(crate) key: Option<u128>,
    pub(crate) request_hash: [u8; 16],
}

/// A message to bring in, with its original time. Its sender joins first if need be.
pub(crate) struct ImportWish {
    pub(crate) sender: UserId,
    pub(crate) content: String,
    pub(crate) content_type: ContentType,
    pub(crate) metadata: String,
    pub(crate) reply_to: Option<MessageId>,
    pub(crate) external: u128,
    pub(crate) at: Timestamp,
}

/// Read from the stores when they had applied the room's head.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) message: Option<Message>,
    pub(crate) owners: usize,
    pub(crate) user_exists: bool,
}

/// Where the answer goes.
pub(crate) enum Answer {
    Sent(Reply<Sent>),
    Changed(Reply<Changed>),
}

impl Job {
    pub(crate) fn new(actor: Actor, wish: Wish, answer: Answer) -> Self {
        Self { actor, wish, facts: None, cipher: None, rechecks: 0, answer }
    }

    /// The sender's own key for this wish, hashed.
    pub(crate) fn key(&self) -> Option<u128> {
        match &self.wish {
            Wish::Send(send) => send.key,
            _ => None,
        }
    }
}

impl Answer {
    pub(crate) fn refuse(self, error: ServiceError) {
        match self {
            Self::Sent(reply) => reply(Err(error)),
            Self::Changed(reply) => reply(Err(error)),
        }
    }

    pub(crate) fn sent(self, sent: ServiceResult<Sent>) {
        if let Self::Sent(reply) = self {
            reply(sent);
        }
    }
}

impl Wish {
    /// The other person whose membership decides.
    pub(crate) fn target(&self) -> Option<UserId> {
        match self {
            Self::Add { user, .. }
            | Self::Remove { user }
            | Self::ChangeRole { user, .. }
            | Self::ImportMember { user, .. } => Some(*user),
            Self::Import(wish) => Some(wish.sender),
            Self::Send(_)
            | Self::Edit { .. }
            | Self::Delete { .. }
            | Self::Update { .. }
            | Self::Archive { .. }
            | Self::DeleteRoom
            | Self::Join
            | Self::Leave => None,
        }
    }

    /// Whose key the words go under.
    pub(crate) fn writer(&self, actor: Actor) -> Option<UserId> {
        match self {
            Self::Send(_) | Self::Edit { .. } => Some(actor.user),
            Self::Import(wish) => Some(wish.sender),
            Self::Delete { .. }
            | Self::Update { .. }
            | Self::Archive { .. }
            | Self::DeleteRoom
            | Self::Join
            | Self::Leave
            | Self::Add { .. }
            | Self::Remove { .. }
            | Self::ChangeRole { .. }
            | Self::ImportMember { .. } => None,
        }
    }

    /// Whether it is decided on more than the sequencer remembers: rows read at the room's head,
    /// so that it must be the only one of its batch.
    pub(crate) fn needs_facts(&self) -> bool {
        matches!(
            self,
            Self::Edit { .. }
                | Self::Delete { .. }
                | Self::Leave
                | Self::Add { .. }
                | Self::Remove { .. }
                | Self::ChangeRole { .. }
        )
    }
}

/// A stay that begins with the event `seq`.
pub(crate) fn stay(
    user: UserId,
    role: MemberRole,
    at: Timestamp,
    seq: Seq,
    read_floor: Ordinal,
) -> Membership {
    Membership {
        user,
        role,
        joined_at: at,
        joined_seq: seq,
        left_seq: None,
        read_floor: read_floor.0,
    }
}
