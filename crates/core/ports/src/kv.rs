//! Small, short-lived facts: presence, instances, caches, limits.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::PortResult;

/// Number of a change to the whole KV; increasing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value and the change that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// The change that set it.
    pub revision: Revision,
}

/// A change seen by a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvChange {
    /// Which key.
    pub key: String,
    /// Its value now; `None` when deleted or expired.
    pub value: Option<Bytes>,
    /// The change.
    pub revision: Revision,
}

/// Reads and watches.
#[async_trait]
pub trait KvReader: Send + Sync {
    /// The value of `key`, unless absent or expired.
    async fn get(&self, key: &str) -> PortResult<Option<Entry>>;

    /// All present keys that begin with `prefix`, in the order of the keys. The prefix ends in a
    /// dot and names one thing (`user.{user}.`): few keys, found without looking at others.
    async fn list(&self, prefix: &str) -> PortResult<Vec<(String, Entry)>>;

    /// First all present keys that begin with `prefix`, then every later change in order.
    async fn watch(&self, prefix: &str) -> PortResult<Box<dyn KvWatch>>;
}

/// Writes.
#[async_trait]
pub trait KvWriter: Send + Sync {
    /// Sets `key`, for `ttl` if given; setting it again renews it.
    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> PortResult<Revision>;

    /// Sets `key` only if its value is from `expected` (`None`: only if absent); else `None`.
    async fn put_if(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
        expected: Option<Revision>,
    ) -> PortResult<Option<Revision>>;

    /// Removes `key`; the revision of the removal (also when it was absent).
    async fn delete(&self, key: &str) -> PortResult<Revision>;
}

/// A running watch; dropping it ends it.
#[async_trait]
pub trait KvWatch: Send {
    /// The next change; `None` when the watch fell behind or the KV closed: watch again.
    async fn next(&mut self) -> Option<KvChange>;

    /// The next change if one is there already.
    fn try_next(&mut self) -> Option<KvChange>;
}
