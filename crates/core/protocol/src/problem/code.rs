//! The codes: the whole list, with status, title and explanation of each.

use std::time::Duration;

use super::{LATER, SOON};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal $text:literal $title:literal;)+) => {
        /// What happened, in one stable word. Codes are never reused for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All codes, in the order of their statuses.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word on every surface.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// HTTP status it is sent with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// The code in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What it means and what a client can do, in Markdown.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc, "\n"),+),)+ }
            }
        }
    };
}

codes! {
    /// The body or frame is not JSON, is not UTF-8, or is nested deeper than 32 levels.
    MalformedJson = 400 "malformed_json" "Malformed JSON";
    /// The frame's `payload` does not have the shape its `type` asks for.
    InvalidPayload = 400 "invalid_payload" "The payload does not fit the type";
    /// There is no frame of this type.
    UnknownType = 400 "unknown_type" "No such frame type";
    /// A parameter of the query does not fit; `errors` names it as `?name`.
    InvalidParameter = 400 "invalid_parameter" "A parameter is not valid";
    /// `before`, `after` and `cursor` exclude each other.
    ConflictingParameters = 400 "conflicting_parameters" "Parameters exclude each other";
    /// A cursor is taken from `nextCursor` of an earlier page of the same list; this is none.
    InvalidCursor = 400 "invalid_cursor" "Not a cursor of this list";
    /// A position of `X-Klatch-Position` or `resume` is malformed, lies beyond the end of the log,
    /// or is of another life of the log (a restored backup). Read without it.
    InvalidPosition = 400 "invalid_position" "Not a position of this log";
    /// `Idempotency-Key` and `clientMessageId` are one key; both were given and they differ.
    IdempotencyKeyConflict = 400 "idempotency_key_conflict" "Two different keys";
    /// A `subscribe` names at most 1,000 rooms and 1,000 people.
    TooManySubscriptions = 400 "too_many_subscriptions" "Too many ids in a subscription";
    /// A header of the request does not fit; `detail` names it.
    InvalidHeader = 400 "invalid_header" "A header is not valid";
    /// The request needs an access token and carries none.
    Unauthorized = 401 "unauthorized" "Sign in first";
    /// The access token is not one of this server or of an issuer it trusts.
    InvalidToken = 401 "invalid_token" "The access token is not valid";
    /// The access token has ended. Refresh it and repeat the request.
    TokenExpired = 401 "token_expired" "The access token has expired";
    /// The session was ended: by logging out, by an administrator, or because a refresh token was
    /// used twice. Sign in again.
    SessionRevoked = 401 "session_revoked" "The session was ended";
    /// The name (or e-mail address) or the password is wrong; the two are not told apart.
    InvalidCredentials = 401 "invalid_credentials" "The name or the password is wrong";
    /// The refresh token was used up, has ended, or never was one. Sign in again.
    InvalidRefreshToken = 401 "invalid_refresh_token" "The refresh token is not valid";
    /// A change by cookie needs the header `X-Klatch-CSRF` with the value of the cookie
    /// `klatch_csrf`, and must come from a page of this server.
    CsrfFailed = 403 "csrf_failed" "The request is not known to come from our page";
    /// A WebSocket opened by cookie must come from a page of this server, or of an origin it was
    /// told to allow.
    OriginNotAllowed = 403 "origin_not_allowed" "The page's origin is not allowed";
    /// You see the room but may not do this in it.
    Forbidden = 403 "forbidden" "You may not do this";
    /// Only an administrator of the server may do this.
    AdminOnly = 403 "admin_only" "For administrators only";
    /// An administrator locked this account.
    AccountLocked = 403 "account_locked" "The account is locked";
    /// This server takes no new accounts.
    RegistrationClosed = 403 "registration_closed" "Registration is closed";
    /// The one-time token that makes the first administrator is wrong, or was used.
    InvalidSetupToken = 403 "invalid_setup_token" "The setup token is not valid";
    /// The password you have now is not the one you typed.
    WrongPassword = 403 "wrong_password" "The current password is wrong";
    /// The token of this link was used, has ended, or never was one. Ask for another link.
    InvalidResetToken = 403 "invalid_reset_token" "The link is not valid any more";
    /// This is no invitation, or one whose maker may not invite any more.
    InvalidInvitation = 403 "invalid_invitation" "The invitation is not valid";
    /// The API token was made without the scope this needs.
    InsufficientScope = 403 "insufficient_scope" "The token may not be used for this";
    /// A person does this signed in with a password, never a program with a token.
    SessionNeeded = 403 "session_needed" "Sign in with a password for this";
    /// There is nothing at this address.
    NotFound = 404 "not_found" "No such address";
    /// There is no such room, or you may not see it; the two are not told apart.
    RoomNotFound = 404 "room_not_found" "No such room";
    /// There is no such message in this room.
    MessageNotFound = 404 "message_not_found" "No such message";
    /// There is no such user.
    UserNotFound = 404 "user_not_found" "No such user";
    /// The user is not in this room.
    MemberNotFound = 404 "member_not_found" "Not a member of this room";
    /// There is no such session of yours.
    SessionNotFound = 404 "session_not_found" "No such session";
    /// There is no such invitation, or none that you may see.
    InvitationNotFound = 404 "invitation_not_found" "No such invitation";
    /// There is no such API token of yours.
    TokenNotFound = 404 "token_not_found" "No such token";
    /// The address knows other methods; see the header `Allow`.
    MethodNotAllowed = 405 "method_not_allowed" "Method not allowed";
    /// The body did not arrive in time.
    RequestTimeout = 408 "request_timeout" "The body did not arrive in time";
    /// The user name belongs to another.
    UsernameTaken = 409 "username_taken" "The user name is taken";
    /// There is an account with this e-mail address.
    EmailTaken = 409 "email_taken" "The e-mail address is taken";
    /// A channel of this name exists.
    NameTaken = 409 "name_taken" "The name is taken";
    /// What was asked for belongs to another.
    Taken = 409 "taken" "Taken";
    /// The user is in the room already.
    AlreadyMember = 409 "already_member" "A member already";
    /// The room may hold no more members.
    RoomFull = 409 "room_full" "The room is full";
    /// The last owner may not go or step down while others stay: make another member owner first.
    LastOwner = 409 "last_owner" "The last owner must stay";
    /// The room is archived: it can be read, not written.
    RoomArchived = 409 "room_archived" "The room is archived";
    /// The message was deleted.
    MessageDeleted = 409 "message_deleted" "The message was deleted";
    /// This kind of room does not allow it.
    WrongRoomType = 409 "wrong_room_type" "Not in this kind of room";
    /// The first request with this key is still running. Repeat it after a moment: it answers as
    /// the first one does.
    StillRunning = 409 "still_running" "The first request is still running";
    /// An imported message is older than the newest event of its room.
    OutOfOrder = 409 "out_of_order" "Older than the room's newest event";
    /// The server would be left without an administrator who can sign in: make another one first.
    LastAdmin = 409 "last_admin" "The last administrator must stay";
    /// Nobody locks themselves out: ask another administrator.
    NotYourself = 409 "not_yourself" "Not to your own account";
    /// You hold as many of these as one may: take one back first.
    TooMany = 409 "too_many" "Too many of these";
    /// The invitation has ended.
    InvitationExpired = 410 "invitation_expired" "The invitation has expired";
    /// The invitation was used as often as it may be, or by you before.
    InvitationUsedUp = 410 "invitation_used_up" "The invitation is used up";
    /// The invitation was taken back.
    InvitationRevoked = 410 "invitation_revoked" "The invitation was taken back";
    /// The body is larger than this address takes.
    BodyTooLarge = 413 "body_too_large" "The body is too large";
    /// A line of an import is longer than 256 KiB.
    LineTooLong = 413 "line_too_long" "The line is too long";
    /// Bodies are `application/json` in UTF-8 (imports `application/x-ndjson`), not compressed.
    UnsupportedMediaType = 415 "unsupported_media_type" "Unsupported media type";
    /// A field of the body does not fit; `errors` names it.
    InvalidField = 422 "invalid_field" "A field is not valid";
    /// A field that must be there is not; `errors` names it.
    MissingField = 422 "missing_field" "A field is missing";
    /// The body holds a field that is not known here; `errors` names it.
    UnknownField = 422 "unknown_field" "An unknown field";
    /// A message has at most 40,000 Unicode code points.
    ContentTooLong = 422 "content_too_long" "The content is too long";
    /// The same key was used for another request in the last 24 hours.
    IdempotencyMismatch = 422 "idempotency_mismatch" "The key was used for another request";
    /// An import line names a user, room or message that no line before it brought.
    UnknownReference = 422 "unknown_reference" "It refers to something unknown";
    /// This address speaks WebSocket, version 13: the request must ask for the upgrade.
    UpgradeRequired = 426 "upgrade_required" "A WebSocket request is needed";
    /// Too many failures to sign in. Wait as long as `Retry-After` says.
    LockedOut = 429 "locked_out" "Too many attempts";
    /// Too many requests of this kind. Wait as long as `Retry-After` says.
    RateLimited = 429 "rate_limited" "Too many requests";
    /// Something went wrong on the server. `requestId` finds it in the server's log.
    Internal = 500 "internal" "The server had a problem";
    /// Too much is waiting already; nothing was done. Repeat the request after a moment.
    Busy = 503 "busy" "The server is busy";
    /// Something the server needs does not answer; nothing was done. Repeat the request.
    Unavailable = 503 "unavailable" "Not available at the moment";
    /// The read model has not reached the position asked for yet. Repeat the request.
    ReadModelBehind = 503 "read_model_behind" "The read model is behind";
    /// Whether the request took effect is not known. Repeat it with the same key; without a key,
    /// look before you repeat it.
    OutcomeUnknown = 504 "outcome_unknown" "The outcome is not known";
    /// The server's disk is full: writes are refused, reads go on.
    StorageFull = 507 "storage_full" "No space left on the server";
}

impl Code {
    /// When trying again makes sense, unless the problem says otherwise.
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Busy
            | Self::Unavailable
            | Self::ReadModelBehind
            | Self::OutcomeUnknown
            | Self::StillRunning
            | Self::LockedOut
            | Self::RateLimited => Some(SOON),
            Self::StorageFull => Some(LATER),
            _ => None,
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}
