//! All connections of the instance.

use std::collections::HashMap;
use std::sync::Arc;

use klatch_domain::ConnectionId;
use klatch_recent::shrink;
use parking_lot::Mutex;

use crate::connection::Connection;

const SHARDS: usize = 16;

/// All connections, for the sweep and the drain.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    shards: [Mutex<HashMap<ConnectionId, Arc<Connection>>>; SHARDS],
}

impl Registry {
    fn shard(&self, id: ConnectionId) -> &Mutex<HashMap<ConnectionId, Arc<Connection>>> {
        let index = usize::try_from(id.bits() % SHARDS as u128).unwrap_or(0);
        // In range by the remainder; the fallback is never taken.
        self.shards.get(index).unwrap_or(&self.shards[0])
    }

    pub(crate) fn add(&self, connection: Arc<Connection>) {
        self.shard(connection.id).lock().insert(connection.id, connection);
    }

    pub(crate) fn remove(&self, id: ConnectionId) {
        let mut shard = self.shard(id).lock();
        shard.remove(&id);
        shrink(&mut shard);
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Visits every connection. The visitor must not wait and must not touch the registry.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<Connection>)) {
        for shard in &self.shards {
            shard.lock().values().for_each(&mut visit);
        }
    }
}
