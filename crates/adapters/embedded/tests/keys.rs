//! The keys' conformance suite on the embedded adapter, and what only keys on disk can do.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use klatch_conformance::run;
use klatch_conformance::sample::{Repeatable, user_id};
use klatch_embedded::keys::Keys;
use klatch_ports::keys::{KeyReader, KeyWriter};
use klatch_ports::{ErrorKind, PortResult};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn try_open(dir: &TempDir, seed: u64) -> PortResult<Keys> {
    Keys::open(dir.path(), Arc::new(Repeatable::new(seed)))
}

fn open(dir: &TempDir, seed: u64) -> Keys {
    try_open(dir, seed).expect("keys")
}

async fn key(keys: &Keys, person: u64) -> Option<[u8; 32]> {
    keys.key(user_id(person)).await.expect("a look-up").map(|key| key.0)
}

fn path(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join("keys").join(name)
}

mod conformance {
    klatch_conformance::key_store_tests!({
        let dir = super::directory();
        (super::open(&dir, 1), dir)
    });
}

async fn all(keys: &Keys, people: std::ops::Range<u64>) -> Vec<Option<[u8; 32]>> {
    let mut found = Vec::new();
    for person in people {
        found.push(key(keys, person).await);
    }
    found
}

#[test]
fn keys_survive_reopening_and_rotation() {
    run(async {
        let dir = directory();
        let keys = open(&dir, 1);
        let people: Vec<_> = (0..1_000).map(user_id).collect();
        keys.create(&people).await.expect("create");
        let mut wanted = all(&keys, 0..1_000).await;
        drop(keys);
        for (round, person) in [(2, 500), (3, 0), (4, 999)] {
            let keys = open(&dir, round);
            assert_eq!(all(&keys, 0..1_000).await, wanted, "round {round}");
            assert!(keys.destroy(user_id(person)).await.expect("destroy"));
            wanted[usize::try_from(person).expect("small")] = None;
            assert_eq!(all(&keys, 0..1_000).await, wanted, "round {round}");
        }
        let keys = open(&dir, 7);
        assert_eq!(all(&keys, 0..1_000).await, wanted);
        keys.create(&people).await.expect("create");
        let again = all(&keys, 0..1_000).await;
        assert!(again.iter().all(Option::is_some));
        assert_eq!(again.iter().zip(&wanted).filter(|(new, old)| new != old).count(), 3);
    });
}

#[test]
fn a_destroyed_key_and_its_server_key_are_nowhere_in_the_files() {
    run(async {
        let dir = directory();
        let keys = open(&dir, 1);
        keys.create(&[user_id(1), user_id(2)]).await.expect("create");
        let slot = {
            let slots = fs::read(path(&dir, "slots")).expect("slots");
            let at = slots.windows(16).position(|w| w == user_id(1).to_bytes()).expect("a slot");
            slots[at + 16..at + 76].to_vec()
        };
        let server_key = fs::read(path(&dir, "server.key")).expect("the key")[24..56].to_vec();
        assert!(keys.destroy(user_id(1)).await.expect("destroy"));
        for name in ["slots", "server.key"] {
            let bytes = fs::read(path(&dir, name)).expect("a file");
            for (what, secret) in [("slot", &slot), ("server key", &server_key)] {
                let found = bytes.windows(secret.len()).any(|window| window == &secret[..]);
                assert!(!found, "the {what} is still in {name}");
            }
            let person = bytes.windows(16).any(|window| window == user_id(1).to_bytes());
            assert!(!person, "the person is still in {name}");
        }
        assert!(!path(&dir, "slots.new").exists());
    });
}

#[test]
fn a_freed_slot_is_used_again() {
    run(async {
        let dir = directory();
        let keys = open(&dir, 1);
        let people: Vec<_> = (0..384).map(user_id).collect();
        keys.create(&people).await.expect("create");
        let full = fs::metadata(path(&dir, "slots")).expect("slots").len();
        for person in 0..3 {
            assert!(keys.destroy(user_id(person)).await.expect("destroy"));
            keys.create(&[user_id(1_000 + person)]).await.expect("create");
        }
        assert_eq!(fs::metadata(path(&dir, "slots")).expect("slots").len(), full);
        keys.create(&[user_id(2_000)]).await.expect("create");
        assert!(fs::metadata(path(&dir, "slots")).expect("slots").len() > full);
    });
}

#[test]
fn many_at_once_create_and_destroy() {
    run(async {
        let dir = directory();
        let keys = open(&dir, 1);
        let create = |n: u64| {
            let keys = &keys;
            async move { keys.create(&[user_id(n)]).await.expect("create") }
        };
        futures::future::join_all((0..15_000).map(create)).await;
        let destroy = |n: u64| {
            let keys = &keys;
            async move { keys.destroy(user_id(n)).await.expect("destroy") }
        };
        let gone = futures::future::join_all((0..200).map(destroy)).await;
        assert!(gone.iter().all(|gone| *gone));
        let found = all(&keys, 0..15_000).await;
        assert!(found.iter().take(200).all(Option::is_none));
        assert!(found.iter().skip(200).all(Option::is_some));
    });
}

