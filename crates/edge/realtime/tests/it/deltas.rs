//! Coming back after much has happened: which rooms changed, with their newest events.

use klatch_domain::{RoomId, UserId};
use klatch_ports::{Offset, Position};
use klatch_realtime::{RealtimeConfig, ResumeLimits};
use klatch_sync::Limits;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::client::{Client, Seen};
use crate::world::{Server, World};

/// What a resume was answered with.
struct Told {
    tier: String,
    /// Replayed events.
    events: Vec<(RoomId, u64)>,
    /// Rooms of all parts of a delta or of a snapshot.
    rooms: Vec<Value>,
    parts: usize,
    positions: Value,
}

impl Told {
    fn room(&self, room: RoomId) -> &Value {
        let is_it = |told: &&Value| told["roomId"] == room.to_string();
        self.rooms.iter().find(is_it).unwrap_or_else(|| panic!("{room} is told"))
    }

    fn seqs(&self, room: RoomId) -> Vec<u64> {
        let events = self.room(room)["events"].as_array().unwrap();
        events.iter().map(|event| Seen::of(event).unwrap().seq).collect()
    }
}

async fn resume(client: &mut Client, from: Position) -> Told {
    let payload = json!({"positions": [from.to_string()]});
    client.send(&json!({"type": "resume", "requestId": "r", "payload": payload})).await;
    let (mut events, mut rooms, mut parts) = (Vec::new(), Vec::new(), 0);
    loop {
        let frame = client.frame().await;
        if let Some(seen) = Seen::of(&frame) {
            events.push((seen.room, seen.seq));
            continue;
        }
        assert_eq!((&frame["type"], &frame["requestId"]), (&json!("resumed"), &json!("r")));
        let payload = &frame["payload"];
        rooms.extend(payload["rooms"].as_array().cloned().unwrap_or_default());
        parts += 1;
        if payload["more"] != true {
            let (tier, positions) = (payload["tier"].clone(), payload["positions"].clone());
            let tier = tier.as_str().unwrap().to_owned();
            return Told { tier, events, rooms, parts, positions };
        }
        assert!(payload.get("positions").is_none(), "live events do not begin yet");
    }
}

/// Connects once everything so far has been delivered, so that it is not live.
async fn connect(server: &Server, user: UserId) -> Client {
    let end = server.world.end().await;
    loop {
        let client = Client::connect(server, user).await;
        if client.live_from().offset >= end {
            return client;
        }
    }
}

async fn server(told: Limits, part_bytes: usize) -> Server {
    let resume = ResumeLimits { told, part_bytes, ..ResumeLimits::default() };
    Server::quick(RealtimeConfig { resume, ..RealtimeConfig::default() }).await
}

