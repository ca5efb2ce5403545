//! The accounts' conformance suite on the embedded adapter, and what only one on disk can do.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;

use klatch_conformance::run;
use klatch_conformance::sample::{account, claim, session, session_id, time, user_id};
use klatch_conformance::whereabouts::choice;
use klatch_embedded::accounts::Accounts;
use klatch_ports::ErrorKind;
use klatch_ports::accounts::{Account, AccountStore, ClaimKind, Claims, Session, SessionStore};
use klatch_ports::erasures::{AccountEraser, Traces};
use klatch_ports::whereabouts::{Whereabouts, WhereaboutsStore};
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
    klatch_conformance::whereabouts_store_tests!({
        let dir = super::directory();
        (super::open_with_accounts(&dir).await, dir)
    });
}

async fn open_with_accounts(dir: &TempDir) -> Accounts {
    let accounts = open(dir);
    accounts.put(&[account(1), account(2), account(3)]).await.expect("put");
    accounts
}

#[test]
fn who_left_is_known_after_the_next_minute_and_a_choice_at_once_and_the_erased_not_at_all() {
    run(async {
        let dir = directory();
        let accounts = open_with_accounts(&dir).await;
        let [ann, ben, cleo] = [1, 2, 3].map(user_id);
        accounts.left(ann, time(1)).await.expect("left");
        accounts.left(ben, time(2)).await.expect("left");
        accounts.keep_whereabouts().await.expect("kept");
        accounts.left(ben, time(3)).await.expect("left");
        accounts.chose(ann, Some(&choice())).await.expect("chose");
        accounts.chose(cleo, Some(&choice())).await.expect("chose");
        // Whoever is erased while they are here leaves late.
        AccountEraser::erase(&accounts, cleo).await.expect("erased");
        accounts.left(cleo, time(4)).await.expect("left");
        accounts.chose(cleo, Some(&choice())).await.expect("chose");
        drop(accounts);
        let accounts = open(&dir);
        let known =
            async |accounts: &Accounts, user| accounts.whereabouts(user).await.expect("read");
        let both = Whereabouts { left: Some(time(1)), choice: Some(choice()) };
        assert_eq!(known(&accounts, ann).await, both);
        assert_eq!(known(&accounts, ben).await.left, Some(time(2)), "the last minute is lost");
        accounts.left(cleo, time(5)).await.expect("left");
        accounts.keep_whereabouts().await.expect("kept");
        drop(accounts);
        let accounts = open(&dir);
        assert_eq!(known(&accounts, cleo).await, Whereabouts::default());
        assert_eq!(accounts.traces(cleo).await.expect("traces"), Traces::default());
    });
}

#[test]
fn thousands_who_leave_again_and_again_are_kept_as_they_left_last() {
    run(async {
        let dir = directory();
        let accounts = open(&dir);
        let all: Vec<_> = (1..=5_000).map(account).collect();
        accounts.put(&all).await.expect("put");
        for round in 0..3 {
            for account in &all {
                accounts.left(account.user, time(round)).await.expect("left");
            }
        }
        accounts.keep_whereabouts().await.expect("kept");
        drop(accounts);
        let accounts = open(&dir);
        for account in &all {
            let known = accounts.whereabouts(account.user).await.expect("read");
            assert_eq!(known.left, Some(time(2)));
        }
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
    dir.path().join("accounts/1/0.jnl")
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

/// Whether the bytes are in any file below the directory.
fn is_anywhere(dir: &std::path::Path, words: &[u8]) -> bool {
    std::fs::read_dir(dir).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return is_anywhere(&path, words);
        }
        let bytes = std::fs::read(&path).expect("a file");
        bytes.windows(words.len()).any(|window| window == words)
    })
}

