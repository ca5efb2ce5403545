//! Whereabouts as a map.

use std::collections::HashMap;

use async_trait::async_trait;
use klatch_domain::presence::Choice;
use klatch_domain::{Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::whereabouts::{Whereabouts, WhereaboutsStore};
use parking_lot::Mutex;

/// All whereabouts, in memory. Gone with the process.
#[derive(Debug, Default)]
pub struct MemoryWhereabouts(Mutex<HashMap<UserId, Whereabouts>>);

#[async_trait]
impl WhereaboutsStore for MemoryWhereabouts {
    async fn whereabouts(&self, user: UserId) -> PortResult<Whereabouts> {
        Ok(self.0.lock().get(&user).cloned().unwrap_or_default())
    }

    async fn left(&self, user: UserId, at: Timestamp) -> PortResult<()> {
        let mut all = self.0.lock();
        let row = all.entry(user).or_default();
        row.left = row.left.max(Some(at));
        Ok(())
    }

    async fn chose(&self, user: UserId, choice: Option<&Choice>) -> PortResult<()> {
        self.0.lock().entry(user).or_default().choice = choice.cloned();
        Ok(())
    }

    async fn forget(&self, user: UserId) -> PortResult<()> {
        self.0.lock().remove(&user);
        Ok(())
    }
}
