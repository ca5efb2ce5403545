//! Data keys: what was made and acknowledged opens, what was destroyed and acknowledged does not,
//! and no cut in the middle of replacing the server key costs another person's key.

use std::collections::BTreeMap;
use std::sync::Arc;

use klatch_conformance::run;
use klatch_conformance::sample::{Repeatable, user_id};
use klatch_embedded::keys::Keys;
use klatch_ports::keys::{KeyReader, KeyWriter};

use crate::disk::{Disk, below, place_to_cut};
use crate::trace::{Event, Trace};

type Key = Option<[u8; 32]>;

/// What a person's key may be after a cut: the last acknowledged state, or any tried since.
#[derive(Clone, Debug, Default)]
struct May {
    be: Vec<Key>,
    /// A key was being made whose bytes nobody has seen.
    be_new: bool,
}

async fn key(keys: &Keys, person: u64) -> Key {
    keys.key(user_id(person)).await.expect("a look-up").map(|key| key.0)
}

const PEOPLE: u64 = 8;

async fn live_through(seed: u64, cuts: usize) -> u64 {
    let random = Repeatable::new(seed);
    let mut disk = Disk::default();
    let mut known: BTreeMap<u64, Key> = (0..PEOPLE).map(|person| (person, None)).collect();
    let mut doubt: BTreeMap<u64, May> = BTreeMap::new();
    let mut destroyed = 0;
    for cut in 0..=cuts {
        let dir = tempfile::tempdir().expect("a directory");
        disk.lay_out(dir.path());
        let trace = Trace::begin(dir.path());
        let keys = Keys::open(dir.path(), Arc::new(Repeatable::new(random.next())))
            .unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
        for person in 0..PEOPLE {
            let found = key(&keys, person).await;
            let what = format!("seed {seed}, cut {cut}, person {person}");
            match doubt.get(&person) {
                None => assert_eq!(found, known[&person], "{what}"),
                Some(may) => {
                    let new = may.be_new && found.is_some();
                    assert!(new || may.be.contains(&found), "{what}: {found:?} of {may:?}");
                }
            }
            known.insert(person, found);
        }
        // Every change, in order, with the state it led to; acknowledged by a mark of its place.
        let mut changes: Vec<(u64, Key)> = Vec::new();
        for _ in 0..below(&random, 20) {
            let person = random.next() % PEOPLE;
            if random.next().is_multiple_of(2) {
                keys.destroy(user_id(person)).await.expect("destroy");
                changes.push((person, None));
            } else {
                keys.create(&[user_id(person)]).await.expect("create");
                changes.push((person, key(&keys, person).await));
            }
            trace.mark(changes.len() as u64);
        }
        drop(keys);
        let events = trace.end();
        let place = place_to_cut(&events, &random);
        let marks = events[..place].iter().filter(|event| matches!(event, Event::Mark(_))).count();
        doubt.clear();
        for (number, (person, state)) in changes.into_iter().enumerate() {
            if number < marks {
                destroyed += u64::from(known[&person].is_some() && state.is_none());
                known.insert(person, state);
            } else {
                let before = known[&person];
                let may =
                    doubt.entry(person).or_insert_with(|| May { be: vec![before], be_new: false });
                may.be_new |= state.is_some();
                may.be.push(state);
            }
            // Only the change that was under way can be there without its mark.
            if number == marks {
                break;
            }
        }
        disk = disk.cut(&events[..place], &random);
    }
    destroyed
}

#[test]
fn a_power_cut_costs_no_key_and_brings_none_back() {
    let destroyed: u64 = (0..30).map(|seed| run(live_through(seed, 8))).sum();
    assert!(destroyed > 50, "{destroyed}");
}
