//! What is kept is found, whatever happens to the file.

use bytes::Bytes;
use klatch_domain::Timestamp;
use klatch_ports::log::{Key, Kind};

use super::*;
use crate::disk::sim::SimDisk;

fn record(offset: u64, key: u128) -> Record {
    Record {
        offset: Offset(offset),
        home: StreamId::System,
        key: Key(key),
        kind: Kind::System,
        appended_at: Timestamp(offset * 10),
        body: Bytes::from(format!("record {offset}")),
    }
}

#[test]
fn what_was_kept_is_there_after_a_power_cut_and_what_has_no_mark_is_cut() {
    let sim = SimDisk::new(1);
    sim.disk().create_dir(DIR).unwrap();
    let kept = Kept::load(&*sim.disk(), 1).unwrap();
    kept.add(&*sim.disk(), &[record(3, 7), record(9, 7), record(12, 8)], 20).unwrap();
    kept.add(&*sim.disk(), &[record(25, 8)], 30).unwrap();
    sim.power_cut();
    let torn = [1, 2, 3].repeat(40);
    let file = sim.disk().open(PATH).unwrap();
    file.write_at(&torn, file.len().unwrap()).unwrap();
    for _ in 0..2 {
        let kept = Kept::load(&*sim.disk(), 31).unwrap();
        assert_eq!(kept.record(9).unwrap(), Some(record(9, 7)));
        assert_eq!(kept.record(10).unwrap(), None);
        assert_eq!(kept.head(head_key(StreamId::System, Key(7))).unwrap(), Some(9));
        assert_eq!(kept.head(head_key(StreamId::System, Key(8))).unwrap(), Some(25));
        let batch = kept.read(3, 31, 2).unwrap();
        assert_eq!(batch.records, [record(9, 7), record(12, 8)]);
        assert_eq!(batch.through, Offset(12));
        let batch = kept.read(12, 31, 2).unwrap();
        assert_eq!((batch.records, batch.through), (vec![record(25, 8)], Offset(30)));
    }
}

#[test]
fn a_power_cut_while_more_is_kept_spoils_nothing_that_was_kept_before() {
    for seed in 0..200 {
        let sim = SimDisk::new(seed);
        sim.disk().create_dir(DIR).unwrap();
        let kept = Kept::load(&*sim.disk(), 1).unwrap();
        // Sizes that leave many kinds of gaps before the end of a sector.
        let body = Bytes::from(vec![1; usize::try_from(seed * 7).unwrap()]);
        let first = Record { body, ..record(3, 7) };
        kept.add(&*sim.disk(), std::slice::from_ref(&first), 20).unwrap();
        sim.power_cut_after(1);
        let _ = kept.add(&*sim.disk(), &[record(25, 8)], 30);
        sim.power_cut();
        let kept = Kept::load(&*sim.disk(), 21).unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert_eq!(kept.record(3).unwrap(), Some(first));
    }
}

#[test]
fn what_failed_to_be_synced_in_an_earlier_life_is_not_relied_on() {
    for seed in 0..200 {
        let sim = SimDisk::new(seed);
        sim.disk().create_dir(DIR).unwrap();
        let kept = Kept::load(&*sim.disk(), 1).unwrap();
        // That of the file, of its name, or of what is written.
        sim.fail_syncs_after(seed % 3);
        kept.add(&*sim.disk(), &[record(3, 7)], 20).unwrap_err();
        sim.mend();
        // It can be read, and the segments hold it as well.
        let kept = Kept::load(&*sim.disk(), 1).unwrap();
        kept.add(&*sim.disk(), &[record(3, 7), record(25, 8)], 30).unwrap();
        sim.power_cut();
        let kept = Kept::load(&*sim.disk(), 31).unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert_eq!(kept.record(3).unwrap(), Some(record(3, 7)));
        assert_eq!(kept.record(25).unwrap(), Some(record(25, 8)));
    }
}

#[test]
fn what_is_remembered_of_what_is_kept_is_a_small_part_of_it_and_all_of_it_is_found() {
    let sim = SimDisk::new(1);
    sim.disk().create_dir(DIR).unwrap();
    let kept = Kept::load(&*sim.disk(), 1).unwrap();
    // Every seventh record of the log, two under each of more keys than are remembered.
    let keys = HEADS as u64 + 1_000;
    let all: Vec<_> = (1..=2 * keys).map(|n| record(n * 7, u128::from(n % keys))).collect();
    for some in all.chunks(900) {
        let through = some.last().unwrap().offset.0;
        kept.add(&*sim.disk(), some, through).unwrap();
    }
    let first = 2 * keys * 7 + 1;
    for kept in [&kept, &Kept::load(&*sim.disk(), first).unwrap()] {
        {
            let state = kept.0.read();
            let (places, most) = (state.places.len() as u64, state.end / SPREAD + 1);
            assert!(places > most / 2 && places <= most, "{places} of {most}");
            assert_eq!((state.heads.len(), state.has_more_keys), (HEADS, true));
        }
        for record in all.iter().step_by(997).chain(all.last()) {
            assert_eq!(kept.record(record.offset.0).unwrap().as_ref(), Some(record));
            assert_eq!(kept.record(record.offset.0 + 1).unwrap(), None);
            let key = u64::try_from(record.key.0).unwrap();
            let newest = if key == 0 { 2 * keys } else { keys + key };
            let head = kept.head(head_key(StreamId::System, record.key)).unwrap();
            assert_eq!(head, Some(newest * 7));
        }
        assert_eq!(kept.record(3).unwrap(), None);
        assert_eq!(kept.head(head_key(StreamId::System, Key(u128::MAX))).unwrap(), None);
        let (mut at, mut found) = (0, Vec::new());
        while at < first - 1 {
            let batch = kept.read(at, first, 1_000).unwrap();
            assert!(batch.through.0 > at);
            at = batch.through.0;
            found.extend(batch.records);
        }
        assert_eq!(found, all);
    }
}

#[test]
fn a_flipped_bit_in_what_the_log_relies_on_is_named_and_nothing_is_changed() {
    let sim = SimDisk::new(1);
    sim.disk().create_dir(DIR).unwrap();
    let kept = Kept::load(&*sim.disk(), 1).unwrap();
    kept.add(&*sim.disk(), &[record(3, 7)], 20).unwrap();
    kept.add(&*sim.disk(), &[record(25, 7)], 30).unwrap();
    let whole = sim.bytes(PATH).unwrap();
    for byte in 0..whole.len() {
        sim.flip_bit(PATH, byte, 2);
        let damaged = sim.bytes(PATH).unwrap();
        let error = Kept::load(&*sim.disk(), 31).unwrap_err();
        assert!(error.to_string().contains(PATH), "{error}");
        assert_eq!(sim.bytes(PATH).unwrap(), damaged, "byte {byte}");
        sim.flip_bit(PATH, byte, 2);
    }
    assert_eq!(Kept::load(&*sim.disk(), 31).unwrap().record(3).unwrap(), Some(record(3, 7)));
}