#[test]
fn only_the_server_may_read_the_files() {
    let dir = directory();
    drop(open(&dir, 1));
    for name in ["slots", "server.key"] {
        let mode = fs::metadata(path(&dir, name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_second_process_cannot_open_the_keys() {
    let dir = directory();
    let first = open(&dir, 1);
    assert_eq!(try_open(&dir, 2).expect_err("locked").kind, ErrorKind::Misconfigured);
    drop(first);
    open(&dir, 3);
}

#[test]
fn a_damaged_slot_is_named() {
    run(async {
        let dir = directory();
        let keys = open(&dir, 1);
        keys.create(&(0..100).map(user_id).collect::<Vec<_>>()).await.expect("create");
        drop(keys);
        let mut bytes = fs::read(path(&dir, "slots")).expect("slots");
        // Slot 8 is the third of the second sector of slots.
        bytes[512 * 2 + 80 * 2 + 40] ^= 1;
        fs::write(path(&dir, "slots"), bytes).expect("written");
        let error = try_open(&dir, 2).expect_err("damaged");
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.to_string().contains("slot 8 "), "{error}");
    });
}

#[test]
fn a_missing_or_foreign_file_is_refused_not_replaced() {
    run(async {
        let dir = directory();
        let keys = open(&dir, 1);
        keys.create(&[user_id(1)]).await.expect("create");
        let wanted = key(&keys, 1).await;
        drop(keys);
        for name in ["slots", "server.key"] {
            let aside = path(&dir, "aside");
            fs::rename(path(&dir, name), &aside).expect("moved");
            let error = try_open(&dir, 2).expect_err("a file is missing");
            assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
            assert!(!path(&dir, name).exists());
            fs::rename(&aside, path(&dir, name)).expect("moved");
        }
        let other = directory();
        drop(open(&other, 9));
        fs::copy(path(&other, "server.key"), path(&dir, "server.key.foreign")).expect("copied");
        fs::rename(path(&dir, "server.key"), path(&dir, "server.key.own")).expect("moved");
        fs::rename(path(&dir, "server.key.foreign"), path(&dir, "server.key")).expect("moved");
        assert_eq!(try_open(&dir, 2).expect_err("foreign").kind, ErrorKind::Corrupt);
        fs::rename(path(&dir, "server.key.own"), path(&dir, "server.key")).expect("moved");
        assert_eq!(key(&open(&dir, 2), 1).await, wanted);
    });
}

#[test]
fn a_first_opening_that_broke_off_is_repeated() {
    let dir = directory();
    drop(open(&dir, 1));
    fs::remove_file(path(&dir, "server.key")).expect("removed");
    drop(open(&dir, 2));
    drop(open(&dir, 3));
}

/// The states a crash can leave between the steps of a replacement, made from the files of before
/// and after.
#[test]
fn every_crash_between_the_steps_of_a_rotation_leaves_all_other_keys() {
    run(async {
        let dir = directory();
        let keys = open(&dir, 1);
        keys.create(&(0..100).map(user_id).collect::<Vec<_>>()).await.expect("create");
        let mut wanted = all(&keys, 0..100).await;
        drop(keys);
        let read = |name| fs::read(path(&dir, name)).expect("a file");
        let (slots_before, key_before) = (read("slots"), read("server.key"));
        let keys = open(&dir, 2);
        assert!(keys.destroy(user_id(42)).await.expect("destroy"));
        drop(keys);
        let (slots_after, key_after) = (read("slots"), read("server.key"));
        // Each has the key in one sector; while both are needed both sectors are filled.
        let key_both: Vec<u8> = key_before.iter().zip(&key_after).map(|(a, b)| a | b).collect();
        let mut slots_erased = slots_before.clone();
        let at = slots_before.windows(16).position(|w| w == user_id(42).to_bytes()).expect("it");
        slots_erased[at..at + 80].fill(0);
        let half = &slots_after[..slots_after.len() / 2 / 512 * 512];
        let destroyed = |erased: bool| if erased { None } else { wanted[42] };
        let states = [
            ("next key written", &slots_before, None, &key_both, destroyed(false)),
            ("slot erased", &slots_erased, None, &key_both, destroyed(true)),
            ("half rewrapped", &slots_erased, Some(half), &key_both, destroyed(true)),
            ("all rewrapped", &slots_erased, Some(&slots_after[..]), &key_both, destroyed(true)),
            ("switched", &slots_after, None, &key_both, destroyed(true)),
            ("done", &slots_after, None, &key_after, destroyed(true)),
        ];
        for (state, slots, new, server_key, target) in states {
            let crashed = directory();
            fs::create_dir(crashed.path().join("keys")).expect("a directory");
            fs::write(path(&crashed, "slots"), slots).expect("written");
            fs::write(path(&crashed, "server.key"), server_key).expect("written");
            if let Some(new) = new {
                fs::write(path(&crashed, "slots.new"), new).expect("written");
            }
            wanted[42] = target;
            for opening in 0..2 {
                let keys = open(&crashed, 10 + opening);
                assert_eq!(all(&keys, 0..100).await, wanted, "{state}, opening {opening}");
                let bytes = fs::read(path(&crashed, "server.key")).expect("the key");
                let filled = bytes.chunks(512).filter(|s| s.iter().any(|b| *b != 0)).count();
                assert_eq!(filled, 1, "{state}: one server key is left");
                if state != "done" {
                    let old = key_before[24..56].to_vec();
                    assert!(!bytes.windows(32).any(|w| w == &old[..]), "{state}: the old one");
                }
            }
        }
    });
}
