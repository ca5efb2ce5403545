//! The newest record of every key: of young segments in memory, of old ones in tables on disk.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use klatch_ports::StreamId;
use klatch_ports::log::Key;
use parking_lot::{Mutex, RwLock};

use super::batch::stream_number;
use super::index::{Merge, merged_path, write_merged};
use super::space::remove_if_there;
use super::table::{HeadKey, HeadMap, Table};
use crate::disk::Disk;

/// So many tables of one size become one of the next: the number of tables that a lookup may have
/// to ask grows with the logarithm of the number of segments.
const MERGE: usize = 8;
/// Most results of table lookups that are kept.
const CACHE: usize = 100_000;

pub(super) fn head_key(stream: StreamId, key: Key) -> HeadKey {
    (stream_number(stream), key.0)
}

/// A lookup failed at the table that covers these offsets.
#[derive(Debug)]
pub(super) struct FindError {
    pub(super) error: io::Error,
    pub(super) base: u64,
    pub(super) last: u64,
}

/// A table and what it covers.
#[derive(Clone, Debug)]
pub(super) struct Covered {
    pub(super) base: u64,
    pub(super) last: u64,
    /// How many segments that is.
    pub(super) segments: u32,
    pub(super) table: Arc<Table>,
}

impl Covered {
    /// The file, when it is one of its own: a single segment's table is part of its index.
    fn merged_file(&self) -> Option<String> {
        (self.segments > 1).then(|| merged_path(self.base))
    }
}

#[derive(Debug)]
pub(super) struct Heads {
    hot: Mutex<Hot>,
    /// Newest first, without gaps or overlaps.
    tables: RwLock<Arc<Vec<Covered>>>,
    /// Records up to here are gone, and heads among them.
    forgotten: AtomicU64,
}

#[derive(Debug, Default)]
struct Hot {
    /// Of the segment that is written to.
    active: HeadMap,
    /// Of segments without a table yet, newest first, with their base offsets.
    sealing: Vec<(u64, Arc<HeadMap>)>,
    /// What tables answered.
    cache: HashMap<HeadKey, Option<u64>>,
}

/// What memory can tell of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// Its newest record, or that there is none.
    Knows(Option<u64>),
    /// Only tables can tell.
    CannotTell,
}

impl Hot {
    fn find(&self, key: HeadKey) -> Memory {
        let sealing = || self.sealing.iter().find_map(|(_, heads)| heads.get(&key));
        match self.active.get(&key).or_else(sealing) {
            Some(offset) => Memory::Knows(Some(*offset)),
            None => self.cache.get(&key).map_or(Memory::CannotTell, |known| Memory::Knows(*known)),
        }
    }
}

impl Heads {
    pub(super) fn new(active: HeadMap, tables: Vec<Covered>, forgotten: u64) -> Self {
        let hot = Hot { active, ..Hot::default() };
        Self {
            hot: Mutex::new(hot),
            tables: RwLock::new(Arc::new(tables)),
            forgotten: AtomicU64::new(forgotten),
        }
    }

    /// The newest record of a key, when memory alone can tell.
    pub(super) fn in_memory(&self, key: HeadKey) -> Memory {
        match self.hot.lock().find(key) {
            Memory::Knows(found) => Memory::Knows(self.if_there(found)),
            Memory::CannotTell => Memory::CannotTell,
        }
    }

    /// The newest record of a key. May read a few blocks.
    ///
    /// # Errors
    /// What the disk says, or that a table is damaged, and which.
    pub(super) fn find(&self, key: HeadKey) -> Result<Option<u64>, FindError> {
        if let Memory::Knows(found) = self.in_memory(key) {
            return Ok(found);
        }
        let tables = Arc::clone(&self.tables.read());
        let mut found = None;
        for covered in tables.iter() {
            found = covered.table.find(key).map_err(|error| FindError {
                error,
                base: covered.base,
                last: covered.last,
            })?;
            if found.is_some() {
                break;
            }
        }
        let mut hot = self.hot.lock();
        // Meanwhile it may have been appended to, and even sealed: memory knows better.
        if let Memory::Knows(newer) = hot.find(key) {
            return Ok(self.if_there(newer));
        }
        // Only if no table was added since, the answer is still the newest.
        if Arc::ptr_eq(&tables, &self.tables.read()) {
            if hot.cache.len() >= CACHE {
                hot.cache.clear();
            }
            hot.cache.insert(key, found);
        }
        Ok(self.if_there(found))
    }

