//! The key index in memory.

use std::collections::{BTreeMap, HashMap};

use klatch_domain::Timestamp;
use klatch_ports::key_index::{KeyEntry, KeyIndex, Remembered};
use klatch_ports::messages::Applied;
use klatch_ports::{Partition, PortResult};
use parking_lot::Mutex;

/// Keys in a map. Grows until told to forget.
#[derive(Debug, Default)]
pub struct MemoryKeyIndex {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    keys: HashMap<(Partition, u128), Remembered>,
    applied: BTreeMap<Partition, Applied>,
    time: Timestamp,
}

impl KeyIndex for MemoryKeyIndex {
    fn applied(&self, partition: Partition) -> PortResult<Applied> {
        Ok(self.inner.lock().applied.get(&partition).copied().unwrap_or_default())
    }

    fn time(&self) -> Timestamp {
        self.inner.lock().time
    }

    fn lookup(&self, partition: Partition, key: u128) -> PortResult<Option<Remembered>> {
        Ok(self.inner.lock().keys.get(&(partition, key)).copied())
    }

    fn commit(
        &self,
        partition: Partition,
        applied: Applied,
        at: Timestamp,
        entries: &[KeyEntry],
    ) -> PortResult<()> {
        let mut inner = self.inner.lock();
        let at = at.max(inner.time);
        inner.time = at;
        for entry in entries {
            let remembered = Remembered { offset: entry.offset, at };
            inner.keys.insert((partition, entry.key), remembered);
        }
        inner.applied.insert(partition, applied);
        Ok(())
    }

    fn forget_before(&self, time: Timestamp) -> PortResult<()> {
        self.inner.lock().keys.retain(|_, remembered| remembered.at >= time);
        Ok(())
    }
}
