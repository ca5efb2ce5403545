//! Who is slow or loud does not hurt others, and is told what it did not get.

use std::time::Duration;

use klatch_ports::Position;
use klatch_realtime::RealtimeConfig;
use serde_json::json;

use crate::client::{Client, Seen};
use crate::world::Server;

fn narrow(outbox_bytes_max: usize) -> RealtimeConfig {
    RealtimeConfig {
        outbox_bytes_max,
        send_buffer_bytes: Some(4 * 1024),
        room_bytes_per_second: usize::MAX,
        frames_per_second: u16::MAX,
        frames_burst: u16::MAX,
        ..RealtimeConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_gets_a_notice_with_bounded_memory_and_others_go_on() {
    const CAP: usize = 128 * 1024;
    let server = Server::quick(narrow(CAP)).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let (loud, calm) = (world.room(&[ann, ben]), world.room(&[ann, ben]));
    let mut slow = Client::connect_narrow(&server, ann).await;
    slow.ping().await;
    let mut quick = Client::connect(&server, ben).await;
    quick.ping().await;
    let text = "x".repeat(3_000);
    for n in 0..1_000 {
        world.say(loud, ben, &text);
        assert_eq!(quick.frame_of("message").await["payload"]["seq"], n + 2);
        if n == 500 {
            world.say(calm, ben, "hi");
            assert_eq!(quick.frame_of("message").await["payload"]["content"], "hi");
        }
    }
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let stats = server.realtime.stats().snapshot();
    assert!(stats.queued_bytes <= CAP as u64 / 2, "{} bytes wait", stats.queued_bytes);
    assert_eq!((stats.closed_slow, stats.connections), (0, 2));
    assert!(stats.collapsed > 0);
    // Bodies up to a point, one notice of the rest, and the quiet room whole.
    let (mut last, mut calm_seq) = (1, 0);
    while last < 1_001 {
        let frame = slow.frame().await;
        if let Some(head) = frame["payload"]["headSeq"].as_u64() {
            assert!(head > last);
            last = head;
            continue;
        }
        let seen = Seen::of(&frame).unwrap();
        if seen.room == calm {
            calm_seq = seen.seq;
        } else {
            assert_eq!(seen.seq, last + 1);
            last = seen.seq;
        }
    }
    if calm_seq == 0 {
        slow.expect_events(&[(calm, 2)]).await;
    }
    // Having caught up it gets everything again.
    world.say(loud, ben, "again");
    slow.expect_events(&[(loud, 1_002)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernel_keeps_little_of_what_is_not_read() {
    let config = RealtimeConfig {
        send_buffer_bytes: RealtimeConfig::default().send_buffer_bytes,
        ..narrow(256 * 1024)
    };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    let mut slow = Client::connect_narrow(&server, ann).await;
    slow.ping().await;
    let mut quick = Client::connect(&server, ben).await;
    quick.ping().await;
    let text = "x".repeat(3_000);
    for _ in 0..350 {
        world.say(room, ben, &text);
        quick.frame_of("message").await;
    }
    // A megabyte was not read, so some of it waits here and gives way. Left to itself the kernel
    // takes all of it and more.
    let gives_way = async {
        while server.realtime.stats().snapshot().collapsed == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), gives_way).await;
    assert!(waited.is_ok(), "the kernel took a megabyte for one who reads nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_does_not_read_is_closed_and_loses_nothing_by_resuming() {
    let server = Server::quick(narrow(16 * 1024)).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    let mut slow = Client::connect_narrow(&server, ann).await;
    slow.ping().await;
    for n in 0..40 {
        world.say(room, ben, &format!("text {n}"));
    }
    let ping = json!({"type": "ping", "requestId": "x".repeat(64)});
    while server.realtime.stats().snapshot().closed_slow == 0 {
        if slow.try_send(&ping).await.is_err() {
            break;
        }
    }
    let (mut last, mut position) = (1, slow.live_from());
    let code = loop {
        match slow.next().await {
            Ok(frame) if frame["type"] == "message" => {
                let seen = Seen::of(&frame).unwrap();
                assert_eq!(seen.seq, last + 1);
                last = seen.seq;
                position = Position { offset: seen.offset, ..position };
            }
            Ok(_) => {}
            Err(code) => break code,
        }
    };
    assert_eq!(code, Some(4002));
    let mut again = Client::resume(&server, ann, position).await;
    let due: Vec<_> = (last + 1..=41).map(|seq| (room, seq)).collect();
    let seen = again.events(due.len()).await;
    assert_eq!(seen.iter().map(|seen| (seen.room, seen.seq)).collect::<Vec<_>>(), due);
    assert_eq!(again.frame_of("resumed").await["payload"]["tier"], "replay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loud_room_tells_by_notices_until_it_is_quieter_and_others_are_whole() {
    let config = RealtimeConfig { room_bytes_per_second: 20_000, ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let (loud, calm) = (world.room(&[ann, ben]), world.room(&[ann]));
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    let text = "x".repeat(1_000);
    for _ in 0..200 {
        world.say(loud, ben, &text);
    }
    world.say(calm, ann, "hi");
    let (mut bodies, mut notices, mut last, mut is_calm_whole) = (0, 0, 1, false);
    while last < 201 || !is_calm_whole {
        let frame = client.frame().await;
        let payload = &frame["payload"];
        if payload["roomId"] == calm.to_string() {
            is_calm_whole = payload["content"] == "hi";
        } else if let Some(head) = payload["headSeq"].as_u64() {
            assert!(head > last);
            (last, notices) = (head, notices + 1);
        } else {
            assert_eq!(payload["seq"], last + 1, "no hole without a notice");
            (last, bodies) = (last + 1, bodies + 1);
        }
    }
    assert!((5..=45).contains(&bodies) && notices > 0, "{bodies} bodies, {notices} notices");
    assert!(server.realtime.stats().snapshot().loud > 100);
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    world.say(loud, ben, "calm again");
    assert_eq!(client.frame_of("message").await["payload"]["seq"], 202);
    // Who is brought in gets that whole, however loud it is.
    for _ in 0..40 {
        world.say(loud, ben, &text);
    }
    let cat = world.user("cat").await;
    let mut cats = Client::connect(&server, cat).await;
    cats.ping().await;
    world.join(loud, cat);
    assert_eq!(cats.frame_of("member").await["payload"]["userId"], cat.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_frames_are_refused_and_going_on_with_it_closes() {
    let config =
        RealtimeConfig { frames_per_second: 5, frames_burst: 20, ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let ann = server.world.user("ann").await;
    let mut client = Client::connect(&server, ann).await;
    for n in 0..60 {
        client.send(&json!({"type": "ping", "requestId": n.to_string()})).await;
    }
    let (mut pongs, mut refused) = (0, 0);
    let code = loop {
        match client.next().await {
            Ok(frame) if frame["type"] == "pong" => pongs += 1,
            Ok(frame) => {
                assert_eq!(frame["payload"]["code"], "rate_limited");
                assert_eq!(frame["payload"]["retryAfterMs"], 1_000);
                assert_eq!(frame["requestId"], (pongs + refused).to_string());
                refused += 1;
            }
            Err(code) => break code,
        }
    };
    assert_eq!((code, refused), (Some(4008), 10));
    assert!((20..=30).contains(&pongs), "{pongs}");
    // One that waits as it is told may go on.
    let mut patient = Client::connect(&server, ann).await;
    for _ in 0..20 {
        patient.ping().await;
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for _ in 0..5 {
        patient.ping().await;
    }
}
