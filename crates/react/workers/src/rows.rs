//! Rows of one kind while a batch is folded over them.

use std::collections::BTreeMap;

/// Rows as loaded, and above them those the batch changed. Sorted, so that commits write in the
/// order of keys.
#[derive(Clone, Debug)]
pub(crate) struct Rows<K, V> {
    loaded: BTreeMap<K, V>,
    changed: BTreeMap<K, V>,
}

impl<K: Ord, V> Default for Rows<K, V> {
    fn default() -> Self {
        Self { loaded: BTreeMap::new(), changed: BTreeMap::new() }
    }
}

impl<K: Ord, V> Rows<K, V> {
    /// Nothing changed yet. Keys without a row may be given as `None`.
    pub(crate) fn loaded(rows: impl IntoIterator<Item = (K, Option<V>)>) -> Self {
        let loaded = rows.into_iter().filter_map(|(key, row)| Some((key, row?))).collect();
        Self { loaded, changed: BTreeMap::new() }
    }

    /// The row as it is now.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.changed.get(key).or_else(|| self.loaded.get(key))
    }

    /// Sets the row.
    pub(crate) fn put(&mut self, key: K, row: V) {
        self.changed.insert(key, row);
    }

    /// What must be committed.
    pub(crate) fn into_changed(self) -> impl Iterator<Item = (K, V)> {
        self.changed.into_iter()
    }
}
