//! The key index on disk: a ring of day buckets in a fjall database of their own.
//!
//! Nothing is synced: the index replays from its own position. Every commit writes the position
//! into every living bucket, and the list of living buckets beside it; after a power cut the lowest
//! position counts, and a bucket that others speak of but that is gone means "from the beginning".
//! The index' own time is written with it; of several the latest counts.
//!
//! In memory each bucket has a filter that knows which keys it does not hold. After opening, every
//! commit takes some thousands of the rows that were there already into it; until all are in it, it
//! is not asked.

mod filter;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::{Database, Keyspace};
use klatch_domain::Timestamp;
use klatch_ports::key_index::{KeyEntry, KeyIndex, Remembered};
use klatch_ports::messages::Applied;
use klatch_ports::{Epoch, Offset, Partition, PortResult};
use parking_lot::Mutex;
use tokio::sync::watch;

use self::filter::Filter;
use crate::broken::Broken;
use crate::engine::{self, Sizes, Tail, corrupt, failed};

const MIB: u64 = 1 << 20;
const DAY_MS: u64 = 86_400_000;
/// Buckets in the ring: today, the day before, the one before that, and one to be emptied.
const RING: u64 = 4;
const KEY: u8 = b'k';
const POSITION: u8 = b'p';
const LIVING: &[u8] = b"living";
const TIME: &[u8] = b"time";
/// New tables before they are merged, three times as many as usual: nearly no key is looked for in
/// them, for the filters know that it is not there. At 20 fjall begins to make writers wait.
const NEW_TABLES: u8 = 12;
/// Bytes of merged tables that new ones are merged with each time, as usual.
const MERGED_BYTES: u64 = 256 * MIB;
/// Rows that a commit takes into a bucket's filter: about a millisecond.
const ROWS_AT_A_TIME: usize = 2_000;

/// The key index in a data directory.
pub struct KeyIndexStore {
    database: Database,
    broken: Broken,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Living buckets by day.
    buckets: BTreeMap<u32, Bucket>,
    applied: BTreeMap<Partition, Applied>,
    /// The latest of all commits.
    time: Timestamp,
}

/// The keys of a day.
struct Bucket {
    keyspace: Keyspace,
    /// Of all keys but those in rows from `unseen` on that were there when it was opened.
    filter: Filter,
    /// `None`: there are no such rows.
    unseen: Option<Vec<u8>>,
}

impl Bucket {
    fn empty(keyspace: Keyspace) -> Self {
        Self { keyspace, filter: Filter::default(), unseen: None }
    }

    fn opened(keyspace: Keyspace) -> Self {
        Self { unseen: Some(vec![KEY]), ..Self::empty(keyspace) }
    }

    fn may_hold(&self, key: u128) -> bool {
        self.unseen.is_some() || self.filter.may_hold(key)
    }

    /// Takes more of the rows that were there at first into the filter. What was committed since
    /// is in it already; twice does no harm.
    fn see_more(&mut self) -> PortResult<()> {
        let Some(from) = self.unseen.take() else { return Ok(()) };
        for (count, entry) in self.keyspace.range(from..).enumerate() {
            let (row, _) = entry.into_inner().map_err(failed("reading"))?;
            let Some(key) = key_of(&row) else { break };
            if count == ROWS_AT_A_TIME {
                self.unseen = Some(row.to_vec());
                break;
            }
            self.filter.add(key);
        }
        Ok(())
    }
}

impl std::fmt::Debug for KeyIndexStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyIndexStore")
    }
}

impl KeyIndexStore {
    /// Opens the index in `<dir>/key-index`, or creates it empty. One process at a time.
    ///
    /// # Errors
    /// `Misconfigured` when another process has it open or it may not be written, `Corrupt`,
    /// `Full`, `Unavailable`.
    pub fn open(dir: &Path) -> PortResult<Self> {
        let sizes = Sizes { cache_bytes: 8 * MIB, journal_bytes: 64 * MIB, open_files: 64 };
        let dir = dir.join("key-index");
        let database = engine::open(&dir, sizes, Tail::Replayable)?;
        let mut buckets = BTreeMap::new();
        let (mut spoken_of, mut time) = (BTreeSet::new(), Timestamp::default());
        for slot in 0..RING {
            let bucket = keyspace(&database, slot)?;
            let Some(living) = bucket.get(LIVING).map_err(failed("opening"))? else { continue };
            let days = days(&living)?;
            // The first day of the list is the bucket's own.
            if let Some(own) = days.first() {
                time = time.max(time_of(&bucket, *own)?);
                buckets.insert(*own, Bucket::opened(bucket));
            }
            spoken_of.extend(days);
        }
        let whole = spoken_of.iter().all(|day| buckets.contains_key(day));
        let applied = if whole { lowest(&buckets)? } else { BTreeMap::new() };
        let (broken, inner) = (Broken::new(&dir), Mutex::new(Inner { buckets, applied, time }));
        Ok(Self { database, broken, inner })
    }

