//! Accounts: whatever was acknowledged before the cut is there, and nothing is there by halves.

use futures::future::join_all;
use klatch_conformance::run;
use klatch_conformance::sample::{Repeatable, account, claim, session, session_id, time, user_id};
use klatch_embedded::accounts::Accounts;
use klatch_ports::accounts::{Account, AccountStore, ClaimKind, Claims, SessionStore};

use crate::disk::{Disk, below, place_to_cut};
use crate::trace::{Event, Trace};

/// What was done for the person of a number, each after the one before was acknowledged.
const STEPS: u64 = 4;

/// Does the next step for person `n`.
async fn step(accounts: &Accounts, n: u64, step: u64) {
    let user = user_id(n);
    match step {
        0 => {
            let name = claim(&format!("user{n}"), u128::from(n));
            accounts.claim(&[name], time(n)).await.expect("claim").expect("held");
        }
        1 => accounts.put(&[row(n, false)]).await.expect("put"),
        2 => accounts.create(&session(n, user)).await.expect("create"),
        _ => {
            accounts.put(&[row(n, true)]).await.expect("put");
            assert!(accounts.revoke(session_id(n)).await.expect("revoke"));
        }
    }
}

fn row(n: u64, announced: bool) -> Account {
    // Some are longer than a page, so that a cut can fall into the middle of a value.
    let length = if n.is_multiple_of(4) { 9_000 } else { 90 };
    Account { password_hash: Some("x".repeat(length)), announced, ..account(n) }
}

/// How many steps of person `n` are there; all of those must be whole.
async fn steps_there(accounts: &Accounts, n: u64) -> u64 {
    let holder = accounts.holder(ClaimKind::Username, &format!("user{n}")).await.expect("holder");
    let found = AccountStore::get(accounts, user_id(n)).await.expect("account");
    let device = SessionStore::get(accounts, session_id(n)).await.expect("session");
    let listed = accounts.list(user_id(n)).await.expect("list");
    assert_eq!(listed, device.iter().cloned().collect::<Vec<_>>(), "{n}: the list of sessions");
    assert!(device.as_ref().is_none_or(|device| *device == session(n, user_id(n))), "{n}");
    match (holder, found, device) {
        (None, None, None) => 0,
        (Some(_), None, None) => 1,
        (Some(_), Some(found), None) if found == row(n, false) => 2,
        (Some(_), Some(found), Some(_)) if found == row(n, false) => 3,
        // The last step has two writes: between them the session is still there.
        (Some(_), Some(found), Some(_)) if found == row(n, true) => 3,
        (Some(_), Some(found), None) if found == row(n, true) => 4,
        other => panic!("{n}: {other:?}"),
    }
}

async fn live_through(seed: u64, cuts: usize) -> u64 {
    let random = Repeatable::new(seed);
    let mut disk = Disk::default();
    // Steps acknowledged for sure, by person.
    let mut sure: Vec<u64> = vec![0; 60];
    let mut acknowledged = 0;
    for cut in 0..=cuts {
        let dir = tempfile::tempdir().expect("a directory");
        disk.lay_out(dir.path());
        let trace = Trace::begin(dir.path());
        let accounts = Accounts::open(dir.path())
            .unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
        let mut there = Vec::new();
        for (n, sure) in (0..).zip(&sure) {
            let steps = steps_there(&accounts, n).await;
            assert!(steps >= *sure, "seed {seed}, cut {cut}, person {n}: {steps} of {sure}");
            there.push(steps);
        }
        let unannounced = accounts.unannounced(1_000).await.expect("list").len();
        let wanted = there.iter().filter(|steps| matches!(steps, 2 | 3)).count();
        assert!(unannounced <= wanted, "the index agrees with the rows");
        for _ in 0..below(&random, 12) {
            let many = 1 + below(&random, 20);
            let mut people: Vec<usize> = (0..many).map(|_| below(&random, there.len())).collect();
            people.sort_unstable();
            people.dedup();
            let tasks = people.into_iter().filter(|n| there[*n] < STEPS).map(|n| {
                let (accounts, trace, done, n) = (&accounts, &trace, there[n], n as u64);
                async move {
                    step(accounts, n, done).await;
                    trace.mark(n << 8 | (done + 1));
                    n
                }
            });
            for n in join_all(tasks).await {
                there[usize::try_from(n).expect("small")] += 1;
            }
        }
        drop(accounts);
        let events = trace.end();
        let place = place_to_cut(&events, &random);
        for event in &events[..place] {
            if let Event::Mark(mark) = event {
                sure[usize::try_from(mark >> 8).expect("small")] = mark & 0xFF;
                acknowledged += 1;
            }
        }
        disk = disk.cut(&events[..place], &random);
    }
    acknowledged
}

#[test]
fn a_power_cut_takes_nothing_back_that_was_acknowledged() {
    let acknowledged: u64 = (0..10).map(|seed| run(live_through(seed, 6))).sum();
    assert!(acknowledged > 500, "{acknowledged}");
}
