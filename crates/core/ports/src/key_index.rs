//! The memory of senders' own keys: which event of the log a key became.
//!
//! Built from the log alone and local to a command instance; after a crash it replays from its own
//! position. Kept in day buckets, so that forgetting is dropping a bucket.
//!
//! Its time is its own: it begins anywhere, goes on while the memory is at work and never back, and
//! has nothing to do with the machine's clock, which may jump by days and must not make anybody
//! forget what was said a second ago.

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
}

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Which event it became.
    pub offset: Offset,
    /// When the index took it in, or later, in the index' own time.
    pub at: Timestamp,
}

/// The index. Calls are short and local, so they are not async; they fail as the disk does.
#[expect(clippy::missing_errors_doc, reason = "said once for the whole trait")]
pub trait KeyIndex: Send + Sync {
    /// How far the index goes.
    fn applied(&self, partition: Partition) -> PortResult<Applied>;

    /// The latest time of a commit, also after a restart: where the time of the next life begins.
    /// Zero before the first. A power cut may take it back by a little.
    fn time(&self) -> Timestamp;

    /// The event a key became, if it is not older than the bucket before yesterday's. A miss
    /// costs a filter look-up per bucket.
    fn lookup(&self, partition: Partition, key: u128) -> PortResult<Option<Remembered>>;

    /// Takes in entries and the position they bring the index to, together. `at` is the index' own
    /// time, which never goes back: an earlier one counts as [`KeyIndex::time`]. Repeating it
    /// makes the keys younger and changes nothing else. A power cut may take it back, and the
    /// position with it.
    fn commit(
        &self,
        partition: Partition,
        applied: Applied,
        at: Timestamp,
        entries: &[KeyEntry],
    ) -> PortResult<()>;

    /// Drops buckets whose every key is older than `time`, in the index' own time.
    fn forget_before(&self, time: Timestamp) -> PortResult<()>;
}
