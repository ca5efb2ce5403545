//! Measures what knowing who spoke costs: `activity_bench [events]`. One user is in 100 rooms, one
//! in 100,000; events go to the larger half of them at random. Times are of an otherwise idle
//! machine or not worth writing down.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for the terminal")]

use std::time::{Duration, Instant};

use klatch_conformance::sample::{P0, Repeatable, at, head, room_id, user_id};
use klatch_embedded::stores::{MessageStore, Stores, StoresConfig};
use klatch_ports::Offset;
use klatch_ports::activity::ActivityReader;
use klatch_ports::messages::{MessageCommit, MessageWriter, StayChange};

const FEW: u64 = 100;
const MANY: u64 = 100_000;
const BATCH: u64 = 200;
const TIMES: u32 = 20;

#[tokio::main]
async fn main() {
    let events: u32 =
        std::env::args().nth(1).map_or(1_000_000, |n| n.parse().expect("a number of events"));
    let dir = tempfile::tempdir().expect("a directory");
    let store = Stores::open(dir.path(), StoresConfig::default()).expect("stores").messages;
    let begin = Instant::now();
    let mut offset = 0;
    for rooms in (0..MANY).collect::<Vec<_>>().chunks(2_000) {
        offset = come_in(&store, rooms, offset).await;
    }
    println!("{MANY} joins: {:?}", begin.elapsed());
    for kept in [false, true] {
        let begin = Instant::now();
        offset = speak(&store, u64::from(events), offset, kept).await;
        let each = begin.elapsed().as_secs_f64() * 1e6 / f64::from(events);
        println!("{each:.2} us an event, {}", if kept { "sets kept" } else { "heads alone" });
    }
    for (name, user) in [("100 rooms", 1), ("100,000 rooms", 2)] {
        println!("someone in {name}:");
        ask(&store, user, offset).await;
    }
    let end = speak_to_both(&store, offset).await;
    for (name, user) in [("100 rooms", 1), ("100,000 rooms", 2)] {
        let mut found = None;
        let changed = time(async || {
            let user = user_id(user);
            found = store.changed(user, P0, Offset(offset), 10_000).await.expect("changed");
        })
        .await;
        let rooms = found.map(|rooms| rooms.len());
        println!("{} events in rooms of both, {name}: {changed:?} ({rooms:?} rooms)", end - offset);
    }
}

/// One event in each of some rooms that both are in.
async fn speak_to_both(store: &MessageStore, mut offset: u64) -> u64 {
    let mut commit = MessageCommit { partition: P0, ..MessageCommit::default() };
    for number in 0..20 {
        offset += 1;
        let (room, newest) = (room_id(number), head(offset, offset, offset));
        commit.heads.push((room, newest));
        commit.events.push((Offset(offset), room, newest.head.active_at));
    }
    commit.applied = at(offset);
    store.commit(commit).await.expect("commit");
    offset
}

async fn come_in(store: &MessageStore, rooms: &[u64], mut offset: u64) -> u64 {
    let mut commit = MessageCommit { partition: P0, ..MessageCommit::default() };
    for room in rooms {
        for user in if *room < FEW { 1..=2 } else { 2..=2 } {
            offset += 1;
            let (room, at) = (room_id(*room), Offset(offset));
            let first = head(1, 1, offset);
            commit.events.push((at, room, first.head.active_at));
            commit.heads.push((room, first));
            let user = user_id(user);
            commit.stays.push(StayChange { room, user, offset: at, inside: true });
        }
    }
    commit.applied = at(offset);
    store.commit(commit).await.expect("commit");
    offset
}

async fn speak(store: &MessageStore, events: u64, mut offset: u64, kept: bool) -> u64 {
    let random = Repeatable::new(7);
    for _ in 0..events / BATCH {
        let mut commit = MessageCommit { partition: P0, ..MessageCommit::default() };
        for _ in 0..BATCH {
            offset += 1;
            let room = room_id(random.next() % MANY / 2 + MANY / 2);
            let newest = head(offset, offset, offset);
            commit.heads.push((room, newest));
            if kept {
                commit.events.push((Offset(offset), room, newest.head.active_at));
            }
        }
        commit.applied = at(offset);
        store.commit(commit).await.expect("commit");
    }
    offset
}

async fn ask(store: &MessageStore, user: u64, end: u64) {
    let user = user_id(user);
    for behind in [10, 1_000, 10_000, 100_000] {
        let after = Offset(end - behind);
        let mut found = None;
        let changed = time(async || {
            found = store.changed(user, P0, after, 10_000).await.expect("changed").map(|r| r.len());
        })
        .await;
        let mut pieces = 0;
        let spans = time(async || {
            let found = store.spans(user, P0, (after, Offset(end)), 1_500).await.expect("spans");
            pieces = found.spans.len();
        })
        .await;
        println!(
            "  {behind} events ago: changed {changed:?} ({found:?} rooms), spans {spans:?} ({pieces})"
        );
    }
    let latest = time(async || drop(store.latest(user, None, 50).await.expect("latest"))).await;
    println!("  latest 50: {latest:?}");
}

async fn time(mut what: impl AsyncFnMut()) -> Duration {
    let begin = Instant::now();
    for _ in 0..TIMES {
        what().await;
    }
    begin.elapsed() / TIMES
}
