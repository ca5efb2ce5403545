//! One data key per person, kept apart from all data.

use async_trait::async_trait;
use klatch_domain::UserId;

use crate::error::PortResult;

/// A person's data key. Not printable, not comparable by accident.
#[derive(Clone)]
pub struct DataKey(pub [u8; 32]);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// Looks keys up.
#[async_trait]
pub trait KeyReader: Send + Sync {
    /// The key of `person`; `None` when there never was one or it was destroyed. A memory look-up
    /// in the usual case; at most one disk read.
    async fn key(&self, person: UserId) -> PortResult<Option<DataKey>>;
}

/// Makes and destroys keys.
#[async_trait]
pub trait KeyWriter: Send + Sync {
    /// Makes a key for each of `people` that has none. Returns when all are durable (one sync for
    /// the whole call); only then may an event use them.
    async fn create(&self, people: &[UserId]) -> PortResult<()>;

    /// Destroys the key of `person`: overwritten in place and synced. Whether there was one.
    async fn destroy(&self, person: UserId) -> PortResult<bool>;
}
