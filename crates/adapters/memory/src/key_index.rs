//! The key index in memory.

use std::collections::{BTreeMap, HashMap};

use klatch_domain::Timestamp;
use klatch_ports::key_index::{KeyEntry, KeyIndex};
use klatch_ports::messages::Applied;
use klatch_ports::{Offset, Partition, PortResult};
use parking_lot::Mutex;

/// Keys in a map. Grows until told to forget.
#[derive(Debug, Default)]
pub struct MemoryKeyIndex {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    keys: HashMap<(Partition, u128), (Offset, Timestamp)>,
    applied: BTreeMap<Partition, Applied>,
}

impl KeyIndex for MemoryKeyIndex {
    fn applied(&self, partition: Partition) -> PortResult<Applied> {
        Ok(self.inner.lock().applied.get(&partition).copied().unwrap_or_default())
    }

    fn lookup(&self, partition: Partition, key: u128) -> PortResult<Option<Offset>> {
        Ok(self.inner.lock().keys.get(&(partition, key)).map(|(offset, _)| *offset))
    }

    fn commit(
        &self,
        partition: Partition,
        applied: Applied,
        entries: &[KeyEntry],
    ) -> PortResult<()> {
        let mut inner = self.inner.lock();
        for entry in entries {
            inner.keys.insert((partition, entry.key), (entry.offset, entry.appended_at));
        }
        inner.applied.insert(partition, applied);
        Ok(())
    }

    fn forget_before(&self, time: Timestamp) -> PortResult<()> {
        self.inner.lock().keys.retain(|_, (_, at)| *at >= time);
        Ok(())
    }
}