    /// As [`Accounts::broken`](crate::accounts::Accounts::broken).
    pub fn broken(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.broken.watch()
    }

    /// The bucket of `day`, made empty when its place in the ring was an older day's.
    fn bucket(&self, inner: &mut Inner, day: u32) -> PortResult<Keyspace> {
        if let Some(bucket) = inner.buckets.get(&day) {
            return Ok(bucket.keyspace.clone());
        }
        let slot = u64::from(day) % RING;
        let same_place = |other: &u32| u64::from(*other) % RING == slot;
        if let Some(old) = inner.buckets.keys().copied().find(same_place) {
            self.drop_bucket(inner, old)?;
        }
        let bucket = keyspace(&self.database, slot)?;
        inner.buckets.insert(day, Bucket::empty(bucket.clone()));
        Ok(bucket)
    }

    fn drop_bucket(&self, inner: &mut Inner, day: u32) -> PortResult<()> {
        if let Some(old) = inner.buckets.remove(&day) {
            self.database.delete_keyspace(old.keyspace).map_err(failed("forgetting"))?;
        }
        Ok(())
    }
}

impl KeyIndex for KeyIndexStore {
    fn applied(&self, partition: Partition) -> PortResult<Applied> {
        Ok(self.inner.lock().applied.get(&partition).copied().unwrap_or_default())
    }

    fn time(&self) -> Timestamp {
        self.inner.lock().time
    }

    fn lookup(&self, partition: Partition, key: u128) -> PortResult<Option<Remembered>> {
        let row = key_row(partition, key);
        let buckets: Vec<(u32, Keyspace)> = {
            let inner = self.inner.lock();
            let may_hold = inner.buckets.iter().rev().filter(|(_, bucket)| bucket.may_hold(key));
            may_hold.map(|(day, bucket)| (*day, bucket.keyspace.clone())).collect()
        };
        for (day, bucket) in buckets {
            if let Some(value) = bucket.get(row).map_err(failed("reading"))? {
                return read_remembered(day, &value).map(Some);
            }
        }
        Ok(None)
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
        let today = day(at);
        let mut batch = self.database.batch();
        if !entries.is_empty() {
            // Keys are hashes. In order they go into fjall's buffer by nearly the same way as the
            // one before, which is still in the processor's cache.
            let mut entries = entries.to_vec();
            entries.sort_unstable_by_key(|entry| (entry.key, entry.offset));
            let bucket = self.bucket(&mut inner, today)?;
            for entry in &entries {
                batch.insert(&bucket, key_row(partition, entry.key), remembered(entry.offset, at));
            }
            // Before the rows are there: no key may be in a row and not in the filter.
            if let Some(bucket) = inner.buckets.get_mut(&today) {
                for entry in &entries {
                    bucket.filter.add(entry.key);
                }
            }
        }
        let place = position(applied);
        let days: Vec<u32> = inner.buckets.keys().copied().collect();
        for (own, bucket) in &inner.buckets {
            batch.insert(&bucket.keyspace, position_row(partition), place);
            batch.insert(&bucket.keyspace, TIME, at.0.to_be_bytes());
            batch.insert(&bucket.keyspace, LIVING, living(*own, &days));
        }
        self.broken.look(batch.commit().map_err(failed("committing")))?;
        inner.buckets.values_mut().try_for_each(Bucket::see_more)?;
        inner.applied.insert(partition, applied);
        inner.time = at;
        Ok(())
    }

    fn forget_before(&self, time: Timestamp) -> PortResult<()> {
        let mut inner = self.inner.lock();
        let first = day(time);
        let old: Vec<u32> = inner.buckets.range(..first).map(|(day, _)| *day).collect();
        if old.is_empty() || old.len() == inner.buckets.len() {
            // The last bucket stays for the position it holds.
            return Ok(());
        }
        for day in old {
            self.drop_bucket(&mut inner, day)?;
        }
        let days: Vec<u32> = inner.buckets.keys().copied().collect();
        let mut batch = self.database.batch();
        for (own, bucket) in &inner.buckets {
            batch.insert(&bucket.keyspace, LIVING, living(*own, &days));
        }
        self.broken.look(batch.commit().map_err(failed("committing")))
    }
}

fn keyspace(database: &Database, slot: u64) -> PortResult<Keyspace> {
    let merging = Leveled::default()
        .with_l0_threshold(NEW_TABLES)
        .with_table_target_size(MERGED_BYTES / u64::from(NEW_TABLES));
    let options = || engine::options(8 * MIB).compaction_strategy(Arc::new(merging.clone()));
    database.keyspace(&format!("day-{slot}"), options).map_err(failed("opening"))
}

