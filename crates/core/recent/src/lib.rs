//! Owns the bounded memory of what was asked for lately, and tables that give their space back.
//! Must not contain: what is remembered, clocks, and any promise that something is still there.
#![warn(missing_docs)]

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use parking_lot::Mutex;

/// A map that never grows beyond its bound, and that empties when nobody asks.
///
/// Two generations of at most `cap` entries each: when the young one is full, or at
/// [`Recent::turn`], it becomes the old one and the old one is dropped; what is asked for in the
/// old one becomes young again. So what was not used between two turns is gone, and no entry
/// carries a time or a link. Every call is one short lock and a look-up or two.
#[derive(Debug)]
pub struct Recent<K, V> {
    cap: usize,
    maps: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    era: Era,
}

/// The time between two calls of [`Recent::clear`]. What was found out in one may not be true in
/// the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Era(u64);

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Remembers at most twice `cap` entries.
    pub fn new(cap: usize) -> Self {
        let maps = Generations { young: HashMap::new(), old: HashMap::new(), era: Era::default() };
        Self { cap: cap.max(1), maps: Mutex::new(maps) }
    }

    /// What is remembered of `key`; it counts as used.
    pub fn get(&self, key: &K) -> Option<V> {
        let mut maps = self.maps.lock();
        if let Some(value) = maps.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = maps.old.remove_entry(key)?;
        maps.put(key, value.clone(), self.cap);
        Some(value)
    }

    /// Remembers, in the place of what was known of `key` before.
    pub fn put(&self, key: K, value: V) {
        let mut maps = self.maps.lock();
        maps.old.remove(&key);
        maps.put(key, value, self.cap);
    }

    /// The era that runs: read it before finding out what [`Recent::put_of`] shall remember.
    pub fn era(&self) -> Era {
        self.maps.lock().era
    }

    /// Remembers what was found out from `era` on, unless everything was forgotten since. Whether
    /// it is remembered.
    pub fn put_of(&self, era: Era, key: K, value: V) -> bool {
        let mut maps = self.maps.lock();
        let lasts = maps.era == era;
        if lasts {
            maps.old.remove(&key);
            maps.put(key, value, self.cap);
        }
        lasts
    }

    /// Remembers like [`Recent::put_of`] what nobody asked for yet: until the next turn, if it is
    /// not asked for by then, and only while there is room. It pushes nothing out and brings no
    /// turn nearer. Whether it is remembered.
    pub fn offer_of(&self, era: Era, key: K, value: V) -> bool {
        let mut maps = self.maps.lock();
        let fits = maps.era == era && maps.old.len() < self.cap;
        if fits && !maps.young.contains_key(&key) {
            maps.old.insert(key, value);
        }
        fits
    }

    /// Forgets everything; an era ends.
    pub fn clear(&self) {
        let mut maps = self.maps.lock();
        let era = Era(maps.era.0.wrapping_add(1));
        *maps = Generations { young: HashMap::new(), old: HashMap::new(), era };
    }

    /// Forgets.
    pub fn remove(&self, key: &K) {
        let mut maps = self.maps.lock();
        maps.young.remove(key);
        maps.old.remove(key);
    }

    /// Forgets what was not used since the last turn. Costs the drop of those entries.
    pub fn turn(&self) {
        let mut maps = self.maps.lock();
        let young = std::mem::take(&mut maps.young);
        let old = std::mem::replace(&mut maps.old, young);
        drop(maps);
        // Outside of the lock: this may be many.
        drop(old);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        let maps = self.maps.lock();
        maps.young.len() + maps.old.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

/// Gives space back that a table kept from when it was at least eight times as full. Costs a look
/// at two numbers, and a move of what is left once in a long while.
pub fn shrink<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > 128 && table.capacity() / 8 > table.len() {
        table.shrink_to(table.len() * 2);
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

    #[test]
    fn what_was_not_used_between_two_turns_is_gone() {
        let recent = Recent::new(100);
        recent.put(1, "used");
        recent.put(2, "idle");
        recent.turn();
        assert_eq!(recent.get(&1), Some("used"));
        recent.turn();
        assert_eq!((recent.get(&1), recent.get(&2)), (Some("used"), None));
        recent.turn();
        recent.turn();
        assert!(recent.is_empty());
    }

    #[test]
    fn what_was_found_out_before_everything_was_forgotten_is_not_remembered_after() {
        let recent = Recent::new(4);
        let before = recent.era();
        assert!(recent.put_of(before, 1, "in time"));
        assert!(recent.offer_of(before, 2, "in time"));
        assert_eq!((recent.get(&1), recent.get(&2)), (Some("in time"), Some("in time")));
        recent.clear();
        assert!(!recent.put_of(before, 1, "late"));
        assert!(!recent.offer_of(before, 2, "late"));
        assert!(recent.is_empty());
        assert!(recent.put_of(recent.era(), 1, "anew"));
    }

    #[test]
    fn what_is_offered_pushes_nothing_out_and_stays_if_it_is_asked_for() {
        let recent = Recent::new(4);
        let era = recent.era();
        (0..4).for_each(|key| recent.put(key, "used"));
        let taken = (100..200).filter(|key| recent.offer_of(era, *key, "offered")).count();
        assert_eq!((taken, recent.len()), (4, 8));
        assert!((0..4).all(|key| recent.get(&key) == Some("used")), "nobody had to go");
        let recent = Recent::new(4);
        let era = recent.era();
        assert!(recent.offer_of(era, 1, "offered") && recent.offer_of(era, 2, "offered"));
        assert_eq!(recent.get(&1), Some("offered"));
        recent.turn();
        assert_eq!((recent.get(&1), recent.get(&2)), (Some("offered"), None));
        // It does not take the place of what is known already.
        recent.offer_of(era, 1, "again");
        assert_eq!(recent.get(&1), Some("offered"));
    }

    #[test]
    fn a_newer_value_replaces_one_in_the_old_generation() {
        let recent = Recent::new(4);
        recent.put(1, "first");
        recent.turn();
        recent.put(1, "second");
        assert_eq!(recent.len(), 1);
        assert_eq!(recent.get(&1), Some("second"));
    }

    #[test]
    fn a_table_that_was_full_gives_its_space_back_and_keeps_what_is_left() {
        let mut table: HashMap<u32, u32> = (0..100_000).map(|n| (n, n)).collect();
        for n in 10..100_000 {
            table.remove(&n);
            shrink(&mut table);
        }
        assert!(table.capacity() <= 128, "{}", table.capacity());
        assert_eq!(table.len(), 10);
    }
}
