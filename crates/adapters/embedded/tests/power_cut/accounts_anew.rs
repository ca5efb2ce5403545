//! Accounts begun anew: an erasure copies what stays into a new database, which takes the place of
//! the old one. Whatever fails or breaks off there, nobody else is lost and nobody erased comes
//! back.

use std::collections::{BTreeMap, BTreeSet};

use klatch_conformance::run;
use klatch_conformance::sample::{Repeatable, account, user_id};
use klatch_embedded::accounts::Accounts;
use klatch_ports::accounts::AccountStore;
use klatch_ports::erasures::AccountEraser;

use crate::disk::{Disk, below, place_to_cut};
use crate::trace::{Event, Trace};

const PEOPLE: u64 = 12;

/// A change of one person's account, and whether it is certain.
#[derive(Clone, Copy, Debug)]
struct Change {
    person: u64,
    there: bool,
    certain: bool,
}

/// Whether each may be there, and may not.
#[derive(Clone, Debug)]
struct Known(BTreeMap<u64, BTreeSet<bool>>);

impl Known {
    fn apply(&mut self, Change { person, there, certain }: Change) {
        let may = self.0.entry(person).or_default();
        if certain {
            may.clear();
        }
        may.insert(there);
    }

    async fn check(&mut self, accounts: &Accounts, what: &str) -> Vec<Change> {
        let mut found = Vec::new();
        for (person, may) in &self.0 {
            let row = accounts.get(user_id(*person)).await.expect("an account");
            assert!(row.as_ref().is_none_or(|row| *row == account(*person)), "{what}: {row:?}");
            let there = row.is_some();
            assert!(may.contains(&there), "{what}, person {person}: {there}, may {may:?}");
            found.push(Change { person: *person, there, certain: true });
        }
        for change in &found {
            self.apply(*change);
        }
        found
    }
}

async fn change(accounts: &Accounts, random: &Repeatable) -> Change {
    let person = random.next() % PEOPLE;
    let there = !random.next().is_multiple_of(3);
    let outcome = if there {
        accounts.put(&[account(person)]).await
    } else {
        accounts.erase(user_id(person)).await.map(|_| ())
    };
    Change { person, there, certain: outcome.is_ok() }
}

/// Lives and power cuts; in all lives but the last before a cut syncs fail. How many failed.
async fn live_through(seed: u64, cuts: usize, lives: usize) -> u64 {
    let random = Repeatable::new(seed);
    let mut disk = Disk::default();
    let mut known = Known((0..PEOPLE).map(|person| (person, BTreeSet::from([false]))).collect());
    let mut failed = 0;
    for cut in 0..=cuts {
        let dir = tempfile::tempdir().expect("a directory");
        disk.lay_out(dir.path());
        let trace = Trace::begin(dir.path());
        let (mut changes, mut now) = (Vec::new(), known.clone());
        for life in 1..=lives {
            let what = format!("seed {seed}, cut {cut}, life {life}");
            if life < lives {
                trace.fail_syncs(random.next() % 120, 1 + random.next() % 3);
            }
            let accounts = trace.opened(&mut failed, &what, || Accounts::open(dir.path()));
            for found in now.check(&accounts, &what).await {
                changes.push(found);
                trace.mark(0);
            }
            for _ in 0..below(&random, 12) {
                let done = change(&accounts, &random).await;
                now.apply(done);
                changes.push(done);
                trace.mark(0);
            }
            drop(accounts);
            failed += trace.mend();
        }
        let events = trace.end();
        let place = place_to_cut(&events, &random);
        let marks = events[..place].iter().filter(|event| matches!(event, Event::Mark(_))).count();
        for (number, done) in changes.into_iter().enumerate().take(marks + 1) {
            // The one that was under way may be done without its mark.
            known.apply(Change { certain: done.certain && number < marks, ..done });
        }
        disk = disk.cut(&events[..place], &random);
    }
    failed
}

#[test]
fn a_power_cut_while_somebody_is_erased_loses_nobody_else_and_brings_nobody_back() {
    for seed in crate::seeds(0, 15) {
        run(live_through(seed, 5, 1));
    }
}

#[test]
fn an_erasure_whose_sync_failed_loses_nobody_else_and_brings_nobody_back() {
    let failed: u64 = crate::seeds(1_000, 40).map(|seed| run(live_through(seed, 3, 3))).sum();
    assert!(failed > 40, "{failed}");
}
