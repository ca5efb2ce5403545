//! Fire-and-forget publish and subscribe: inboxes and typing. May drop, never reorders a subject.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::PortResult;

/// Publishes.
#[async_trait]
pub trait BusPublisher: Send + Sync {
    /// Hands `payload` to whoever listens to `subject` now. Dropped when a listener's queue is
    /// full or nobody listens; the caller is not told.
    async fn publish(&self, subject: &str, payload: Bytes) -> PortResult<()>;
}

/// Subscribes.
#[async_trait]
pub trait BusSubscriber: Send + Sync {
    /// Listens to `subject` exactly, or to all that begin with it when it ends in `>`.
    async fn subscribe(&self, subject: &str) -> PortResult<Box<dyn Subscription>>;
}

/// What arrives; dropping it ends the subscription.
#[async_trait]
pub trait Subscription: Send {
    /// The next payload with its subject; `None` when the bus is closed.
    async fn next(&mut self) -> Option<(String, Bytes)>;

    /// The next payload if one is there already.
    fn try_next(&mut self) -> Option<(String, Bytes)>;
}
