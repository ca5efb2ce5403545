//! Who was in a room when an event happened, from a store that may be ahead of that event.

use std::collections::HashMap;
use std::time::Duration;

use klatch_domain::UserId;
use klatch_ports::{Offset, Partition, PortResult};
pub(crate) use klatch_sync::EventAt;

use crate::deps::Deps;

impl Deps {
    /// Waits until the store has taken in everything up to `offset`, at most `most`.
    pub(crate) async fn store_reaches(
        &self,
        partition: Partition,
        offset: Offset,
        most: Duration,
    ) -> PortResult<bool> {
        if self.metadata.applied(partition).await?.offset >= offset {
            return Ok(true);
        }
        self.metadata.wait_applied(partition, offset, most).await
    }

    /// See [`klatch_sync::was_in`].
    pub(crate) async fn was_in(&self, at: EventAt, user: UserId) -> PortResult<bool> {
        klatch_sync::was_in(&*self.log, &*self.metadata, at, user).await
    }

    /// See [`klatch_sync::changes_after`].
    pub(crate) async fn changes_after(&self, at: EventAt) -> PortResult<HashMap<UserId, bool>> {
        klatch_sync::changes_after(&*self.log, &*self.metadata, at).await
    }
}
