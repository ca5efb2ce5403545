//! The stores' conformance suites on the embedded adapters, and what only a store on disk can do.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use klatch_conformance::random::{self, Step};
use klatch_conformance::sample::{P0, at, room_id, user, user_id};
use klatch_conformance::{messages as cases, run};
use klatch_embedded::stores::{Stores, StoresConfig};
use klatch_ports::ErrorKind;
use klatch_ports::messages::{Applied, MessageReader, MessageWriter, Range};
use klatch_ports::metadata::{MetadataCommit, MetadataProgress, MetadataWriter, UserReader};
use proptest::prelude::*;
use tempfile::TempDir;

fn open(dir: &TempDir) -> Stores {
    Stores::open(dir.path(), StoresConfig::default()).expect("stores")
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

mod messages {
    use std::sync::Arc;

    klatch_conformance::message_store_tests!({
        let dir = super::directory();
        let store = Arc::into_inner(super::open(&dir).messages).expect("the only one");
        (store, dir)
    });
}

mod activity {
    use std::sync::Arc;

    klatch_conformance::activity_tests!({
        let dir = super::directory();
        let store = Arc::into_inner(super::open(&dir).messages).expect("the only one");
        (store, dir)
    });
}

mod metadata {
    use std::sync::Arc;

    klatch_conformance::metadata_store_tests!({
        let dir = super::directory();
        let store = Arc::into_inner(super::open(&dir).metadata).expect("the only one");
        (store, dir)
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_message_read_answers_as_in_memory(steps in random::message_steps()) {
        run(async {
            let (dir, oracle) = (directory(), klatch_memory::messages::MessageStore::new());
            let mut stores = open(&dir);
            for step in steps {
                match step {
                    Step::Commit(commit) => {
                        oracle.commit(commit.clone()).await.expect("memory");
                        stores.messages.commit(commit).await.expect("disk");
                    }
                    Step::Advance(mark) => {
                        oracle.advance(P0, at(mark)).await.expect("memory");
                        stores.messages.advance(P0, at(mark)).await.expect("disk");
                    }
                    Step::Reopen => {
                        drop(stores);
                        stores = open(&dir);
                    }
                }
            }
            random::same_messages(&*stores.messages, &oracle).await;
        });
    }

    #[test]
    fn every_metadata_read_answers_as_in_memory(steps in random::metadata_steps()) {
        run(async {
            let (dir, oracle) = (directory(), klatch_memory::metadata::MetadataStore::new());
            let mut stores = open(&dir);
            for step in steps {
                match step {
                    Step::Commit(commit) => {
                        oracle.commit(commit.clone()).await.expect("memory");
                        stores.metadata.commit(commit).await.expect("disk");
                    }
                    Step::Advance(mark) => {
                        oracle.advance(P0, at(mark)).await.expect("memory");
                        stores.metadata.advance(P0, at(mark)).await.expect("disk");
                    }
                    Step::Reopen => {
                        drop(stores);
                        stores = open(&dir);
                    }
                }
            }
            random::same_metadata(&*stores.metadata, &oracle).await;
        });
    }
}

#[test]
fn a_reopened_store_has_rows_and_the_position_of_its_last_commit() {
    run(async {
        let dir = directory();
        let stores = open(&dir);
        cases::fill(&*stores.messages, room_id(1), 70, 70).await;
        stores.messages.advance(P0, at(90)).await.expect("advance");
        drop(stores);
        let stores = open(&dir);
        let applied = stores.messages.applied(P0).await.expect("applied");
        assert_eq!(applied, at(70), "an advance is not stored");
        let page = stores.messages.history(room_id(1), Range::Latest, 50).await.expect("history");
        assert_eq!(page.first().map(|message| message.seq.0), Some(70));
        assert_eq!(stores.metadata.applied(P0).await.expect("applied"), Applied::default());
    });
}

#[test]
fn a_second_process_cannot_open_the_stores() {
    let dir = directory();
    let first = open(&dir);
    let error = Stores::open(dir.path(), StoresConfig::default()).expect_err("locked");
    assert_eq!(error.kind, ErrorKind::Misconfigured);
    drop(first);
    open(&dir);
}

#[test]
fn a_wiped_store_is_empty_and_the_other_is_not() {
    run(async {
        let dir = directory();
        let mut stores = open(&dir);
        let users = vec![(user(1), Some(7))];
        let commit = MetadataCommit { partition: P0, applied: at(3), users, ..Default::default() };
        stores.metadata.commit(commit.clone()).await.expect("commit");
        cases::fill(&*stores.messages, room_id(1), 70, 70).await;
        stores.messages.wipe().await.expect("wipe");
        for _ in 0..2 {
            assert_eq!(stores.messages.applied(P0).await.expect("applied"), Applied::default());
            assert_eq!(stores.messages.head(room_id(1)).await.expect("head"), None);
            let found = stores.metadata.user(user_id(1)).await.expect("user");
            assert_eq!(found, Some(user(1)));
            drop(stores);
            stores = open(&dir);
        }
        cases::fill(&*stores.messages, room_id(1), 5, 5).await;
        stores.metadata.wipe().await.expect("wipe");
        drop(stores);
        let stores = open(&dir);
        assert_eq!(stores.messages.applied(P0).await.expect("applied"), at(5));
        assert_eq!(stores.metadata.number(user_id(1)).await.expect("number"), None);
        assert_eq!(stores.metadata.applied(P0).await.expect("applied"), Applied::default());
    });
}

#[test]
fn what_a_crash_left_of_the_first_opening_is_cleared_away() {
    let dir = directory();
    let stores = dir.path().join("stores/messages/1");
    std::fs::create_dir_all(stores.join("keyspaces")).expect("a directory");
    std::fs::write(stores.join("0.jnl"), [0; 100]).expect("a file");
    std::fs::write(stores.join("version"), []).expect("a file");
    open(&dir);
}

#[test]
fn rows_without_their_version_marker_are_not_cleared_away() {
    let dir = directory();
    drop(open(&dir));
    std::fs::remove_file(dir.path().join("stores/messages/1/version")).expect("removed");
    let error = Stores::open(dir.path(), StoresConfig::default()).expect_err("damaged");
    assert_eq!(error.kind, ErrorKind::Corrupt);
}
