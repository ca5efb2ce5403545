//! How far a store has come, and waiting for more without polling.

use std::collections::BTreeMap;
use std::time::Duration;

use klatch_ports::messages::Applied;
use klatch_ports::{Offset, Partition};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Per partition: what the rows say, and the mark readers wait for, which may be ahead of it.
#[derive(Debug)]
pub(super) struct Progress {
    stored: Mutex<BTreeMap<Partition, Applied>>,
    marks: watch::Sender<BTreeMap<Partition, Applied>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { stored: Mutex::default(), marks: watch::Sender::new(BTreeMap::new()) }
    }
}

impl Progress {
    /// Takes over what the rows say at opening.
    pub(super) fn load(&self, partition: Partition, applied: Applied) {
        self.committed(partition, applied);
    }

    pub(super) fn get(&self, partition: Partition) -> Applied {
        self.marks.borrow().get(&partition).copied().unwrap_or_default()
    }

    /// Whether a commit was made before, so that making it again must change nothing.
    pub(super) fn is_repeat(&self, partition: Partition, commit: Applied) -> bool {
        let stored = self.stored.lock();
        stored
            .get(&partition)
            .is_some_and(|at| at.epoch == commit.epoch && commit.offset <= at.offset)
    }

    /// The rows say `applied` now.
    pub(super) fn committed(&self, partition: Partition, applied: Applied) {
        self.stored.lock().insert(partition, applied);
        self.advance(partition, applied);
    }

    /// Moves the mark, unless it would go back within one life of the log.
    pub(super) fn advance(&self, partition: Partition, applied: Applied) {
        self.marks.send_modify(|marks| {
            let mark = marks.entry(partition).or_default();
            if mark.epoch != applied.epoch || mark.offset < applied.offset {
                *mark = applied;
            }
        });
    }

    pub(super) fn clear(&self) {
        self.stored.lock().clear();
        self.marks.send_modify(BTreeMap::clear);
    }

    /// True once the mark is at least `offset`; false when `most` has passed before.
    pub(super) async fn wait(&self, partition: Partition, offset: Offset, most: Duration) -> bool {
        if offset == Offset::ZERO {
            return true;
        }
        let mut marks = self.marks.subscribe();
        let there =
            marks.wait_for(|marks| marks.get(&partition).is_some_and(|at| at.offset >= offset));
        tokio::time::timeout(most, there).await.is_ok_and(|found| found.is_ok())
    }
}
