//! What a person may ask a server for: all that it holds of them, and to be forgotten.

use async_trait::async_trait;
use bytes::Bytes;
use klatch_domain::audit::By;
use klatch_domain::{Timestamp, UserId};

use super::ServiceResult;
use crate::position::Position;

/// A store that was looked at after an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Which, in a word.
    pub store: &'static str,
    /// What was there, and what became of it.
    pub found: String,
    /// How many readable things of the person are left in it; 0 is right.
    pub readable: u64,
}

/// What an erasure did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Who.
    pub user: UserId,
    /// When it was asked for first.
    pub at: Timestamp,
    /// Where the event landed that tells everyone; `None` when the log told it before, or never
    /// heard of the person.
    pub position: Option<Position>,
    /// Every store that was checked.
    pub checked: Vec<Checked>,
}

/// An export under way.
#[async_trait]
pub trait Export: Send {
    /// The next lines of JSON, each with a line feed; `None` after the last. Memory: a batch.
    async fn next(&mut self) -> ServiceResult<Option<Bytes>>;
}

/// Export and erasure of people.
#[async_trait]
pub trait ComplianceApi: Send + Sync {
    /// Erases `user`: destroys their key, removes account, names, sessions, tells everyone, and
    /// looks at every store whether anything readable is left; the audit log tells it. Cannot be
    /// undone. Doing it again finishes what an error or a crash cut short.
    ///
    /// Cost: every key and every account is written anew; the whole log is read.
    ///
    /// # Errors
    /// [`klatch_domain::Rejection::AdminOnly`], [`klatch_domain::Rejection::UserNotFound`].
    async fn erase(&self, by: By, user: UserId) -> ServiceResult<Erased>;

    /// Everything the server holds of `user`, as lines of JSON.
    ///
    /// # Errors
    /// As [`ComplianceApi::erase`].
    async fn export(&self, by: By, user: UserId) -> ServiceResult<Box<dyn Export>>;
}