fn few() -> Limits {
    Limits { events: 20, room_events: 5, window: 3, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_tells_each_changed_room_with_its_newest_events_and_live_ones_follow() {
    let server = server(few(), 64 * 1024).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let [loud, calm, quiet, left, others] =
        [0; 5].map(|n| if n == 0 { world.room(&[ann, ben]) } else { world.room(&[ben]) });
    world.leave(others, ben);
    let from = world.say(quiet, ben, "seen").position;
    (0..30).for_each(|n| _ = world.say(loud, ben, &n.to_string()));
    let second = world.say(calm, ben, "2").seq.0;
    world.say(left, ben, "2");
    let gone = world.leave(left, ann);
    (0..9).for_each(|n| _ = world.say(left, ben, &n.to_string()));
    let third = world.say(calm, ben, "3").seq.0;
    let mut client = connect(&server, ann).await;
    let told = resume(&mut client, from).await;
    assert_eq!((told.tier.as_str(), told.events.len(), told.parts), ("delta", 0, 1));
    assert_eq!(told.positions, client.hello["payload"]["positions"]);
    let rooms: Vec<_> = told.rooms.iter().map(|room| room["roomId"].clone()).collect();
    let newest_first = [calm, left, loud].map(|room| json!(room.to_string()));
    assert_eq!(rooms, newest_first);
    assert_eq!(told.seqs(calm), [second, third]);
    let calm = told.room(calm);
    assert_eq!((&calm["truncated"], &calm["headSeq"]), (&json!(false), &json!(third)));
    assert_eq!((&calm["lastOrdinal"], calm.get("left")), (&json!(third), None));
    assert_eq!(calm["events"][0]["payload"]["content"], "2");
    assert_eq!(told.seqs(loud), (27..=31).collect::<Vec<_>>());
    assert_eq!(told.room(loud)["truncated"], true);
    // Of what was said after one went, nothing, not even how much.
    let room = told.room(left);
    assert_eq!((&room["left"], &room["truncated"]), (&json!(true), &json!(false)));
    assert_eq!((told.seqs(left), room.get("lastOrdinal")), (vec![2, 3], None));
    assert_eq!(
        (&room["headSeq"], &room["events"][1]["payload"]["change"]),
        (&json!(3), &json!("left"))
    );
    assert_eq!(room["events"][1]["payload"]["position"], gone.to_string());
    let seq = world.say(loud, ben, "live").seq.0;
    client.expect_events(&[(loud, seq)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_delta_comes_in_parts_before_what_is_live() {
    let server = server(few(), 1_000).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let rooms: Vec<_> = (0..40).map(|_| world.room(&[ann, ben])).collect();
    let from = world.say(rooms[0], ben, "seen").position;
    for room in &rooms {
        world.say(*room, ben, "missed");
    }
    let mut client = connect(&server, ann).await;
    let live = world.say(rooms[7], ben, "live").seq.0;
    let told = resume(&mut client, from).await;
    assert_eq!((told.tier.as_str(), told.rooms.len()), ("delta", 40));
    assert!(told.parts > 5, "{}", told.parts);
    assert!(rooms.iter().all(|room| told.seqs(*room).len() == 1));
    client.expect_events(&[(rooms[7], live)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_said_meanwhile_does_not_take_the_replay_from_a_user_of_quiet_rooms() {
    let server = server(Limits { records: 2_000, ..Limits::default() }, 64 * 1024).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let (room, loud) = (world.room(&[ann, ben]), world.room(&[ben]));
    let from = world.say(room, ben, "seen").position;
    for _ in 0..3 {
        (0..2_000).for_each(|_| _ = world.say(loud, ben, "not hers"));
        world.say(room, ben, "missed");
    }
    let mut client = connect(&server, ann).await;
    let told = resume(&mut client, from).await;
    assert_eq!(told.tier, "replay");
    assert_eq!(told.events, [(room, 3), (room, 4), (room, 5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_a_window_of_the_rooms_that_were_active_last() {
    let server = server(few(), 64 * 1024).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let rooms: Vec<_> = (0..5).map(|_| world.room(&[ann, ben])).collect();
    for index in [3, 0, 4] {
        world.clock.advance(std::time::Duration::from_secs(1));
        world.say(rooms[index], ben, "hello");
    }
    let mut client = connect(&server, ann).await;
    client.send(&json!({"type": "resume", "payload": {"positions": []}})).await;
    let answer = client.frame_of("resumed").await;
    let told = answer["payload"]["rooms"].as_array().unwrap();
    let ids: Vec<_> = told.iter().map(|room| room["roomId"].clone()).collect();
    assert_eq!(ids, [4, 0, 3].map(|n| json!(rooms[n].to_string())));
    assert_eq!((&told[0]["headSeq"], &told[0]["lastOrdinal"]), (&json!(2), &json!(2)));
}

/// Users come, go and speak at random.
fn live_on(world: &World, random: &mut StdRng, users: &[UserId], rooms: &[RoomId], steps: usize) {
    for _ in 0..steps {
        let room = rooms[random.random_range(0..rooms.len())];
        let user = users[random.random_range(0..users.len())];
        let member = world.model.lock().is_member(room, user);
        match (random.random_range(0..12), member) {
            (0, true) => _ = world.leave(room, user),
            (0, false) => _ = world.join(room, user),
            (_, true) => _ = world.say(room, user, "x"),
            (_, false) => {}
        }
    }
}

fn judge(world: &World, user: UserId, from: Offset, told: &Told) {
    let due = world.model.lock().due(user, from);
    if told.tier == "replay" {
        assert_eq!(told.events, due);
        return;
    }
    assert_eq!(told.tier, "delta");
    let mut rooms: Vec<RoomId> = due.iter().map(|(room, _)| *room).collect();
    rooms.sort_unstable();
    rooms.dedup();
    let mut got: Vec<RoomId> =
        told.rooms.iter().map(|room| room["roomId"].as_str().unwrap().parse().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, rooms, "each room with something to see, once");
    for room in rooms {
        let due: Vec<u64> = due.iter().filter(|(of, _)| *of == room).map(|(_, seq)| *seq).collect();
        let (seqs, answer) = (told.seqs(room), told.room(room));
        assert!(due.ends_with(&seqs) && seqs.len() <= 5, "{room}: {seqs:?} of {due:?}");
        assert!(answer["truncated"] == true || seqs == due, "{room}: {seqs:?} of {due:?}");
        let member = world.model.lock().is_member(room, user);
        assert_eq!(answer["left"] == true, !member, "{room}");
        assert_eq!(answer["headSeq"].as_u64(), due.last().copied(), "{room}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_and_delta_tell_what_the_model_says_was_missed() {
    for seed in 1..=6 {
        let server = server(few(), 2_000).await;
        let (world, mut random) = (&server.world, StdRng::seed_from_u64(seed));
        let users = [world.user("ann").await, world.user("ben").await, world.user("cal").await];
        let rooms: Vec<_> = (0..12).map(|_| world.room(&users)).collect();
        let mut tiers = std::collections::BTreeSet::new();
        for _ in 0..12 {
            live_on(world, &mut random, &users, &rooms, 90);
            let (user, end) = (users[random.random_range(0..3)], world.end().await.0);
            let most = if random.random_bool(0.4) { 25 } else { 400 };
            let behind = random.random_range(0..end.min(most));
            let from = Offset(end - behind);
            let mut client = connect(&server, user).await;
            let position = Position { offset: from, ..client.live_from() };
            let told = resume(&mut client, position).await;
            judge(world, user, from, &told);
            tiers.insert(told.tier);
        }
        assert_eq!(tiers.len(), 2, "{tiers:?}");
    }
}