    /// A head that was forgotten is none.
    fn if_there(&self, found: Option<u64>) -> Option<u64> {
        found.filter(|offset| *offset > self.forgotten.load(Ordering::Acquire))
    }

    /// Notes what became durable.
    pub(super) fn advance(&self, heads: impl Iterator<Item = (HeadKey, u64)>) {
        self.hot.lock().active.extend(heads);
    }

    /// The active segment, which began with `base`, is sealed: what its index will hold.
    pub(super) fn seal(&self, base: u64) -> Arc<HeadMap> {
        let mut hot = self.hot.lock();
        let heads = Arc::new(std::mem::take(&mut hot.active));
        hot.sealing.insert(0, (base, Arc::clone(&heads)));
        heads
    }

    /// A sealed segment has its table now; all older ones must have theirs.
    pub(super) fn add_table(&self, covered: Covered) {
        let mut hot = self.hot.lock();
        let mut tables = self.tables.write();
        let base = covered.base;
        *tables = Arc::new(std::iter::once(covered).chain(tables.iter().cloned()).collect());
        let sealed = hot.sealing.iter().position(|(known, _)| *known == base);
        let Some(heads) = sealed.map(|index| hot.sealing.remove(index).1) else { return };
        // What tables answered about these keys is out of date; what this one answers is not.
        hot.cache.clear();
        if heads.len() <= CACHE {
            hot.cache.extend(heads.iter().map(|(key, offset)| (*key, Some(*offset))));
        }
    }

    /// The table of the segment that begins with `base` is on the disk now, the same as in memory;
    /// no effect when it was merged or forgotten.
    pub(super) fn put_on_disk(&self, base: u64, table: Arc<Table>) {
        let mut tables = self.tables.write();
        let mut list = Vec::clone(&tables);
        if let Some(one) = list.iter_mut().find(|one| one.base == base && one.segments == 1) {
            one.table = table;
        }
        *tables = Arc::new(list);
    }

    /// Merges tables of one size as long as there are enough of them.
    ///
    /// # Errors
    /// What the disk says; the tables that are there stay in use.
    pub(super) fn merge(&self, disk: &dyn Disk) -> io::Result<()> {
        loop {
            let tables = Arc::clone(&self.tables.read());
            let Some(start) = run_of_equals(&tables) else { return Ok(()) };
            let run = tables.get(start..start + MERGE).unwrap_or(&[]);
            let (Some(newest), Some(oldest)) = (run.first(), run.last()) else { return Ok(()) };
            let sources: Vec<_> = run.iter().map(|covered| Arc::clone(&covered.table)).collect();
            let segments = run.iter().map(|covered| covered.segments).sum();
            let merge = Merge {
                base: oldest.base,
                last: newest.last,
                segments,
                tables: &sources,
                forgotten: self.forgotten.load(Ordering::Acquire),
            };
            let table = Arc::new(write_merged(disk, &merge)?);
            let merged = Covered { base: merge.base, last: merge.last, segments, table };
            self.replace(std::slice::from_ref(&merged));
            for file in run.iter().filter_map(Covered::merged_file) {
                // The file of the oldest one was replaced by the merged one under the same name.
                if Some(&file) != merged.merged_file().as_ref() {
                    // Gone already when it was forgotten meanwhile.
                    remove_if_there(disk, &file)?;
                }
            }
        }
    }

    /// Puts `new`, newest first, in the place of all tables within what they cover.
    pub(super) fn replace(&self, new: &[Covered]) {
        let (Some(newest), Some(oldest)) = (new.first(), new.last()) else { return };
        let mut tables = self.tables.write();
        let inside = |old: &Covered| old.base >= oldest.base && old.last <= newest.last;
        let mut list: Vec<_> = tables.iter().filter(|covered| !inside(covered)).cloned().collect();
        let at = list.partition_point(|covered| covered.base > newest.last);
        list.splice(at..at, new.iter().cloned());
        *tables = Arc::new(list);
    }

