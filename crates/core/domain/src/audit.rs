//! What those who run the server did: who, what, to whom. Ids only, so that nothing of it has to be
//! erased with a person.

use crate::clock::Timestamp;
use crate::id::{RoomId, UserId};
use crate::permission::{self, Actor, ServerAction};
use crate::rejection::Rejection;
use crate::user::ServerRole;

/// In whose right something is done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A user's.
    User(Actor),
    /// Whoever has the machine: may do what administrators may.
    Operator,
}

impl By {
    /// Decides by the permission table.
    ///
    /// # Errors
    /// As [`permission::check_server`].
    pub fn check(self, action: ServerAction) -> Result<(), Rejection> {
        match self {
            Self::User(actor) => permission::check_server(actor, action),
            Self::Operator => Ok(()),
        }
    }

    /// The user, if it is one.
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::User(actor) => Some(actor.user),
            Self::Operator => None,
        }
    }
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal;)+) => {
        /// Something done to the server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Act {
            $($(#[$doc])* $name = $number,)+
        }

        impl Act {
            /// All acts.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word on every surface.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

// Numbers are on the log: they are never given again.
acts! {
    /// A user's role on the server changed.
    RoleChanged = 1 "role_changed";
    /// A user was locked out.
    Banned = 2 "banned";
    /// A user was let in again.
    Unbanned = 3 "unbanned";
    /// An invitation was made.
    InvitationMade = 4 "invitation_made";
    /// An invitation was taken back.
    InvitationRevoked = 5 "invitation_revoked";
    /// A bot was made.
    BotMade = 6 "bot_made";
    /// A token was made for another.
    TokenMade = 7 "token_made";
    /// Another's token was ended.
    TokenRevoked = 8 "token_revoked";
    /// New keys sign access tokens.
    KeysRotated = 9 "keys_rotated";
    /// Rooms and messages were brought in.
    Imported = 10 "imported";
    /// A link that sets another's password was handed out.
    ResetLinkMade = 11 "reset_link_made";
    /// An account was made for another.
    UserMade = 12 "user_made";
    /// Everything of a user was exported.
    UserExported = 13 "user_exported";
    /// A user was erased.
    UserErased = 14 "user_erased";
}

impl Act {
    /// The act with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|act| *act as u8 == number)
    }
}

/// One line of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who; `None`: whoever has the machine.
    pub by: Option<UserId>,
    /// What.
    pub act: Act,
    /// To whom.
    pub user: Option<UserId>,
    /// Where.
    pub room: Option<RoomId>,
    /// The invitation or token it is about.
    pub object: Option<u128>,
    /// The role that was given.
    pub role: Option<ServerRole>,
}

impl AuditEntry {
    /// An entry that says no more than this.
    pub fn new(at: Timestamp, by: By, act: Act) -> Self {
        Self { at, by: by.user(), act, user: None, room: None, object: None, role: None }
    }
}
