//! What a client chooses to get, and what it tells of what it got.

use klatch_domain::{RoomId, UserId};
use klatch_realtime::RealtimeConfig;
use serde_json::{Value, json};

use crate::client::Client;
use crate::world::Server;

fn only(rooms: &[RoomId]) -> Value {
    json!({"rooms": rooms.iter().map(ToString::to_string).collect::<Vec<_>>()})
}

async fn start() -> (Server, UserId, UserId) {
    let server = Server::quick(RealtimeConfig::default()).await;
    let (ann, ben) = (server.world.user("ann").await, server.world.user("ben").await);
    (server, ann, ben)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_left_out_tell_their_head_once_a_second_and_others_come_whole() {
    let (server, ann, ben) = start().await;
    let world = &server.world;
    let (open, left_out) = (world.room(&[ann, ben]), world.room(&[ann, ben]));
    let mut client = Client::connect(&server, ann).await;
    let mut other = Client::connect(&server, ann).await;
    other.ping().await;
    client.subscribe(&only(&[open])).await;
    world.say(left_out, ben, "one");
    client.expect_notice(left_out, 2).await;
    for _ in 0..20 {
        world.say(left_out, ben, "more");
    }
    let heads = client.heads_up_to(left_out, 22).await;
    assert!(heads.len() <= 5, "{heads:?}");
    world.say(open, ben, "whole");
    client.expect_events(&[(open, 2)]).await;
    // The other connection of the same user chose nothing.
    assert_eq!(other.events(22).await.last().map(|seen| seen.room), Some(open));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_choice_replaces_the_last_and_tells_first_what_was_left_out() {
    let (server, ann, ben) = start().await;
    let world = &server.world;
    let (one, two) = (world.room(&[ann, ben]), world.room(&[ann, ben]));
    let mut bens = Client::connect(&server, ben).await;
    bens.ping().await;
    let mut client = Client::connect(&server, ann).await;
    client.subscribe(&only(&[])).await;
    world.say(one, ben, "2");
    client.expect_notice(one, 2).await;
    world.say(one, ben, "3");
    assert_eq!(bens.events(2).await.len(), 2);
    client.send(&json!({"type": "subscribe", "payload": only(&[one])})).await;
    let first = client.frame().await;
    if first["type"] == "ack" {
        // The choice came before the event did, which was on its way.
        client.expect_events(&[(one, 3)]).await;
    } else {
        assert_eq!(first["payload"]["headSeq"], 3, "{first}");
        client.frame_of("ack").await;
    }
    world.say(one, ben, "4");
    client.expect_events(&[(one, 4)]).await;
    client.subscribe(&json!({})).await;
    world.say(two, ben, "3");
    client.expect_events(&[(two, 2)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_into_a_room_and_being_removed_are_told_whole_whatever_was_chosen() {
    let (server, ann, ben) = start().await;
    let world = &server.world;
    let room = world.room(&[ben]);
    let mut client = Client::connect(&server, ann).await;
    client.subscribe(&only(&[])).await;
    world.join(room, ann);
    assert_eq!(client.frame_of("member").await["payload"]["seq"], 2);
    world.say(room, ben, "3");
    client.expect_notice(room, 3).await;
    world.leave(room, ann);
    assert_eq!(client.frame_of("member").await["payload"]["seq"], 4);
    world.say(room, ben, "not hers");
    client.expect_silence().await;
    let born = world.room(&[ann, ben]);
    client.expect_events(&[(born, 1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_of_too_many_is_refused_and_the_last_one_stays() {
    let (server, ann, ben) = start().await;
    let world = &server.world;
    let room = world.room(&[ann, ben]);
    let mut client = Client::connect(&server, ann).await;
    client.subscribe(&only(&[])).await;
    let many: Vec<String> =
        (0..1_001).map(|_| RoomId::fresh(&world.clock, &*world.entropy).to_string()).collect();
    for field in ["rooms", "presence"] {
        let payload = json!({field: many});
        client.send(&json!({"type": "subscribe", "requestId": "m", "payload": payload})).await;
        let error = client.frame_of("error").await;
        assert_eq!(error["payload"]["code"], "too_many_subscriptions");
        assert_eq!(error["requestId"], "m");
    }
    world.say(room, ben, "hi");
    client.expect_notice(room, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_received_may_be_told_and_is_checked() {
    let (server, ann, ben) = start().await;
    let room = server.world.room(&[ann, ben]);
    let mut client = Client::connect(&server, ann).await;
    let ack = |seq: i64| json!({"roomId": room.to_string(), "seq": seq});
    client.send(&json!({"type": "ack", "payload": ack(1)})).await;
    client.send(&json!({"type": "ack", "requestId": "0", "payload": ack(0)})).await;
    let error = client.frame_of("error").await;
    assert_eq!(
        (&error["requestId"], &error["payload"]["code"]),
        (&json!("0"), &json!("invalid_field"))
    );
    client.ping().await;
}