/// The lowest position per partition over all buckets.
fn lowest(buckets: &BTreeMap<u32, Bucket>) -> PortResult<BTreeMap<Partition, Applied>> {
    let mut lowest: BTreeMap<Partition, Applied> = BTreeMap::new();
    for bucket in buckets.values() {
        for entry in bucket.keyspace.prefix([POSITION]) {
            let (key, value) = entry.into_inner().map_err(failed("opening"))?;
            let (partition, applied) = read_position(&key, &value)?;
            let place = lowest.entry(partition).or_insert(applied);
            if place.epoch != applied.epoch {
                *place = Applied::default();
            } else if applied.offset < place.offset {
                *place = applied;
            }
        }
    }
    Ok(lowest)
}

fn day(time: Timestamp) -> u32 {
    u32::try_from(time.0 / DAY_MS).unwrap_or(u32::MAX)
}

/// The end of a day.
fn end_of(day: u32) -> Timestamp {
    Timestamp((u64::from(day) + 1) * DAY_MS - 1)
}

/// The time written in the bucket of `day`. Earlier builds wrote none, and counted the days of the
/// machine's clock: the new time goes on from theirs.
fn time_of(bucket: &Keyspace, day: u32) -> PortResult<Timestamp> {
    let Some(value) = bucket.get(TIME).map_err(failed("opening"))? else {
        return Ok(Timestamp(u64::from(day) * DAY_MS));
    };
    let bytes = value.as_ref().try_into();
    let bytes = bytes.map_err(|_| corrupt("opening", "the key index's time"))?;
    Ok(Timestamp(u64::from_be_bytes(bytes)))
}

fn remembered(offset: Offset, at: Timestamp) -> [u8; 16] {
    let mut out = [0; 16];
    let (first, second) = out.split_at_mut(8);
    first.copy_from_slice(&offset.0.to_be_bytes());
    second.copy_from_slice(&at.0.to_be_bytes());
    out
}

/// What is in a row of the bucket of `day`. Earlier builds wrote only the offset.
fn read_remembered(day: u32, value: &[u8]) -> PortResult<Remembered> {
    let damaged = || corrupt("reading", "a key's offset");
    let (offset, at) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
    let at = match at {
        [] => end_of(day),
        at => Timestamp(u64::from_be_bytes(at.try_into().map_err(|_| damaged())?)),
    };
    Ok(Remembered { offset: Offset(u64::from_be_bytes(*offset)), at })
}

fn key_row(partition: Partition, key: u128) -> [u8; 19] {
    let mut row = [KEY; 19];
    let (head, rest) = row.split_at_mut(3);
    head.copy_from_slice(&{
        let [high, low] = partition.0.to_be_bytes();
        [KEY, high, low]
    });
    rest.copy_from_slice(&key.to_be_bytes());
    row
}

/// The key in a row; `None`: it holds something else.
fn key_of(row: &[u8]) -> Option<u128> {
    let [KEY, _, _, key @ ..] = row else { return None };
    key.try_into().ok().map(u128::from_be_bytes)
}

fn position_row(partition: Partition) -> [u8; 3] {
    let [high, low] = partition.0.to_be_bytes();
    [POSITION, high, low]
}

fn position(applied: Applied) -> [u8; 12] {
    let mut out = [0; 12];
    let (epoch, offset) = out.split_at_mut(4);
    epoch.copy_from_slice(&applied.epoch.0.to_be_bytes());
    offset.copy_from_slice(&applied.offset.0.to_be_bytes());
    out
}

fn read_position(key: &[u8], value: &[u8]) -> PortResult<(Partition, Applied)> {
    let damaged = || corrupt("opening", "a position of the key index");
    let [_, high, low] = key else { return Err(damaged()) };
    let (epoch, offset) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
    let offset: [u8; 8] = offset.try_into().map_err(|_| damaged())?;
    let applied = Applied {
        epoch: Epoch(u32::from_be_bytes(*epoch)),
        offset: Offset(u64::from_be_bytes(offset)),
    };
    Ok((Partition(u16::from_be_bytes([*high, *low])), applied))
}

/// The living days, the bucket's own first.
fn living(own: u32, days: &[u32]) -> Vec<u8> {
    let others = days.iter().copied().filter(|day| *day != own);
    std::iter::once(own).chain(others).flat_map(u32::to_be_bytes).collect()
}

fn days(bytes: &[u8]) -> PortResult<Vec<u32>> {
    let (days, rest) = bytes.as_chunks::<4>();
    if days.is_empty() || !rest.is_empty() {
        return Err(corrupt("opening", "the key index's list of buckets"));
    }
    Ok(days.iter().map(|day| u32::from_be_bytes(*day)).collect())
}
