//! Typing as members see it, over several instances.

use std::time::Duration;

use klatch_domain::{RoomId, UserId};
use klatch_realtime::RealtimeConfig;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fan_out::FanOut;
use crate::world::{Server, World, known};

impl Client {
    async fn wants_typing(server: &Server, user: UserId) -> Self {
        let mut client = Self::connect(server, user).await;
        client.chooses(&json!({"typing": true})).await;
        client
    }

    async fn types(&mut self, room: RoomId, is_typing: bool) -> Value {
        let payload = json!({"roomId": room.to_string(), "isTyping": is_typing});
        self.send(&json!({"type": "typing", "requestId": "t", "payload": payload})).await;
        let answer = self.frame().await;
        assert_eq!(answer["requestId"], "t", "{answer}");
        answer
    }

    async fn sees_typing(&mut self, room: RoomId, user: UserId, is_typing: bool) {
        let told = self.frame_of("typing").await;
        let wanted = json!({
            "roomId": room.to_string(), "userId": user.to_string(), "isTyping": is_typing,
        });
        assert_eq!(told, json!({"type": "typing", "payload": wanted}));
    }
}

/// The metadata store knows the room as it is now.
async fn settled(world: &World) {
    use klatch_ports::metadata::MetadataProgress as _;
    let end = world.end().await;
    let wait = Duration::from_secs(5);
    assert!(world.metadata.wait_applied(crate::world::P0, end, wait).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_who_asked_are_told_at_every_instance_and_nobody_else() {
    let here = Server::quick(RealtimeConfig::default()).await;
    let there = Server::start(&here.world, RealtimeConfig::default()).await;
    FanOut::start(&there, 1);
    let world = &here.world;
    let (ann, ben, eve) =
        (world.user("ann").await, world.user("ben").await, world.user("eve").await);
    let room = world.room(&[ann, ben]);
    known(world, eve).await;
    settled(world).await;
    let mut typist = Client::wants_typing(&here, ann).await;
    let mut own_phone = Client::wants_typing(&there, ann).await;
    let (mut bens_desk, mut bens_phone) =
        (Client::wants_typing(&here, ben).await, Client::wants_typing(&there, ben).await);
    let mut did_not_ask = Client::connect(&here, ben).await;
    let mut stranger = Client::wants_typing(&there, eve).await;
    did_not_ask.ping().await;
    assert_eq!(typist.types(room, true).await["type"], "ack");
    for member in [&mut bens_desk, &mut bens_phone] {
        member.sees_typing(room, ann, true).await;
    }
    // At most once in three seconds; a stop is told at once, and once.
    typist.types(room, true).await;
    typist.types(room, false).await;
    typist.types(room, false).await;
    for member in [&mut bens_desk, &mut bens_phone] {
        member.sees_typing(room, ann, false).await;
        member.expect_silence().await;
    }
    for other in [&mut typist, &mut own_phone, &mut did_not_ask, &mut stranger] {
        other.expect_silence().await;
    }
    let refused = stranger.types(room, true).await;
    assert_eq!(refused["payload"]["code"], "room_not_found");
    bens_desk.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_and_going_counts_from_the_moment_the_store_knows_it() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben, eve) =
        (world.user("ann").await, world.user("ben").await, world.user("eve").await);
    let room = world.room(&[ann, ben]);
    settled(world).await;
    let (mut anns, mut bens, mut eves) = (
        Client::connect(&server, ann).await,
        Client::wants_typing(&server, ben).await,
        Client::wants_typing(&server, eve).await,
    );
    anns.types(room, true).await;
    bens.sees_typing(room, ann, true).await;
    anns.types(room, false).await;
    bens.sees_typing(room, ann, false).await;
    world.join(room, eve);
    world.leave(room, ben);
    settled(world).await;
    bens.events(2).await;
    eves.events(2).await;
    // Another typist: ann's three seconds are not over.
    let mut typist = Client::connect(&server, eve).await;
    let refused = bens.types(room, true).await;
    assert_eq!(refused["payload"]["code"], "room_not_found");
    let mut ann_too = Client::wants_typing(&server, ann).await;
    typist.types(room, true).await;
    ann_too.sees_typing(room, eve, true).await;
    bens.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_left_out_and_large_rooms_have_no_typing() {
    let config = RealtimeConfig { typing_members_max: 2, ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben, eve) =
        (world.user("ann").await, world.user("ben").await, world.user("eve").await);
    let (large, left_out, chosen) =
        (world.room(&[ann, ben, eve]), world.room(&[ann, ben]), world.room(&[ann, ben]));
    settled(world).await;
    let mut bens = Client::connect(&server, ben).await;
    bens.chooses(&json!({"typing": true, "rooms": [chosen.to_string(), large.to_string()]})).await;
    let mut anns = Client::connect(&server, ann).await;
    for room in [large, left_out, chosen] {
        assert_eq!(anns.types(room, true).await["type"], "ack");
    }
    bens.sees_typing(chosen, ann, true).await;
    bens.expect_silence().await;
    bens.chooses(&json!({})).await;
    anns.types(chosen, false).await;
    bens.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_typing_that_waits_for_a_slow_client_only_the_newest_is_told() {
    let config = RealtimeConfig { send_buffer_bytes: Some(4_096), ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    settled(world).await;
    let mut bens = Client::wants_typing(&server, ben).await;
    let mut anns = Client::connect(&server, ann).await;
    let words = "x".repeat(20_000);
    let stats = server.realtime.stats();
    let mut sent = 0;
    while stats.snapshot().queued_bytes == 0 {
        assert!(sent < 400, "the client reads?");
        anns.message(room, &words, "m").await;
        sent += 1;
        for _ in 0..2 {
            anns.frame().await;
        }
        // What waits is counted once a second.
        tokio::time::sleep(Duration::from_millis(if sent % 10 == 0 { 1_100 } else { 1 })).await;
    }
    anns.types(room, true).await;
    anns.types(room, false).await;
    for _ in 0..2_000 {
        if stats.snapshot().typing_told == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(stats.snapshot().typing_told, 2);
    for _ in 0..sent {
        bens.frame_of("message").await;
    }
    bens.sees_typing(room, ann, false).await;
    bens.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_is_not_told_again_after_a_resume() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    settled(world).await;
    let from = Client::connect(&server, ben).await.live_from();
    let mut anns = Client::connect(&server, ann).await;
    anns.types(room, true).await;
    world.say(room, ann, "said");
    let mut back = Client::resume(&server, ben, from).await;
    back.frame_of("message").await;
    back.frame_of("resumed").await;
    back.chooses(&json!({"typing": true})).await;
    back.expect_silence().await;
}
