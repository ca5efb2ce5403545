//! The accounts' conformance suite on the embedded adapter, and what only one on disk can do.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;

use klatch_conformance::run;
use klatch_conformance::sample::{account, claim, session, session_id, time, user_id};
use klatch_embedded::accounts::Accounts;
use klatch_ports::ErrorKind;
use klatch_ports::accounts::{Account, AccountStore, ClaimKind, Claims, SessionStore};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(dir: &TempDir) -> Accounts {
    Accounts::open(dir.path()).expect("accounts")
}

mod conformance {
    klatch_conformance::account_store_tests!({
        let dir = super::directory();
        (super::open(&dir), dir)
    });
    klatch_conformance::invitation_store_tests!({
        let dir = super::directory();
        (super::open(&dir), dir)
    });
    klatch_conformance::api_token_store_tests!({
        let dir = super::directory();
        (super::open(&dir), dir)
    });
}

#[test]
fn everything_is_there_after_reopening() {
    run(async {
        let dir = directory();
        let accounts = open(&dir);
        accounts.put(&[account(1), account(2)]).await.expect("put");
        accounts.claim(&[claim("ann", 1)], time(0)).await.expect("claim").expect("held");
        accounts.confirm(&[claim("ann", 1)]).await.expect("confirm");
        accounts.create(&session(1, user_id(1))).await.expect("create");
        drop(accounts);
        let accounts = open(&dir);
        let unannounced = accounts.unannounced(9).await.expect("list");
        assert_eq!(unannounced, [account(1), account(2)]);
        let holder = accounts.holder(ClaimKind::Username, "ann").await.expect("holder");
        assert_eq!(holder, Some(1));
        let found = SessionStore::get(&accounts, session_id(1)).await.expect("session");
        assert_eq!(found, Some(session(1, user_id(1))));
    });
}

#[test]
fn fifteen_thousand_writers_at_once_are_all_served() {
    run(async {
        let dir = directory();
        let accounts = open(&dir);
        let register = |n: u64| {
            let (accounts, row) = (&accounts, account(n));
            async move {
                let name = [claim(&format!("user{n}"), u128::from(n))];
                accounts.claim(&name, time(n)).await.expect("claim").expect("held");
                accounts.put(&[row]).await.expect("put");
            }
        };
        let begin = std::time::Instant::now();
        futures::future::join_all((0..15_000).map(register)).await;
        // One sync each would take far longer on any disk.
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
        let last = AccountStore::get(&accounts, user_id(14_999)).await.expect("get");
        assert_eq!(last, Some(account(14_999)));
        assert_eq!(accounts.unannounced(20_000).await.expect("list").len(), 15_000);
    });
}

fn newest_journal(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("accounts/0.jnl")
}

/// Where each of the first batches ends: behind the journal's trailer. fjall reserves 64 MB.
fn batch_ends(dir: &TempDir) -> Vec<u64> {
    let mut bytes = Vec::new();
    let file = File::open(newest_journal(dir)).expect("the journal");
    file.take(100_000).read_to_end(&mut bytes).expect("read");
    let ends = bytes.windows(4).zip(4..).filter(|(bytes, _)| *bytes == b"FJL\x03");
    ends.map(|(_, end)| end).collect()
}

async fn three_writes(dir: &TempDir) -> Vec<u64> {
    let accounts = open(dir);
    for n in 1..=3 {
        let long = Account { password_hash: Some("x".repeat(9_000)), ..account(n) };
        accounts.put(&[long]).await.expect("put");
    }
    drop(accounts);
    batch_ends(dir)
}

fn damage(dir: &TempDir, at: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(newest_journal(dir)).expect("the journal");
    file.write_all_at(&vec![0; length], at).expect("written");
}

#[test]
fn a_torn_last_write_is_dropped_and_the_rest_kept() {
    run(async {
        // Inside the long value, across a header, and the very end: each is what a power cut can
        // leave of a write that was never acknowledged.
        for (offset, length) in [(300, 4_096), (0, 512), (9_000, 512)] {
            let dir = directory();
            let ends = three_writes(&dir).await;
            damage(&dir, ends[1] + offset, length);
            let accounts = open(&dir);
            for n in 1..=2 {
                let found = AccountStore::get(&accounts, user_id(n)).await.expect("get");
                assert!(found.is_some(), "{n}");
            }
            let torn = AccountStore::get(&accounts, user_id(3)).await.expect("get");
            assert_eq!(torn, None);
            accounts.put(&[account(4)]).await.expect("put");
            drop(accounts);
            let accounts = open(&dir);
            let found = AccountStore::get(&accounts, user_id(4)).await.expect("get");
            assert_eq!(found, Some(account(4)), "the journal goes on behind the cut");
        }
    });
}

#[test]
fn damage_before_an_acknowledged_write_is_refused_not_dropped() {
    run(async {
        for (offset, length) in [(300, 1), (0, 13), (300, 4_096)] {
            let dir = directory();
            let ends = three_writes(&dir).await;
            damage(&dir, ends[0] + offset, length);
            let error = Accounts::open(dir.path()).expect_err("damaged");
            assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
        }
    });
}
