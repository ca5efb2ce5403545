//! Cases for [`klatch_ports::key_index`]. Each begins with an empty index.
#![expect(clippy::unused_async, reason = "every suite runs its cases alike")]

use klatch_domain::Timestamp;
use klatch_ports::key_index::{KeyEntry, KeyIndex, Remembered};
use klatch_ports::messages::Applied;
use klatch_ports::{Epoch, Offset, Partition};

const DAY_MS: u64 = 86_400_000;
const HERE: Partition = Partition(0);

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! key_index_tests {
    ($open:expr) => {
        $crate::suite!(
            key_index,
            $open,
            [
                an_empty_index_knows_nothing,
                keys_of_several_days_are_found_by_partition,
                repeating_a_commit_changes_nothing,
                time_never_goes_back,
                forgetting_keeps_what_is_younger,
                the_position_moves_without_keys,
            ]
        );
    };
}

fn applied(offset: u64) -> Applied {
    Applied { epoch: Epoch(7), offset: Offset(offset) }
}

fn entry(key: u128, offset: u64) -> KeyEntry {
    KeyEntry { key, offset: Offset(offset) }
}

/// Some moment of a day.
fn on_day(days: u64) -> Timestamp {
    Timestamp(20_000 * DAY_MS + days * DAY_MS + 5)
}

fn look_up(index: &impl KeyIndex, key: u128) -> Option<Remembered> {
    index.lookup(HERE, key).expect("a look-up")
}

fn find(index: &impl KeyIndex, key: u128) -> Option<u64> {
    look_up(index, key).map(|found| found.offset.0)
}

/// Nothing is made by asking.
pub async fn an_empty_index_knows_nothing(index: &impl KeyIndex) {
    assert_eq!(find(index, 1), None);
    assert_eq!(index.applied(HERE).expect("a position"), Applied::default());
    index.forget_before(Timestamp(u64::MAX)).expect("forgetting");
}

/// A key of one partition is not one of another.
pub async fn keys_of_several_days_are_found_by_partition(index: &impl KeyIndex) {
    let entries: Vec<_> = (0..300u64).map(|n| entry(u128::from(n), n + 1)).collect();
    index.commit(HERE, applied(150), on_day(0), &entries[..150]).expect("a commit");
    index.commit(HERE, applied(300), on_day(1), &entries[150..]).expect("a commit");
    index.commit(Partition(1), applied(9), on_day(1), &[entry(5, 9)]).expect("a commit");
    assert_eq!((find(index, 0), find(index, 5), find(index, 299)), (Some(1), Some(6), Some(300)));
    assert_eq!(find(index, 300), None);
    let there = Remembered { offset: Offset(9), at: on_day(1) };
    assert_eq!(index.lookup(Partition(1), 5).expect("a look-up"), Some(there));
    assert_eq!(index.lookup(Partition(1), 6).expect("a look-up"), None);
    assert_eq!(index.applied(HERE).expect("a position"), applied(300));
    assert_eq!(index.applied(Partition(1)).expect("a position"), applied(9));
}

/// What a crash makes the feeder do.
pub async fn repeating_a_commit_changes_nothing(index: &impl KeyIndex) {
    let entries = [entry(1, 1), entry(2, 2)];
    for _ in 0..2 {
        index.commit(HERE, applied(2), on_day(0), &entries).expect("a commit");
    }
    assert_eq!((find(index, 1), find(index, 2)), (Some(1), Some(2)));
}

/// What is taken in after something else is not older.
pub async fn time_never_goes_back(index: &impl KeyIndex) {
    assert_eq!(index.time(), Timestamp(0));
    for (offset, day, counts) in [(1, 5, 5), (2, 3, 5), (3, 6, 6)] {
        let keys = [entry(u128::from(offset), offset)];
        index.commit(HERE, applied(offset), on_day(day), &keys).expect("a commit");
        assert_eq!(index.time(), on_day(counts));
        let found = Remembered { offset: Offset(offset), at: on_day(counts) };
        assert_eq!(look_up(index, u128::from(offset)), Some(found));
    }
    index.commit(HERE, applied(9), on_day(7), &[]).expect("a commit");
    assert_eq!(index.time(), on_day(7));
}

/// Buckets go as wholes: what is younger than the time named stays.
pub async fn forgetting_keeps_what_is_younger(index: &impl KeyIndex) {
    for day in 0..3 {
        let keys = [entry(u128::from(day), day + 1)];
        index.commit(HERE, applied(day + 1), on_day(day), &keys).expect("a commit");
    }
    index.forget_before(Timestamp(20_000 * DAY_MS + 2 * DAY_MS)).expect("forgetting");
    assert_eq!(find(index, 2), Some(3));
    assert_eq!(find(index, 0), None);
    assert_eq!(index.applied(HERE).expect("a position"), applied(3));
}

/// Most events carry no key.
pub async fn the_position_moves_without_keys(index: &impl KeyIndex) {
    index.commit(HERE, applied(1), on_day(0), &[entry(1, 1)]).expect("a commit");
    index.commit(HERE, applied(50), on_day(0), &[]).expect("a commit");
    assert_eq!(index.applied(HERE).expect("a position"), applied(50));
}
