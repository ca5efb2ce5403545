//! What is known of people while they are away: when they were there last, and what they chose to
//! show.

use async_trait::async_trait;
use klatch_domain::presence::Choice;
use klatch_domain::{Timestamp, UserId};

use crate::error::PortResult;

/// What is known of someone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// When their last device left.
    pub left: Option<Timestamp>,
    /// What they chose to show; it may have ended.
    pub choice: Option<Choice>,
}

/// Keeps them. An engine may keep nothing of people of whom it has no account.
#[async_trait]
pub trait WhereaboutsStore: Send + Sync {
    /// What is known of `user`; it shows what was told before, durable or not.
    async fn whereabouts(&self, user: UserId) -> PortResult<Whereabouts>;

    /// Someone's last device left. Times do not go back. Durable within about a minute: it costs no
    /// write of its own, for thousands may leave at once and come back; a crash may cost that
    /// minute.
    async fn left(&self, user: UserId, at: Timestamp) -> PortResult<()>;

    /// Someone chose this, or with `None` nothing any more. Durable when it returns.
    async fn chose(&self, user: UserId, choice: Option<&Choice>) -> PortResult<()>;

    /// Nothing is known of `user` from here on. Durable when it returns.
    async fn forget(&self, user: UserId) -> PortResult<()>;
}
