//! Coming back: what was missed comes first, then what is live, or a clear answer why not.

use std::sync::atomic::Ordering;

use klatch_domain::{RoomId, UserId};
use klatch_ports::{Epoch, Offset, Partition, Position, StreamId};
use klatch_realtime::{RealtimeConfig, ResumeLimits};
use klatch_sync::Limits;
use serde_json::json;

use crate::client::{Client, Seen};
use crate::world::Server;

/// Sends `resume` and gives what came before the answer, and the answer.
async fn resume(client: &mut Client, from: &[Position]) -> (Vec<(RoomId, u64)>, serde_json::Value) {
    let positions: Vec<_> = from.iter().map(Position::to_string).collect();
    let payload = json!({"positions": positions});
    client.send(&json!({"type": "resume", "requestId": "r", "payload": payload})).await;
    let mut missed = Vec::new();
    loop {
        let frame = client.frame().await;
        match Seen::of(&frame) {
            Some(seen) => missed.push((seen.room, seen.seq)),
            None => return (missed, frame),
        }
    }
}

async fn world_of_three() -> (Server, UserId, UserId, RoomId) {
    let server = Server::quick(RealtimeConfig::default()).await;
    let (ann, ben) = (server.world.user("ann").await, server.world.user("ben").await);
    let room = server.world.room(&[ann, ben]);
    (server, ann, ben, room)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_comes_before_what_is_live() {
    let (server, ann, ben, room) = world_of_three().await;
    let world = &server.world;
    let from = world.say(room, ben, "seen").position;
    for n in 0..5 {
        world.say(room, ben, &format!("missed {n}"));
    }
    let mut client = Client::connect(&server, ann).await;
    world.say(room, ben, "live");
    // Held back until the client has said what it wants.
    client.expect_silence().await;
    let (missed, answer) = resume(&mut client, &[from]).await;
    assert_eq!(missed, (3..=7).map(|seq| (room, seq)).collect::<Vec<_>>());
    assert_eq!((&answer["type"], &answer["requestId"]), (&json!("resumed"), &json!("r")));
    assert_eq!(answer["payload"]["tier"], "replay");
    assert_eq!(answer["payload"]["replayed"], 5);
    assert_eq!(answer["payload"]["positions"], client.hello["payload"]["positions"]);
    client.expect_events(&[(room, 8)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_in_the_address_resumes_without_asking() {
    let (server, ann, ben, room) = world_of_three().await;
    let from = server.world.say(room, ben, "seen").position;
    server.world.say(room, ben, "missed");
    let mut client = Client::resume(&server, ann, from).await;
    assert_eq!(client.frame_of("message").await["payload"]["seq"], 3);
    let answer = client.frame_of("resumed").await;
    assert_eq!(answer["payload"]["tier"], "replay");
    assert_eq!(answer.get("requestId"), None);
    server.world.say(room, ben, "live");
    client.expect_events(&[(room, 4)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_happened_while_a_member_is_replayed_also_after_coming_back() {
    let (server, ann, ben, room) = world_of_three().await;
    let world = &server.world;
    let others = world.room(&[ben]);
    let from = world.say(room, ben, "seen").position;
    world.say(room, ben, "3: missed");
    world.leave(room, ann); // 4
    world.say(room, ben, "5: not hers");
    world.join(room, ann); // 6
    world.say(others, ben, "not hers");
    world.say(room, ben, "7: missed");
    let born = world.room(&[ann]);
    world.leave(room, ann); // 8
    world.say(room, ben, "9: not hers");
    let mut client = Client::connect(&server, ann).await;
    let (missed, answer) = resume(&mut client, &[from]).await;
    assert_eq!(answer["payload"]["tier"], "replay");
    assert_eq!(missed, [(room, 3), (room, 4), (room, 6), (room, 7), (born, 1), (room, 8)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_that_mean_nothing_are_named_invalid_with_a_reason() {
    let (server, ann, ben, room) = world_of_three().await;
    let good = server.world.say(room, ben, "seen").position;
    let cases = [
        (Position { epoch: Epoch(8), ..good }, "epoch_changed"),
        (Position { partition: Partition(3), ..good }, "unknown_partition"),
        (Position { stream: StreamId::Webhooks, ..good }, "unknown_partition"),
        (Position { offset: Offset(1_000_000), ..good }, "ahead_of_log"),
    ];
    for (position, reason) in cases {
        let mut client = Client::connect(&server, ann).await;
        let (missed, answer) = resume(&mut client, &[position]).await;
        assert_eq!((missed.len(), &answer["type"]), (0, &json!("invalid")));
        assert_eq!(answer["payload"]["reason"], reason);
        // Live events come all the same.
        let seq = server.world.say(room, ben, "live").seq.0;
        client.expect_events(&[(room, seq)]).await;
    }
}

fn config(told: Limits) -> RealtimeConfig {
    let resume = ResumeLimits { told, ..ResumeLimits::default() };
    RealtimeConfig { resume, ..RealtimeConfig::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_the_limit_is_a_replay_beyond_it_a_delta_and_nothing_to_go_by_a_snapshot() {
    let server = Server::quick(config(Limits { events: 10, ..Limits::default() })).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let (room, quiet) = (world.room(&[ann, ben]), world.room(&[ben]));
    let far = world.say(room, ben, "far").position;
    for _ in 0..1_000 {
        world.say(quiet, ben, "not hers");
    }
    let eleven = world.say(room, ben, "eleven").position;
    let ten = world.say(room, ben, "ten").position;
    for _ in 0..10 {
        world.say(room, ben, "missed");
    }
    for (from, tier, replayed) in [(ten, "replay", 10), (eleven, "delta", 0), (far, "delta", 0)] {
        let mut client = Client::connect(&server, ann).await;
        let (missed, answer) = resume(&mut client, &[from]).await;
        assert_eq!((answer["payload"]["tier"].as_str(), missed.len()), (Some(tier), replayed));
    }
    let mut client = Client::connect(&server, ann).await;
    assert_eq!(resume(&mut client, &[]).await.1["payload"]["tier"], "snapshot");
    let mut late = Client::connect(&server, ann).await;
    late.ping().await;
    assert_eq!(resume(&mut late, &[ten]).await.1["payload"]["tier"], "snapshot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_ahead_of_this_instance_is_waited_for_and_nothing_comes_twice() {
    let (server, ann, ben, room) = world_of_three().await;
    let world = &server.world;
    let fan_out_is_slow = crate::fan_out::FanOut::start(&server, 2);
    // The newer owner is heard alone; it says nothing until the position was named.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut client = Client::connect(&server, ann).await;
    fan_out_is_slow.silent.store(true, Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.say(room, ben, "2: seen at another instance");
    let seen = [world.say(room, ben, "3: seen too").position];
    world.say(room, ben, "4: not seen");
    let wake = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        fan_out_is_slow.silent.store(false, Ordering::Relaxed);
    };
    let ((missed, answer), ()) = tokio::join!(resume(&mut client, &seen), wake);
    assert_eq!((answer["payload"]["tier"].as_str(), missed.len()), (Some("replay"), 0));
    client.expect_events(&[(room, 4)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_replay_arrives_whole_through_a_narrow_outbox() {
    let config = RealtimeConfig {
        outbox_bytes_max: 200 * 1024,
        send_buffer_bytes: Some(16 * 1024),
        ..RealtimeConfig::default()
    };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    let from = world.say(room, ben, "seen").position;
    let text = "x".repeat(5_000);
    for _ in 0..1_000 {
        world.say(room, ben, &text);
    }
    let mut client = Client::resume(&server, ann, from).await;
    let missed = client.events(1_000).await;
    assert!(missed.iter().map(|seen| seen.seq).eq(3..=1_002));
    assert_eq!(client.frame_of("resumed").await["payload"]["replayed"], 1_000);
}
