//! The key index on disk: the suite, and what a restart leaves.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use klatch_domain::Timestamp;
use klatch_embedded::key_index::KeyIndexStore;
use klatch_ports::key_index::{KeyEntry, KeyIndex, Remembered};
use klatch_ports::messages::Applied;
use klatch_ports::{Epoch, Offset, Partition};
use tempfile::TempDir;

const DAY_MS: u64 = 86_400_000;
const HERE: Partition = Partition(0);

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(dir: &TempDir) -> KeyIndexStore {
    KeyIndexStore::open(dir.path()).expect("an index")
}

klatch_conformance::key_index_tests!({
    let dir = directory();
    (open(&dir), dir)
});

fn entry(key: u128, offset: u64) -> KeyEntry {
    KeyEntry { key, offset: Offset(offset) }
}

fn on_day(day: u64) -> Timestamp {
    Timestamp(day * DAY_MS + 5)
}

fn find(index: &KeyIndexStore, key: u128) -> Option<Offset> {
    index.lookup(HERE, key).expect("a look-up").map(|found| found.offset)
}

fn applied(offset: u64) -> Applied {
    Applied { epoch: Epoch(3), offset: Offset(offset) }
}

#[test]
fn a_reopened_index_knows_its_keys_and_its_position() {
    let dir = directory();
    for day in 100..103u64 {
        let index = open(&dir);
        let keys = [entry(u128::from(day), day)];
        index.commit(HERE, applied(day), on_day(day), &keys).expect("a commit");
    }
    let index = open(&dir);
    assert_eq!(index.applied(HERE).expect("a position"), applied(102));
    assert_eq!(index.time(), on_day(102));
    for day in 100..103u64 {
        let found = index.lookup(HERE, u128::from(day)).expect("a look-up");
        assert_eq!(found, Some(Remembered { offset: Offset(day), at: on_day(day) }));
    }
}

#[test]
fn an_index_of_an_earlier_build_is_read_and_its_time_goes_on_from_its_newest_day() {
    let dir = directory();
    drop(open(&dir));
    {
        let path = dir.path().join("key-index");
        let database = fjall::Database::builder(&path).open().expect("the database");
        let bucket = database.keyspace("day-1", Default::default).expect("the bucket");
        let key = [&b"k\0\0"[..], &7u128.to_be_bytes()].concat();
        bucket.insert(key, 33u64.to_be_bytes()).expect("a key");
        let place = [&3u32.to_be_bytes()[..], &40u64.to_be_bytes()].concat();
        bucket.insert(b"p\0\0", place).expect("a position");
        bucket.insert(b"living", 101u32.to_be_bytes()).expect("the list");
        database.persist(fjall::PersistMode::SyncAll).expect("synced");
    }
    let index = open(&dir);
    assert_eq!(index.applied(HERE).expect("a position"), applied(40));
    assert_eq!(index.time(), Timestamp(101 * DAY_MS));
    let old = Remembered { offset: Offset(33), at: Timestamp(102 * DAY_MS - 1) };
    assert_eq!(index.lookup(HERE, 7).expect("a look-up"), Some(old));
    index.commit(HERE, applied(41), on_day(101), &[entry(8, 41)]).expect("a commit");
    assert_eq!((find(&index, 7), find(&index, 8)), (Some(Offset(33)), Some(Offset(41))));
}

#[test]
fn the_ring_forgets_the_oldest_day_when_a_new_one_needs_its_place() {
    let dir = directory();
    let index = open(&dir);
    for day in 100..110u64 {
        let keys = [entry(u128::from(day), day)];
        index.commit(HERE, applied(day), on_day(day), &keys).expect("a commit");
    }
    assert_eq!(find(&index, 109), Some(Offset(109)));
    assert_eq!(find(&index, 107), Some(Offset(107)));
    assert_eq!(find(&index, 105), None);
    drop(index);
    assert_eq!(open(&dir).applied(HERE).expect("a position"), applied(109));
}

#[test]
fn a_bucket_lost_to_a_power_cut_sends_the_index_back_to_the_beginning() {
    let dir = directory();
    let index = open(&dir);
    index.commit(HERE, applied(1), on_day(100), &[entry(1, 1)]).expect("a commit");
    index.commit(HERE, applied(2), on_day(101), &[entry(2, 2)]).expect("a commit");
    drop(index);
    // The younger bucket's rows were never written down: remove the keyspace, keep the other.
    let path = dir.path().join("key-index");
    {
        let database = fjall::Database::builder(&path).open().expect("the database");
        let lost = database.keyspace("day-1", Default::default).expect("the bucket");
        database.delete_keyspace(lost).expect("deleted");
    }
    assert_eq!(open(&dir).applied(HERE).expect("a position"), Applied::default());
}

#[test]
fn a_reopened_index_finds_every_key_while_its_filter_is_being_filled_and_after() {
    const OLD: u64 = 7_000;
    let dir = directory();
    let index = open(&dir);
    let old: Vec<KeyEntry> = (0..OLD).map(|n| entry(hash(n), n)).collect();
    let (first, second) = old.split_at(old.len() / 2);
    for (day, keys) in [(100, first), (101, second)] {
        index.commit(HERE, applied(OLD), on_day(day), keys).expect("a commit");
    }
    drop(index);
    let index = open(&dir);
    let mut newest = OLD;
    // Each commit takes two thousand old rows of each of the two days into the filters.
    for _ in 0..4 {
        for n in (0..newest).step_by(7) {
            assert_eq!(find(&index, hash(n)), Some(Offset(n)), "{n}");
        }
        for n in newest + 1..newest + 500 {
            assert_eq!(find(&index, hash(n)), None, "{n}");
        }
        index
            .commit(HERE, applied(newest + 1), on_day(101), &[entry(hash(newest), newest)])
            .expect("a commit");
        newest += 1;
    }
    for n in 0..newest {
        assert_eq!(find(&index, hash(n)), Some(Offset(n)), "{n}");
    }
}

/// The n-th of many keys that look random.
fn hash(n: u64) -> u128 {
    let mut state = u128::from(n) + 1;
    for _ in 0..4 {
        state = state.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645) ^ (state >> 61);
    }
    state
}
