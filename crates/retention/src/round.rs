//! A round: a snapshot that is found right, then the oldest segments.

use std::sync::Arc;
use std::time::Duration;

use klatch_domain::{Clock, Timestamp};
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::Stores;
use klatch_ports::Offset;

use super::pace::Pace;
use super::snapshot::{Held, Manifest, Snapshot};

/// What a round needs; it is made in two steps, [`Retention::cover`] and [`Retention::let_go`],
/// each of which may be the last before a crash.
#[derive(Clone)]
pub struct Retention {
    /// The log that is to forget.
    pub log: Arc<EmbeddedLog>,
    /// The read models that people read.
    pub live: Stores,
    /// Their copy.
    pub snapshot: Snapshot,
    /// Tells what is old.
    pub clock: Arc<dyn Clock>,
    /// How long the log keeps what is appended. At least as long as keys of clients are remembered.
    pub kept_for: Duration,
}

impl std::fmt::Debug for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retention").field("kept_for", &self.kept_for).finish_non_exhaustive()
    }
}

impl Retention {
    /// Everything appended before this may be forgotten.
    fn before(&self) -> Timestamp {
        let kept_for = u64::try_from(self.kept_for.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.clock.now().0.saturating_sub(kept_for))
    }

    /// The last record that is old enough to be forgotten and lies in a sealed segment; where the
    /// log begins when there is none. Cheap: a round is worth its cost when this is more.
    pub fn forgettable(&self) -> Offset {
        self.log.forgettable(self.before())
    }

    /// Brings the snapshot up to the read models, see [`Held::advance`]. Blocks for long.
    ///
    /// # Errors
    /// As [`Held::advance`]: nothing may be forgotten then.
    pub fn cover(&self, held: &Held<'_>, pace: &mut Pace) -> anyhow::Result<Manifest> {
        held.advance(&self.log, &self.live, self.clock.now(), pace)
    }

    /// Forgets what is old, in `covered`, and passed by every consumer; where the log begins then.
    /// Blocks.
    ///
    /// # Errors
    /// What the disk says. The log begins where it did, or later.
    pub fn let_go(&self, covered: &Manifest) -> anyhow::Result<Offset> {
        // Rows that a power cut takes back are read from the log again: it must hold them.
        self.live.persist()?;
        let before = self.before();
        let goal = self.log.forgettable(before).min(covered.covers());
        for (name, floor) in self.log.floors()? {
            if floor < goal {
                tracing::warn!(consumer = name, %floor, "a consumer keeps the log from forgetting");
            }
        }
        Ok(self.log.forget(covered.covers(), before)?)
    }
}