#[test]
fn an_erased_person_is_in_no_row_and_in_no_file_and_others_stay() {
    run(async {
        let dir = directory();
        let accounts = open(&dir);
        let (gone, stays) = (user_id(7), user_id(8));
        for round in 0..3 {
            // Several times, so that rows lie in the journal, in its memory and overwritten.
            accounts.put(&[account(7), account(8)]).await.expect("put");
            for (n, user, name) in [(7, gone, "canary-name"), (8, stays, "other-name")] {
                let claims = [claim(name, user.bits())];
                accounts.claim(&claims, time(n)).await.expect("claim").expect("held");
                let session = Session {
                    device: if user == gone { "canary-device" } else { "other" }.to_owned(),
                    ..session(10 * n + round, user)
                };
                accounts.create(&session).await.expect("create");
            }
        }
        let hash = account(7).password_hash.expect("a hash");
        for words in [&b"canary-name"[..], b"canary-device", hash.as_bytes()] {
            assert!(is_anywhere(dir.path(), words), "the test finds what it looks for");
        }
        let found = accounts.erase(gone).await.expect("erase");
        let expected = Traces { accounts: 1, names: 1, sessions: 3, others: 1 };
        assert_eq!(found, expected);
        assert!(accounts.traces(gone).await.expect("look").are_none());
        assert!(accounts.erase(gone).await.expect("again").are_none());
        for words in [&b"canary"[..], hash.as_bytes(), &gone.to_bytes()] {
            assert!(!is_anywhere(dir.path(), words), "{}", String::from_utf8_lossy(words));
        }
        assert_eq!(AccountStore::get(&accounts, gone).await.expect("get"), None);
        assert_eq!(AccountStore::get(&accounts, stays).await.expect("get"), Some(account(8)));
        assert_eq!(accounts.list(stays).await.expect("list").len(), 3);
        accounts.put(&[account(9)]).await.expect("put");
        drop(accounts);
        let accounts = open(&dir);
        let unannounced = accounts.unannounced(9).await.expect("list");
        assert_eq!(unannounced, [account(8), account(9)]);
        assert!(!is_anywhere(dir.path(), b"canary"));
    });
}

#[test]
fn a_copy_made_while_others_write_is_whole_and_a_torn_one_is_refused() {
    run(async {
        let (dir, other) = (directory(), directory());
        let accounts = open(&dir);
        let all: Vec<_> = (0..2_500).map(account).collect();
        accounts.put(&all).await.expect("put");
        let mut bytes = Vec::new();
        let rows = accounts.dump(&mut bytes).expect("dump");
        accounts.put(&[account(3_000)]).await.expect("put");
        // An account, and the mark that it is not announced.
        assert_eq!(rows, 5_000);
        assert_eq!(Accounts::load(other.path(), &mut bytes.as_slice()).expect("load"), rows);
        let copy = open(&other);
        assert_eq!(copy.unannounced(9_999).await.expect("list"), all);
        for cut in [0, 9, 100, bytes.len() - 1] {
            let mut torn = bytes.get(..cut).expect("shorter");
            let error = Accounts::load(directory().path(), &mut torn).expect_err("torn");
            assert_eq!(error.kind, ErrorKind::Corrupt, "{cut}");
        }
    });
}

#[test]
fn accounts_of_the_older_layout_are_taken_over() {
    run(async {
        let dir = directory();
        let accounts = open(&dir);
        accounts.put(&[account(1)]).await.expect("put");
        drop(accounts);
        let (now, aside) = (dir.path().join("accounts"), dir.path().join("aside"));
        std::fs::rename(now.join("1"), &aside).expect("rename");
        std::fs::remove_dir(&now).expect("remove");
        std::fs::rename(&aside, &now).expect("rename");
        for _ in 0..2 {
            let found = AccountStore::get(&open(&dir), user_id(1)).await.expect("get");
            assert_eq!(found, Some(account(1)));
        }
        // A crash between the two renames.
        let moving = dir.path().join("accounts.moving");
        std::fs::rename(&now, &moving).expect("rename");
        let found = AccountStore::get(&open(&dir), user_id(1)).await.expect("get");
        assert_eq!(found, Some(account(1)));
    });
}
