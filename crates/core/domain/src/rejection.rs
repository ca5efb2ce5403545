//! Every business refusal, in one closed list.

/// Why a command or a query was refused. Repeating it unchanged will not help, except where said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// No such room, or none the asker may see: the two must not be told apart.
    #[error("there is no such room, or you may not see it")]
    RoomNotFound,
    /// No such message in this room.
    #[error("there is no such message in this room")]
    MessageNotFound,
    /// No such user.
    #[error("there is no such user")]
    UserNotFound,
    /// The user is not in this room.
    #[error("the user is not a member of this room")]
    MemberNotFound,
    /// The asker sees the room but may not do this in it.
    #[error("you may not do this in this room")]
    Forbidden,
    /// Only an administrator of the server may do this.
    #[error("only an administrator may do this")]
    AdminOnly,
    /// The room is closed for writing.
    #[error("the room is archived")]
    RoomArchived,
    /// The message was deleted before.
    #[error("the message was deleted")]
    MessageDeleted,
    /// More than 40,000 code points.
    #[error("the content is longer than 40,000 characters")]
    ContentTooLong,
    /// A field does not fit its rule.
    #[error("the field {0} is not valid")]
    InvalidField(&'static str),
    /// The name, address or pair belongs to another.
    #[error("the {0} is taken")]
    Taken(&'static str),
    /// The user is in the room already.
    #[error("the user is a member already")]
    AlreadyMember,
    /// The room may hold no more members.
    #[error("the room is full")]
    RoomFull,
    /// The last owner may not go or step down while others stay.
    #[error("the last owner may not leave: make another member owner first")]
    LastOwner,
    /// The same key was used with another body.
    #[error("the same key was used for a different request")]
    IdempotencyMismatch,
    /// A first request with this key still runs; may be repeated after a moment.
    #[error("the first request with this key is still running")]
    StillRunning,
    /// An imported message is older than its room's newest event.
    #[error("the message is older than the room's newest event")]
    OutOfOrder,
    /// This kind of room does not allow it.
    #[error("this kind of room does not allow it")]
    WrongRoomType,
    /// The server would be left without an administrator who can sign in.
    #[error("the last administrator must stay: make another one first")]
    LastAdmin,
    /// Nobody does this to themselves.
    #[error("you cannot do this to your own account")]
    NotYourself,
    /// No such invitation.
    #[error("there is no such invitation")]
    InvitationNotFound,
    /// The text is not the token of an invitation, or of one whose maker may no longer invite.
    #[error("the invitation is not valid")]
    InvitationInvalid,
    /// The invitation has ended.
    #[error("the invitation has expired")]
    InvitationExpired,
    /// The invitation was used as often as it may be, or by the asker before.
    #[error("the invitation is used up")]
    InvitationUsedUp,
    /// The invitation was taken back.
    #[error("the invitation was taken back")]
    InvitationRevoked,
    /// No such API token.
    #[error("there is no such token")]
    TokenNotFound,
    /// The user holds as many of these as one may.
    #[error("there are too many of these already")]
    TooMany,
}
