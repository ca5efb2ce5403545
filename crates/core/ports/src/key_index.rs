//! The memory of senders' own keys: which event of the log a key became.
//!
//! Built from the log alone and local to a command instance; after a crash it replays from its own
//! position. Kept in day buckets, so that forgetting is dropping a bucket.

use klatch_domain::Timestamp;

use crate::error::PortResult;
use crate::messages::Applied;
use crate::position::{Offset, Partition};

/// A key that became an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Hash of (room, sender, the sender's own key).
    pub key: u128,
    /// Which event.
    pub offset: Offset,
    /// When the log took it in; decides the bucket.
    pub appended_at: Timestamp,
}

/// The index. Calls are short and local, so they are not async; they fail as the disk does.
#[expect(clippy::missing_errors_doc, reason = "said once for the whole trait")]
pub trait KeyIndex: Send + Sync {
    /// How far the index goes.
    fn applied(&self, partition: Partition) -> PortResult<Applied>;

    /// The event a key became, if it is not older than the bucket before yesterday's. A miss
    /// costs a filter look-up per bucket.
    fn lookup(&self, partition: Partition, key: u128) -> PortResult<Option<Offset>>;

    /// Takes in entries and the position they bring the index to, together. Repeating it changes
    /// nothing. A power cut may take it back, and the position with it.
    fn commit(
        &self,
        partition: Partition,
        applied: Applied,
        entries: &[KeyEntry],
    ) -> PortResult<()>;

    /// Drops buckets whose every key is older than `time`.
    fn forget_before(&self, time: Timestamp) -> PortResult<()>;
}
