//! Accounts: whatever was acknowledged before the cut is there, and nothing is there by halves;
//! also when syncs failed in an earlier life of the process, whose rows a later one built on.

use futures::future::join_all;
use klatch_conformance::run;
use klatch_conformance::sample::{Repeatable, account, claim, session, session_id, time, user_id};
use klatch_embedded::accounts::Accounts;
use klatch_ports::PortResult;
use klatch_ports::accounts::{Account, AccountStore, ClaimKind, Claims, SessionStore};

use crate::Plan;
use crate::disk::{Disk, below, place_to_cut};
use crate::trace::{Event, Trace};

/// What was done for the person of a number, each after the one before was acknowledged.
const STEPS: u64 = 4;

/// Does the next step for person `n`.
async fn step(accounts: &Accounts, n: u64, step: u64) -> PortResult<()> {
    let user = user_id(n);
    match step {
        0 => {
            let name = claim(&format!("user{n}"), u128::from(n));
            accounts.claim(&[name], time(n)).await?.expect("held");
        }
        1 => accounts.put(&[row(n, false)]).await?,
        2 => accounts.create(&session(n, user)).await?,
        _ => {
            accounts.put(&[row(n, true)]).await?;
            assert!(accounts.revoke(session_id(n)).await?);
        }
    }
    Ok(())
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

/// What came of it.
#[derive(Default)]
struct Told {
    acknowledged: u64,
    failed: u64,
}

/// Checks that there is what was acknowledged, and tells what is there.
async fn check(accounts: &Accounts, acknowledged: &[u64], what: &str) -> Vec<u64> {
    let mut there = Vec::new();
    for (n, acknowledged) in (0..).zip(acknowledged) {
        let steps = steps_there(accounts, n).await;
        assert!(steps >= *acknowledged, "{what}, person {n}: {steps} of {acknowledged}");
        there.push(steps);
    }
    let unannounced = accounts.unannounced(1_000).await.expect("list").len();
    let wanted = there.iter().filter(|steps| matches!(steps, 2 | 3)).count();
    assert!(unannounced <= wanted, "{what}: the index agrees with the rows");
    there
}

/// Does what comes next for some people, until that is enough or a sync failed.
async fn go_on(accounts: &Accounts, trace: &Trace, there: &mut [u64], random: &Repeatable) {
    for _ in 0..below(random, 12) {
        let many = 1 + below(random, 20);
        let mut people: Vec<usize> = (0..many).map(|_| below(random, there.len())).collect();
        people.sort_unstable();
        people.dedup();
        let tasks = people.into_iter().filter(|n| there[*n] < STEPS).map(|n| {
            let (done, person) = (there[n], n as u64);
            async move {
                let outcome = step(accounts, person, done).await;
                if outcome.is_ok() {
                    trace.mark(person << 8 | (done + 1));
                }
                outcome.map(|()| n)
            }
        });
        let outcomes = join_all(tasks).await;
        let failed = outcomes.iter().any(Result::is_err);
        for n in outcomes.into_iter().flatten() {
            there[n] += 1;
        }
        if failed {
            assert!(accounts.broken().borrow().is_some(), "that nothing more is written is told");
            break;
        }
    }
}

async fn live_through(Plan { seed, cuts, lives }: Plan) -> Told {
    let random = Repeatable::new(seed);
    let mut disk = Disk::default();
    // Steps acknowledged for sure, by person.
    let mut sure: Vec<u64> = vec![0; 60];
    let mut told = Told::default();
    for cut in 0..=cuts {
        let dir = tempfile::tempdir().expect("a directory");
        disk.lay_out(dir.path());
        let trace = Trace::begin(dir.path());
        let mut acknowledged = sure.clone();
        for life in 1..=lives {
            let what = format!("seed {seed}, cut {cut}, life {life}");
            if life < lives {
                trace.fail_syncs(random.next() % 40, 1 + random.next() % 3);
            }
            let accounts = trace.opened(&mut told.failed, &what, || Accounts::open(dir.path()));
            acknowledged = check(&accounts, &acknowledged, &what).await;
            go_on(&accounts, &trace, &mut acknowledged, &random).await;
            drop(accounts);
            told.failed += trace.mend();
        }
        let events = trace.end();
        let place = place_to_cut(&events, &random);
        for event in &events[..place] {
            if let Event::Mark(mark) = event {
                sure[usize::try_from(mark >> 8).expect("small")] = mark & 0xFF;
                told.acknowledged += 1;
            }
        }
        disk = disk.cut(&events[..place], &random);
    }
    told
}

#[test]
fn a_power_cut_takes_nothing_back_that_was_acknowledged() {
    let plan = |seed| Plan { seed, cuts: 6, lives: 1 };
    let acknowledged: u64 = (0..10).map(|seed| run(live_through(plan(seed))).acknowledged).sum();
    assert!(acknowledged > 500, "{acknowledged}");
}

#[test]
fn a_power_cut_takes_nothing_back_that_builds_on_what_failed_to_be_synced() {
    let (mut acknowledged, mut failed) = (0, 0);
    for seed in crate::seeds(1_000, 100) {
        let told = run(live_through(Plan { seed, cuts: 2, lives: 3 }));
        acknowledged += told.acknowledged;
        failed += told.failed;
    }
    assert!(acknowledged > 1_000 && failed > 60, "{acknowledged} steps, {failed} failed syncs");
}
