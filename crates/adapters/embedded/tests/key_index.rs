//! The key index on disk: the suite, and what a restart leaves.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use klatch_domain::Timestamp;
use klatch_embedded::key_index::KeyIndexStore;
use klatch_ports::key_index::{KeyEntry, KeyIndex};
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

fn entry(key: u128, offset: u64, day: u64) -> KeyEntry {
    KeyEntry { key, offset: Offset(offset), appended_at: Timestamp(day * DAY_MS) }
}

fn applied(offset: u64) -> Applied {
    Applied { epoch: Epoch(3), offset: Offset(offset) }
}

#[test]
fn a_reopened_index_knows_its_keys_and_its_position() {
    let dir = directory();
    for day in 100..103u64 {
        let index = open(&dir);
        let keys = [entry(u128::from(day), day, day)];
        index.commit(HERE, applied(day), &keys).expect("a commit");
    }
    let index = open(&dir);
    assert_eq!(index.applied(HERE).expect("a position"), applied(102));
    for day in 100..103u64 {
        let found = index.lookup(HERE, u128::from(day)).expect("a look-up");
        assert_eq!(found, Some(Offset(day)));
    }
}

#[test]
fn the_ring_forgets_the_oldest_day_when_a_new_one_needs_its_place() {
    let dir = directory();
    let index = open(&dir);
    for day in 100..110u64 {
        let keys = [entry(u128::from(day), day, day)];
        index.commit(HERE, applied(day), &keys).expect("a commit");
    }
    assert_eq!(index.lookup(HERE, 109).expect("a look-up"), Some(Offset(109)));
    assert_eq!(index.lookup(HERE, 107).expect("a look-up"), Some(Offset(107)));
    assert_eq!(index.lookup(HERE, 105).expect("a look-up"), None);
    drop(index);
    assert_eq!(open(&dir).applied(HERE).expect("a position"), applied(109));
}

#[test]
fn a_bucket_lost_to_a_power_cut_sends_the_index_back_to_the_beginning() {
    let dir = directory();
    let index = open(&dir);
    index.commit(HERE, applied(1), &[entry(1, 1, 100)]).expect("a commit");
    index.commit(HERE, applied(2), &[entry(2, 2, 101)]).expect("a commit");
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
