//! Unwrapped keys used lately.

use std::collections::HashMap;

use klatch_domain::UserId;
use klatch_ports::keys::DataKey;
use parking_lot::Mutex;

/// Keys per generation; both generations together take about 3 MB.
const GENERATION: usize = 16_384;

/// Two generations: when the young one is full it becomes the old one, and what is used from there
/// becomes young again.
#[derive(Default)]
pub(super) struct Cache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<UserId, DataKey>,
    old: HashMap<UserId, DataKey>,
}

impl Cache {
    pub(super) fn get(&self, person: UserId) -> Option<DataKey> {
        let mut generations = self.0.lock();
        if let Some(key) = generations.young.get(&person) {
            return Some(key.clone());
        }
        let key = generations.old.remove(&person)?;
        generations.insert(person, key.clone());
        Some(key)
    }

    pub(super) fn put(&self, person: UserId, key: DataKey) {
        self.0.lock().insert(person, key);
    }

    pub(super) fn remove(&self, person: UserId) {
        let mut generations = self.0.lock();
        generations.young.remove(&person);
        generations.old.remove(&person);
    }
}

impl Generations {
    fn insert(&mut self, person: UserId, key: DataKey) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(person, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_used_lately_stay_and_memory_is_bounded() {
        let cache = Cache::default();
        let key = |n: u8| DataKey([n; 32]);
        cache.put(UserId::from_bits(0), key(9));
        for n in 1..100_000 {
            cache.put(UserId::from_bits(n), key(1));
            assert_eq!(cache.get(UserId::from_bits(0)).map(|key| key.0), Some([9; 32]), "{n}");
        }
        let generations = cache.0.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
        drop(generations);
        assert!(cache.get(UserId::from_bits(1)).is_none());
        cache.remove(UserId::from_bits(0));
        assert!(cache.get(UserId::from_bits(0)).is_none());
    }
}
