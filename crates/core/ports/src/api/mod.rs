//! What the edges call: the services of other roles, in this process or another.

pub mod accounts;
pub mod audit;
pub mod auth;
pub mod commands;
pub mod compliance;
pub mod import;
pub mod presence;
pub mod queries;
pub mod sync;

use std::time::Duration;

use klatch_domain::Rejection;

use crate::error::PortError;

/// Why a service did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A rule said no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Too much is waiting already; nothing was done. Try again after a moment.
    #[error("too much is waiting already")]
    Busy,
    /// The asker asks too often; nothing was done. Try again after this long.
    #[error("too many requests of this kind")]
    TooOften(Duration),
    /// The read model did not reach the position asked for in time.
    #[error("the read model is behind the position asked for")]
    Behind,
    /// The position is of another life of the log, or lies beyond its end.
    #[error("the position is not one of this log")]
    InvalidPosition,
    /// An engine failed and nothing was done, or it was only a read.
    #[error(transparent)]
    Port(#[from] PortError),
    /// An engine failed and whether something was done is not known: repeat with the same key.
    #[error("the outcome is not known: {0}")]
    OutcomeUnknown(PortError),
}

/// The answer of a service.
pub type ServiceResult<T> = Result<T, ServiceError>;
