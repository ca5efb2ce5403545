//! Live events: to members, once, in order; and the answers to commands.

use klatch_realtime::RealtimeConfig;
use serde_json::json;

use crate::client::Client;
use crate::world::{Server, known};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hello_says_who_and_where() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    known(&server.world, ann).await;
    let client = Client::connect(&server, ann).await;
    let payload = &client.hello["payload"];
    let user = json!({"userId": ann.to_string(), "username": "ann", "displayName": "ANN"});
    assert_eq!(payload["user"], user);
    let heartbeat = payload["heartbeatMs"].as_u64().unwrap();
    assert!((24_000..=36_000).contains(&heartbeat), "{heartbeat}");
    assert_eq!(payload["positions"], json!(["m0-00000007.1"]));
    assert_eq!(payload["limits"]["maxFrameBytes"], 65_536);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_answered_and_reaches_every_connection_of_the_room() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben, eve) =
        (world.user("ann").await, world.user("ben").await, world.user("eve").await);
    let room = world.room(&[ann, ben]);
    let mut ann_one = Client::connect(&server, ann).await;
    let mut ann_two = Client::connect(&server, ann).await;
    let mut others = Client::connect(&server, eve).await;
    let mut bens = Client::connect(&server, ben).await;
    for client in [&mut ann_one, &mut ann_two, &mut others, &mut bens] {
        client.ping().await;
    }
    ann_one.message(room, "hi", "r1").await;
    let (mut ack, mut event) = (None, None);
    while ack.is_none() || event.is_none() {
        let frame = ann_one.frame().await;
        if frame["type"] == "ack" { ack = Some(frame) } else { event = Some(frame) }
    }
    let (ack, event) = (ack.unwrap(), event.unwrap());
    assert_eq!(ack["requestId"], "r1");
    assert_eq!(ack["payload"]["seq"], 2);
    assert_eq!(event["payload"]["content"], "hi");
    assert_eq!(event["payload"]["messageId"], ack["payload"]["messageId"]);
    assert_eq!(event["payload"]["position"], ack["payload"]["position"]);
    assert_eq!(ann_two.frame().await, event);
    assert_eq!(bens.frame().await, event);
    for client in [&mut ann_one, &mut ann_two, &mut others, &mut bens] {
        client.expect_silence().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_frames_that_are_not_understood_are_answered_by_request() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let hers = world.room(&[ann]);
    let mut client = Client::connect(&server, ben).await;
    client.message(hers, "hi", "r1").await;
    let error = client.frame_of("error").await;
    assert_eq!(error["requestId"], "r1");
    assert_eq!(error["payload"]["code"], "room_not_found");
    client.send(&json!({"type": "dance", "requestId": "r2"})).await;
    let error = client.frame_of("error").await;
    assert_eq!(
        (&error["requestId"], &error["payload"]["code"]),
        (&json!("r2"), &json!("unknown_type"))
    );
    for _ in 0..9 {
        client.send(&json!({"type": "dance"})).await;
    }
    assert_eq!(client.close_code().await, Some(4003));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_and_deletes_are_answered_in_the_order_they_were_sent() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let ann = world.user("ann").await;
    let room = world.room(&[ann]);
    let sent = world.say(room, ann, "one");
    let mut client = Client::connect(&server, ann).await;
    let place = json!({"roomId": room.to_string(), "messageId": sent.message.to_string()});
    let mut edit = place.clone();
    edit["content"] = json!("two");
    client.send(&json!({"type": "edit", "requestId": "e", "payload": edit})).await;
    client.send(&json!({"type": "delete", "requestId": "d", "payload": place})).await;
    client.message(room, "three", "m").await;
    let mut acks = Vec::new();
    let mut events = Vec::new();
    while acks.len() < 3 || events.len() < 3 {
        let frame = client.frame().await;
        let of = if frame["type"] == "ack" { &mut acks } else { &mut events };
        of.push(frame);
    }
    let requests: Vec<_> = acks.iter().map(|ack| ack["requestId"].as_str().unwrap()).collect();
    assert_eq!(requests, ["e", "d", "m"]);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["edit", "delete", "message"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_and_going_is_told_to_whom_it_concerns_and_nothing_after() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann]);
    let mut client = Client::connect(&server, ben).await;
    client.ping().await;
    world.say(room, ann, "before");
    world.join(room, ben);
    world.say(room, ann, "during");
    world.leave(room, ben);
    world.say(room, ann, "after");
    world.join(room, ben);
    world.say(room, ann, "again");
    client.expect_events(&[(room, 3), (room, 4), (room, 5), (room, 7), (room, 8)]).await;
    let born = world.room(&[ben]);
    world.say(born, ben, "new");
    world.delete_room(born, ben);
    client.expect_events(&[(born, 1), (born, 2), (born, 3)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_events_wait_for_the_first_frame_or_a_moment() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let ann = world.user("ann").await;
    let room = world.room(&[ann]);
    let mut silent = Client::connect(&server, ann).await;
    let mut speaking = Client::connect(&server, ann).await;
    world.say(room, ann, "hi");
    silent.expect_silence().await;
    speaking.send(&json!({"type": "ping"})).await;
    assert_eq!(speaking.frame_of("message").await["payload"]["seq"], 2);
    speaking.frame_of("pong").await;
    // The sweep lets them go.
    silent.expect_events(&[(room, 2)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_beyond_the_window_is_answered_whole_and_in_order() {
    let config = RealtimeConfig { commands_in_flight_max: 4, ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let world = &server.world;
    let ann = world.user("ann").await;
    let room = world.room(&[ann]);
    world.slow_ms.store(3, std::sync::atomic::Ordering::Relaxed);
    let mut client = Client::connect(&server, ann).await;
    for n in 0..100 {
        client.message(room, &format!("text {n}"), &n.to_string()).await;
    }
    let (mut acks, mut contents) = (0, Vec::new());
    while acks < 100 || contents.len() < 100 {
        let frame = client.frame().await;
        match frame["type"].as_str().unwrap() {
            "ack" => acks += 1,
            _ => contents.push(frame["payload"]["content"].as_str().unwrap().to_owned()),
        }
    }
    let sent: Vec<_> = (0..100).map(|n| format!("text {n}")).collect();
    assert_eq!(contents, sent);
}
