//! Data keys in a map.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::{Entropy, UserId};
use klatch_ports::PortResult;
use klatch_ports::keys::{DataKey, KeyReader, KeyWriter};
use parking_lot::Mutex;

/// All data keys, in memory. Gone with the process, and all that was written under them.
#[derive(Debug)]
pub struct Keys {
    keys: Mutex<HashMap<UserId, DataKey>>,
    entropy: Arc<dyn Entropy>,
}

impl Keys {
    /// No keys yet; new ones come from `entropy`.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { keys: Mutex::default(), entropy }
    }
}

#[async_trait]
impl KeyReader for Keys {
    async fn key(&self, person: UserId) -> PortResult<Option<DataKey>> {
        Ok(self.keys.lock().get(&person).cloned())
    }
}

#[async_trait]
impl KeyWriter for Keys {
    async fn create(&self, people: &[UserId]) -> PortResult<()> {
        let mut keys = self.keys.lock();
        for person in people {
            keys.entry(*person).or_insert_with(|| {
                let mut key = [0; 32];
                self.entropy.fill(&mut key);
                DataKey(key)
            });
        }
        Ok(())
    }

    async fn destroy(&self, person: UserId) -> PortResult<bool> {
        Ok(self.keys.lock().remove(&person).is_some())
    }
}
