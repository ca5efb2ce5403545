//! How far a store has come, and waiting for more without polling.

use std::collections::BTreeMap;
use std::time::Duration;

use klatch_ports::messages::Applied;
use klatch_ports::{Offset, Partition};
use tokio::sync::watch;

/// One place per partition; waiters wake when it moves.
#[derive(Debug)]
pub(crate) struct Progress {
    places: watch::Sender<BTreeMap<Partition, Applied>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { places: watch::Sender::new(BTreeMap::new()) }
    }
}

impl Progress {
    pub(crate) fn get(&self, partition: Partition) -> Applied {
        self.places.borrow().get(&partition).copied().unwrap_or_default()
    }

    /// Sets the place, unless it would go back within one life of the log.
    pub(crate) fn set(&self, partition: Partition, applied: Applied) {
        self.places.send_modify(|places| {
            let place = places.entry(partition).or_default();
            if place.epoch != applied.epoch || place.offset < applied.offset {
                *place = applied;
            }
        });
    }

    pub(crate) fn clear(&self) {
        self.places.send_modify(BTreeMap::clear);
    }

    /// True once the place is at least `offset`; false when `most` has passed before.
    pub(crate) async fn wait(&self, partition: Partition, offset: Offset, most: Duration) -> bool {
        let mut places = self.places.subscribe();
        let there =
            places.wait_for(|places| places.get(&partition).is_some_and(|at| at.offset >= offset));
        offset == Offset::ZERO || tokio::time::timeout(most, there).await.is_ok_and(|r| r.is_ok())
    }
}

/// Whether a commit was made before, so that making it again must change nothing.
pub(crate) fn is_repeat(stored: Option<&Applied>, commit: Applied) -> bool {
    stored.is_some_and(|at| at.epoch == commit.epoch && commit.offset <= at.offset)
}
