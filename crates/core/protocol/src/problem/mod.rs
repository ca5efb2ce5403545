//! Problem documents (RFC 9457): every way in which a request can end other than well.
//!
//! One mapping for every surface: REST answers with the document, a WebSocket `error` frame carries
//! `code`, `title`, `detail` and `retryAfterMs` of the same [`Problem`].

mod code;

use std::borrow::Cow;
use std::time::Duration;

use klatch_domain::Rejection;
use klatch_ports::api::ServiceError;
use klatch_ports::api::auth::{SignInError, TokenError};
use klatch_ports::api::import::ImportError;
use klatch_ports::{ErrorKind, PortError};
use serde::Serialize;
use utoipa::ToSchema;

pub use code::Code;

/// How long to wait before trying again when nothing better is known.
const SOON: Duration = Duration::from_secs(1);
/// Space does not come back by itself.
const LATER: Duration = Duration::from_secs(30);
/// Path below which each code has its page.
pub const PAGES: &str = "/api/v1/problems/";

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body (`/content`), or `?name` for a parameter of the query.
    pub pointer: Cow<'static, str>,
    /// Stable code.
    pub code: &'static str,
}

/// A refusal or failure as a client is told of it. Never holds a cause or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What happened; gives status and title too.
    pub code: Code,
    /// This occurrence in words for a person.
    pub detail: Option<String>,
    /// The parts of the request that are at fault.
    pub errors: Vec<FieldProblem>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem without further words.
    pub fn new(code: Code) -> Self {
        Self { code, detail: None, errors: Vec::new(), retry_after: code.retry_after() }
    }

    /// The same problem with words for this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same problem, naming a part of the request that is at fault.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<Cow<'static, str>>) -> Self {
        self.errors.push(FieldProblem { pointer: pointer.into(), code: self.code.as_str() });
        self
    }

    /// A field of the body that does not fit; `field` is its name without a slash.
    pub fn invalid_field(field: &str) -> Self {
        Self::new(Code::InvalidField)
            .detail(format!("the field {field} is not valid"))
            .at(format!("/{field}"))
    }

    /// A parameter of the query that does not fit.
    pub fn invalid_parameter(name: &str) -> Self {
        Self::new(Code::InvalidParameter)
            .detail(format!("the parameter {name} is not valid"))
            .at(format!("?{name}"))
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// Whether the server is at fault.
    pub fn is_server_fault(&self) -> bool {
        self.status() >= 500
    }

    /// [`Problem::retry_after`] in milliseconds, for `error` frames.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    /// [`Problem::retry_after`] in whole seconds, rounded up, for the `Retry-After` header.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }

    /// The document to send, for the request `request_id`.
    pub fn document<'a>(&'a self, request_id: &'a str) -> ProblemDocument<'a> {
        ProblemDocument {
            kind: format!("{PAGES}{}", self.code.as_str()),
            title: self.code.title(),
            status: self.status(),
            detail: self.detail.as_deref(),
            code: self.code.as_str(),
            request_id,
            errors: &self.errors,
        }
    }
}

