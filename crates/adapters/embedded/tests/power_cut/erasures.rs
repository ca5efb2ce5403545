//! The ledger of erasures: who was acknowledged is in it, also when a sync failed before, whether
//! it was tried again at once or in a later life of the process.

use std::collections::BTreeSet;

use klatch_conformance::sample::{Repeatable, time, user_id};
use klatch_embedded::erasures::LedgerFile;
use klatch_ports::erasures::Erasure;

use crate::disk::{Disk, below, place_to_cut};
use crate::trace::{Event, Trace};

const PEOPLE: u64 = 200;
const LIVES: usize = 3;

/// Adds people, some of them again and again, with failing syncs and power cuts; how many syncs
/// failed.
fn live_through(seed: u64, cuts: usize) -> u64 {
    let random = Repeatable::new(seed);
    let mut disk = Disk::default();
    let mut sure = BTreeSet::new();
    let mut failed = 0;
    for cut in 0..=cuts {
        let dir = tempfile::tempdir().expect("a directory");
        disk.lay_out(dir.path());
        let trace = Trace::begin(dir.path());
        for life in 1..=LIVES {
            let ledger = LedgerFile::new(dir.path().join("apart/erasures"));
            let there = ledger.read().unwrap_or_else(|error| panic!("{seed}, {cut}: {error}"));
            let there: BTreeSet<_> = there.into_iter().map(|erasure| erasure.user).collect();
            assert!(sure.iter().all(|n| there.contains(&user_id(*n))), "seed {seed}, cut {cut}");
            if life < LIVES {
                trace.fail_syncs(random.next() % 12, 1 + random.next() % 3);
            }
            for _ in 0..below(&random, 12) {
                let n = random.next() % PEOPLE;
                let erasure = Erasure { user: user_id(n), at: time(n) };
                // Who erases somebody tries it until it is done.
                while ledger.add_all(&[erasure]).is_err() {
                    if random.next().is_multiple_of(4) {
                        break;
                    }
                }
                if ledger.add_all(&[erasure]).is_ok() {
                    trace.mark(n);
                }
            }
            failed += trace.mend();
        }
        let events = trace.end();
        let place = place_to_cut(&events, &random);
        sure.extend(events[..place].iter().filter_map(|event| match event {
            Event::Mark(n) => Some(*n),
            _ => None,
        }));
        disk = disk.cut(&events[..place], &random);
    }
    failed
}

#[test]
fn a_power_cut_takes_nobody_out_of_the_ledger_who_was_added_after_a_failed_sync() {
    let failed: u64 = crate::seeds(1_000, 80).map(|seed| live_through(seed, 4)).sum();
    assert!(failed > 80, "{failed}");
}