    /// Records up to `offset` are gone; names the files of merged tables that nobody needs now.
    pub(super) fn forget(&self, offset: u64) -> Vec<String> {
        self.forgotten.fetch_max(offset, Ordering::AcqRel);
        let left = |heads: &HeadMap| heads.values().any(|head| *head > offset);
        self.hot.lock().sealing.retain(|(_, heads)| left(heads));
        let mut tables = self.tables.write();
        let (kept, gone): (Vec<_>, Vec<_>) =
            tables.iter().cloned().partition(|covered| covered.last > offset);
        *tables = Arc::new(kept);
        gone.iter().filter_map(Covered::merged_file).collect()
    }
}

/// Where `MERGE` neighbours of one size begin.
fn run_of_equals(tables: &[Covered]) -> Option<usize> {
    tables.windows(MERGE).position(|run| {
        let first = run.first().map(|covered| covered.segments);
        run.iter().all(|covered| Some(covered.segments) == first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::index::{Contents, MERGED_ENDING, write};
    use crate::segment::{DIR, Marks, base_of, index_path};

    const SEGMENTS: u64 = 70;

    /// Key `n` is written in every segment whose number is a multiple of `n`.
    fn keys_of(segment: u64) -> HeadMap {
        let written = (1..=SEGMENTS).filter(|n| segment.is_multiple_of(*n));
        written.map(|n| ((1, u128::from(n)), segment * 1000 + n)).collect()
    }

    fn fill(disk: &dyn Disk, heads: &Heads) {
        for segment in 1..=SEGMENTS {
            let base = segment * 1000;
            heads.advance(keys_of(segment).into_iter());
            let sealed = heads.seal(base);
            let marks = Marks::new();
            let contents = Contents { base, last: base + 999, stamp: 0, marks: &marks };
            let entries = sealed.iter().map(|(key, offset)| (*key, *offset));
            let table = write(disk, &index_path(base), &contents, entries).unwrap();
            let table = Arc::new(table);
            heads.add_table(Covered { base, last: base + 999, segments: 1, table });
            heads.merge(disk).unwrap();
        }
    }

    fn expected(n: u64) -> Option<u64> {
        (1..=SEGMENTS).rev().find(|segment| segment.is_multiple_of(n)).map(|s| s * 1000 + n)
    }

    #[test]
    fn heads_are_found_through_any_number_of_merges() {
        let sim = SimDisk::new(1);
        let heads = Heads::new(HeadMap::default(), Vec::new(), 0);
        fill(&*sim.disk(), &heads);
        assert_eq!(heads.tables.read().len(), 1 + 6);
        for _ in 0..2 {
            for n in 1..=SEGMENTS {
                assert_eq!(heads.find((1, u128::from(n))).unwrap(), expected(n), "key {n}");
                assert_eq!(heads.find((2, u128::from(n))).unwrap(), None);
            }
            heads.hot.lock().cache.clear();
        }
        let merged: Vec<_> =
            sim.names(DIR).iter().filter_map(|name| base_of(name, MERGED_ENDING)).collect();
        assert_eq!(merged, [1000], "merged tables replace what they are made of");
    }

    #[test]
    fn forgotten_heads_are_absent() {
        let sim = SimDisk::new(1);
        let heads = Heads::new(HeadMap::default(), Vec::new(), 0);
        fill(&*sim.disk(), &heads);
        let gone = heads.forget(64_999);
        assert_eq!(gone, ["log/00000000000000001000.heads"]);
        for n in 1..=SEGMENTS {
            let left = expected(n).filter(|offset| *offset > 64_999);
            assert_eq!(heads.find((1, u128::from(n))).unwrap(), left, "key {n}");
        }
    }

    #[test]
    fn what_memory_knows_beats_what_tables_hold() {
        let sim = SimDisk::new(1);
        let heads = Heads::new(HeadMap::default(), Vec::new(), 0);
        fill(&*sim.disk(), &heads);
        assert_eq!(heads.find((1, 3)).unwrap(), Some(69_003));
        heads.advance(std::iter::once(((1, 3), 80_000)));
        assert_eq!(heads.find((1, 3)).unwrap(), Some(80_000));
        heads.seal(80_000);
        assert_eq!(heads.in_memory((1, 3)), Memory::Knows(Some(80_000)));
        assert_eq!(heads.find((1, 3)).unwrap(), Some(80_000));
    }
}