/// The body of an `application/problem+json` answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemDocument<'a> {
    /// Address of the page about this code.
    #[serde(rename = "type")]
    #[schema(example = "/api/v1/problems/room_not_found")]
    pub kind: String,
    /// The code in words.
    pub title: &'a str,
    /// HTTP status.
    pub status: u16,
    /// This occurrence in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// Stable code; what programs should look at.
    #[schema(example = "room_not_found")]
    pub code: &'a str,
    /// Names this request in the server's own logs.
    pub request_id: &'a str,
    /// The parts of the request that are at fault.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub errors: &'a [FieldProblem],
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let code = match rejection {
            Rejection::InvalidField("cursor") => {
                return Self::new(Code::InvalidCursor).detail(rejection.to_string()).at("?cursor");
            }
            Rejection::InvalidField(field) => return Self::invalid_field(field),
            Rejection::Taken(what) => return taken(what).detail(rejection.to_string()),
            Rejection::ContentTooLong => {
                let problem = Self::new(Code::ContentTooLong).at("/content");
                return problem.detail(rejection.to_string());
            }
            Rejection::RoomNotFound => Code::RoomNotFound,
            Rejection::MessageNotFound => Code::MessageNotFound,
            Rejection::UserNotFound => Code::UserNotFound,
            Rejection::MemberNotFound => Code::MemberNotFound,
            Rejection::Forbidden => Code::Forbidden,
            Rejection::AdminOnly => Code::AdminOnly,
            Rejection::RoomArchived => Code::RoomArchived,
            Rejection::MessageDeleted => Code::MessageDeleted,
            Rejection::AlreadyMember => Code::AlreadyMember,
            Rejection::RoomFull => Code::RoomFull,
            Rejection::LastOwner => Code::LastOwner,
            Rejection::IdempotencyMismatch => Code::IdempotencyMismatch,
            Rejection::StillRunning => Code::StillRunning,
            Rejection::OutOfOrder => Code::OutOfOrder,
            Rejection::WrongRoomType => Code::WrongRoomType,
            Rejection::LastAdmin => Code::LastAdmin,
            Rejection::NotYourself => Code::NotYourself,
            Rejection::InvitationNotFound => Code::InvitationNotFound,
            Rejection::InvitationInvalid => Code::InvalidInvitation,
            Rejection::InvitationExpired => Code::InvitationExpired,
            Rejection::InvitationUsedUp => Code::InvitationUsedUp,
            Rejection::InvitationRevoked => Code::InvitationRevoked,
            Rejection::TokenNotFound => Code::TokenNotFound,
            Rejection::TooMany => Code::TooMany,
        };
        Self::new(code).detail(rejection.to_string())
    }
}

fn taken(what: &'static str) -> Problem {
    match what {
        "username" => Problem::new(Code::UsernameTaken).at("/username"),
        "email" => Problem::new(Code::EmailTaken).at("/email"),
        "name" => Problem::new(Code::NameTaken).at("/name"),
        other => Problem::new(Code::Taken).at(format!("/{other}")),
    }
}

impl From<&PortError> for Problem {
    fn from(error: &PortError) -> Self {
        Self::new(match error.kind {
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Throttled
            | ErrorKind::Forgotten
            | ErrorKind::Closed => Code::Unavailable,
            ErrorKind::Full => Code::StorageFull,
            ErrorKind::Corrupt | ErrorKind::Misconfigured => Code::Internal,
        })
    }
}

impl From<&ServiceError> for Problem {
    fn from(error: &ServiceError) -> Self {
        match error {
            ServiceError::Rejected(rejection) => (*rejection).into(),
            ServiceError::Busy => Self::new(Code::Busy),
            ServiceError::TooOften(wait) => {
                Self { retry_after: Some(*wait), ..Self::new(Code::RateLimited) }
            }
            ServiceError::Behind => Self::new(Code::ReadModelBehind),
            ServiceError::InvalidPosition => Self::new(Code::InvalidPosition),
            ServiceError::Port(error) => error.into(),
            ServiceError::OutcomeUnknown(_) => Self::new(Code::OutcomeUnknown),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        Self::new(match error {
            TokenError::Invalid => Code::InvalidToken,
            TokenError::Expired => Code::TokenExpired,
            TokenError::Revoked => Code::SessionRevoked,
            TokenError::Unavailable => Code::Unavailable,
        })
    }
}

impl From<&SignInError> for Problem {
    fn from(error: &SignInError) -> Self {
        match error {
            SignInError::WrongCredentials => Self::new(Code::InvalidCredentials),
            SignInError::TooManyAttempts { retry_after_seconds } => Self {
                retry_after: Some(Duration::from_secs(*retry_after_seconds)),
                ..Self::new(Code::LockedOut)
            },
            SignInError::InvalidRefreshToken => Self::new(Code::InvalidRefreshToken),
            SignInError::SetupRefused => Self::new(Code::InvalidSetupToken),
            SignInError::RegistrationClosed => Self::new(Code::RegistrationClosed),
            SignInError::AccountLocked => Self::new(Code::AccountLocked),
            SignInError::WrongPassword => Self::new(Code::WrongPassword).at("/currentPassword"),
            SignInError::InvalidResetToken => Self::new(Code::InvalidResetToken),
            SignInError::Service(error) => error.into(),
        }
    }
}

impl From<&ImportError> for Problem {
    fn from(error: &ImportError) -> Self {
        match error {
            ImportError::Rejected(rejection) => (*rejection).into(),
            ImportError::UnknownReference { .. } => {
                Self::new(Code::UnknownReference).detail(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests;
