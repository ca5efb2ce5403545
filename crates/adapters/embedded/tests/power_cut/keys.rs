//! Data keys: what was made and acknowledged opens, what was destroyed and acknowledged does not,
//! and no cut in the middle of replacing the server key costs another person's key. Nor does a sync
//! that failed, whether the process goes on after it or ends; what its next life finds, counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use klatch_conformance::run;
use klatch_conformance::sample::{Repeatable, user_id};
use klatch_embedded::keys::Keys;
use klatch_ports::keys::{KeyReader, KeyWriter};

use crate::Plan;
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

/// A try to change something.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Acknowledged, or found by a later life.
    Is(u64, Key),
    /// It failed.
    MayBe(u64, Wanted),
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    New,
    None,
}

async fn key(keys: &Keys, person: u64) -> Key {
    keys.key(user_id(person)).await.expect("a look-up").map(|key| key.0)
}

const PEOPLE: u64 = 8;

/// What everybody's key may be.
#[derive(Clone, Debug)]
struct Known(BTreeMap<u64, May>);

impl Known {
    fn nothing() -> Self {
        let none = May { be: vec![None], be_new: false };
        Self((0..PEOPLE).map(|person| (person, none.clone())).collect())
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Is(person, key) => {
                self.0.insert(person, May { be: vec![key], be_new: false });
            }
            Change::MayBe(person, wanted) => {
                let may = self.0.entry(person).or_default();
                match wanted {
                    Wanted::New => may.be_new = true,
                    Wanted::None => may.be.push(None),
                }
            }
        }
    }

    /// Checks what is there, and from here on knows it.
    async fn check(&mut self, keys: &Keys, what: &str) -> Vec<Change> {
        let mut found = Vec::new();
        for (person, may) in &self.0 {
            let key = key(keys, *person).await;
            let new = may.be_new && key.is_some();
            assert!(new || may.be.contains(&key), "{what}, person {person}: {key:?} of {may:?}");
            found.push(Change::Is(*person, key));
        }
        for change in &found {
            self.apply(*change);
        }
        found
    }
}

/// Tries one change of one person's key; counts keys that were destroyed.
async fn change(keys: &Keys, random: &Repeatable, destroyed: &mut u64) -> Change {
    let person = random.next() % PEOPLE;
    if random.next().is_multiple_of(2) {
        match keys.destroy(user_id(person)).await {
            Ok(was_there) => {
                *destroyed += u64::from(was_there);
                Change::Is(person, None)
            }
            Err(_) => Change::MayBe(person, Wanted::None),
        }
    } else {
        match keys.create(&[user_id(person)]).await {
            Ok(()) => Change::Is(person, key(keys, person).await),
            Err(_) => Change::MayBe(person, Wanted::New),
        }
    }
}

type Secrets = BTreeSet<Vec<u8>>;

/// The server keys in the file.
fn secrets(dir: &Path) -> Secrets {
    let bytes = fs::read(dir.join("keys/server.key")).unwrap_or_default();
    let sectors = bytes.chunks_exact(512).map(|sector| sector[24..56].to_vec());
    sectors.filter(|secret| secret.iter().any(|byte| *byte != 0)).collect()
}

/// A process' changes, in order, and which server keys were gone when each was acknowledged.
#[derive(Default)]
struct Done {
    changes: Vec<(Change, Secrets)>,
    seen: Secrets,
}

impl Done {
    /// Takes in a change that just came to an end.
    fn push(&mut self, change: Change, dir: &Path, trace: &Trace) {
        let there = secrets(dir);
        self.seen.extend(there.iter().cloned());
        let gone = match change {
            Change::Is(_, None) => self.seen.difference(&there).cloned().collect(),
            _ => Secrets::new(),
        };
        self.changes.push((change, gone));
        trace.mark(0);
    }
}

/// What came of it.
#[derive(Default)]
struct Told {
    destroyed: u64,
    failed: u64,
}

async fn live_through(Plan { seed, cuts, lives }: Plan) -> Told {
    let random = Repeatable::new(seed);
    let mut disk = Disk::default();
    let (mut known, mut gone) = (Known::nothing(), Secrets::new());
    let mut told = Told::default();
    for cut in 0..=cuts {
        let dir = tempfile::tempdir().expect("a directory");
        disk.lay_out(dir.path());
        assert!(
            secrets(dir.path()).is_disjoint(&gone),
            "seed {seed}, cut {cut}: an old server key"
        );
        let trace = Trace::begin(dir.path());
        let mut done = Done::default();
        let mut now = known.clone();
        for life in 1..=lives {
            if life < lives {
                trace.fail_syncs(random.next() % 30, 1 + random.next() % 3);
            }
            let what = format!("seed {seed}, cut {cut}, life {life}");
            let keys = trace.opened(&mut told.failed, &what, || {
                Keys::open(dir.path(), Arc::new(Repeatable::new(random.next())))
            });
            for found in now.check(&keys, &what).await {
                done.push(found, dir.path(), &trace);
            }
            for _ in 0..below(&random, 20) {
                let change = change(&keys, &random, &mut told.destroyed).await;
                now.apply(change);
                done.push(change, dir.path(), &trace);
            }
            drop(keys);
            told.failed += trace.mend();
        }
        let events = trace.end();
        let place = place_to_cut(&events, &random);
        let marks = events[..place].iter().filter(|event| matches!(event, Event::Mark(_))).count();
        for (number, (change, old)) in done.changes.into_iter().enumerate().take(marks + 1) {
            // The one that was under way may be done without its mark.
            gone.extend(if number < marks { old } else { Secrets::new() });
            known.apply(match change {
                Change::Is(person, key) if number == marks => {
                    let wanted = key.map_or(Wanted::None, |_| Wanted::New);
                    Change::MayBe(person, wanted)
                }
                change => change,
            });
        }
        disk = disk.cut(&events[..place], &random);
    }
    told
}

#[test]
fn a_power_cut_costs_no_key_and_brings_none_back() {
    let plan = |seed| Plan { seed, cuts: 8, lives: 1 };
    let destroyed: u64 = (0..30).map(|seed| run(live_through(plan(seed))).destroyed).sum();
    assert!(destroyed > 200, "{destroyed}");
}

#[test]
fn a_power_cut_costs_no_key_that_builds_on_what_failed_to_be_synced() {
    let mut failed = 0;
    for seed in crate::seeds(1_000, 120) {
        failed += run(live_through(Plan { seed, cuts: 4, lives: 3 })).failed;
    }
    assert!(failed > 100, "{failed}");
}
