//! What someone costs does not depend on how many rooms they are in.

use std::collections::BTreeMap;
use std::sync::Arc;

use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::room::RoomHead;
use klatch_domain::{RoomId, Seq, Timestamp, UserId};
use klatch_ports::activity::ActivityReader;
use klatch_ports::messages::{Applied, MessageCommit, MessageWriter, StayChange, StoredHead};
use klatch_ports::metadata::{MetadataCommit, MetadataWriter};
use klatch_ports::{Epoch, Offset, Position};
use klatch_realtime::{RealtimeConfig, ResumeLimits};
use klatch_sync::{Limits, Sync};
use klatch_testkit::{Counted, Tally};
use serde_json::json;

use crate::client::{Client, PATIENCE, Seen};
use crate::world::{EPOCH, P0, Server, World};

/// Puts users into quiet rooms, straight in the stores.
async fn put_into(world: &World, users: [(UserId, u128); 2]) {
    // As of an earlier life of the log, so that what this one says counts whatever its offset.
    let applied = Applied { epoch: Epoch(EPOCH.0 - 1), offset: Offset(1) };
    let mut rows = MetadataCommit { partition: P0, applied, ..MetadataCommit::default() };
    let mut sets = MessageCommit { partition: P0, applied, ..MessageCommit::default() };
    let mut rooms = (1_000_000..).map(RoomId::from_bits);
    for (user, count) in users {
        for room in rooms.by_ref().take(usize::try_from(count).unwrap()) {
            let stay = Membership {
                user,
                role: MemberRole::Member,
                joined_at: Timestamp(1),
                joined_seq: Seq(1),
                left_seq: None,
                read_floor: 0,
            };
            rows.members.push((room, stay));
            let head = RoomHead { seq: Seq(1), ..RoomHead::default() };
            sets.heads.push((room, StoredHead { head, offset: Offset(1) }));
            sets.stays.push(StayChange { room, user, offset: Offset(1), inside: true });
        }
    }
    world.metadata.commit(rows).await.unwrap();
    world.messages.commit(sets).await.unwrap();
    for (user, count) in users {
        let found = world.messages.latest(user, None, usize::MAX).await.unwrap();
        assert_eq!(found.len() as u128, count);
    }
}

type Reads = BTreeMap<&'static str, (u64, u64)>;

/// Connects, speaks, hears, comes back twice, and says what was read for each.
async fn live(server: &Server, tally: &Tally, user: UserId, ben: UserId) -> Vec<Reads> {
    let world = &server.world;
    let rooms: Vec<_> = (0..3).map(|_| world.room(&[user, ben])).collect();
    let from = world.say(rooms[0], ben, "seen").position;
    settle(server, from).await;
    let mut reads = Vec::new();
    tally.take();
    let mut client = Client::connect(server, user).await;
    client.ping().await;
    reads.push(tally.take());
    client.message(rooms[1], "mine", "1").await;
    while Seen::of(&client.frame().await).is_none() {}
    reads.push(tally.take());
    world.say(rooms[2], ben, "for them");
    client.events(1).await;
    reads.push(tally.take());
    drop(client);
    for (missed, tier) in [(3, "replay"), (30, "delta")] {
        let from = Position { offset: world.end().await, ..from };
        let mut last = from;
        for n in 0..missed {
            last = world.say(rooms[n % 3], ben, "missed").position;
        }
        settle(server, last).await;
        tally.take();
        let mut client = Client::connect(server, user).await;
        let payload = json!({"positions": [from.to_string()]});
        client.send(&json!({"type": "resume", "payload": payload})).await;
        let answer = loop {
            let frame = client.frame().await;
            if frame["type"] == "resumed" {
                break frame;
            }
        };
        assert_eq!(answer["payload"]["tier"], tier);
        reads.push(tally.take());
    }
    reads
}

/// Everything up to there is delivered and stored.
async fn settle(server: &Server, to: Position) {
    use klatch_ports::messages::MessageReader;
    use klatch_ports::metadata::MetadataProgress;
    let world = &server.world;
    assert!(world.messages.wait_applied(P0, to.offset, PATIENCE).await.unwrap());
    assert!(world.metadata.wait_applied(P0, to.offset, PATIENCE).await.unwrap());
    let watcher = world.user("watcher").await;
    while Client::connect(server, watcher).await.live_from().offset < to.offset {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn someone_in_100_000_rooms_costs_no_more_reads_than_someone_in_100() {
    let world = World::new(1);
    let (few, many) = (world.user("few").await, world.user("many").await);
    put_into(&world, [(few, 100), (many, 100_000)]).await;
    let tally = Tally::default();
    let metadata = Arc::new(Counted::new(Arc::clone(&world.metadata), &tally));
    let activity = Arc::new(Counted::new(Arc::clone(&world.messages), &tally));
    let mut deps = world.deps();
    deps.sync = Sync { metadata: metadata.clone(), activity, ..deps.sync };
    deps.metadata = metadata;
    let told = Limits { events: 20, ..Limits::default() };
    let resume = ResumeLimits { told, ..ResumeLimits::default() };
    let config = RealtimeConfig { resume, ..RealtimeConfig::default() };
    let server = Server::start_on(&world, deps, config).await;
    crate::fan_out::FanOut::start(&server, 1);
    let ben = world.user("ben").await;
    let with_few = live(&server, &tally, few, ben).await;
    let with_many = live(&server, &tally, many, ben).await;
    assert_eq!(with_few, with_many);
    let rows = |reads: &Reads| reads.values().map(|(_, rows)| rows).sum::<u64>();
    assert!(with_many.iter().all(|reads| rows(reads) < 20), "{with_many:?}");
}
