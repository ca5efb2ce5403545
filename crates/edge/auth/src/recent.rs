//! What was seen lately: a map that never grows beyond its bound.

use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::Mutex;

/// Two generations of at most `cap` entries: when the young one is full it becomes the old one,
/// and what is asked for in the old one becomes young again. Every call is one short lock.
pub(crate) struct Recent<K, V> {
    cap: usize,
    maps: Mutex<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(cap: usize) -> Self {
        let maps = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { cap: cap.max(1), maps: Mutex::new(maps) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut maps = self.maps.lock();
        if let Some(value) = maps.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = maps.old.remove_entry(key)?;
        maps.put(key, value.clone(), self.cap);
        Some(value)
    }

    pub(crate) fn put(&self, key: K, value: V) {
        let mut maps = self.maps.lock();
        maps.old.remove(&key);
        maps.put(key, value, self.cap);
    }

    pub(crate) fn remove(&self, key: &K) {
        let mut maps = self.maps.lock();
        maps.young.remove(key);
        maps.old.remove(key);
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn put(&mut self, key: K, value: V, cap: usize) {
        if self.young.len() >= cap {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let recent = Recent::new(4);
        recent.put(0, "kept");
        for key in 1..100 {
            recent.put(key, "passing");
            assert_eq!(recent.get(&0), Some("kept"));
            let maps = recent.maps.lock();
            assert!(maps.young.len() <= 4 && maps.old.len() <= 4);
        }
        assert_eq!(recent.get(&1), None);
        recent.remove(&0);
        assert_eq!(recent.get(&0), None);
    }
}
