//! Presence as watchers see it, over several instances.

use std::time::Duration;

use bytes::Bytes;
use klatch_domain::{InstanceId, UserId};
use klatch_ports::bus::BusSubscriber as _;
use klatch_ports::kv::{KvReader as _, KvWriter as _};
use klatch_protocol::presence::{device_key, device_prefix};
use klatch_realtime::RealtimeConfig;
use klatch_testkit::BusFaults;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::Client;
use crate::fan_out::FanOut;
use crate::world::Server;

/// Everything at a tenth of its usual pace.
fn brisk() -> RealtimeConfig {
    RealtimeConfig {
        presence_pause: Duration::from_millis(100),
        offline_grace: Duration::from_millis(300),
        ..RealtimeConfig::default()
    }
}

async fn two_servers(config: RealtimeConfig) -> (Server, Server) {
    let here = Server::quick(config.clone()).await;
    let there = Server::start(&here.world, config).await;
    FanOut::start(&there, 1);
    (here, there)
}

impl Client {
    /// Watches these people, and nobody else from now on.
    pub(crate) async fn watch(&mut self, people: &[UserId]) {
        let ids: Vec<String> = people.iter().map(UserId::to_string).collect();
        self.chooses(&json!({ "presence": ids })).await;
    }

    pub(crate) async fn chooses(&mut self, payload: &Value) {
        self.send(&json!({"type": "subscribe", "requestId": "s", "payload": payload})).await;
        loop {
            let frame = self.frame().await;
            match frame["type"].as_str() {
                Some("ack") => return assert_eq!(frame["requestId"], "s"),
                Some("presence") => self.early.push_back(frame),
                _ => panic!("{frame}"),
            }
        }
    }

    /// The next presence frame.
    pub(crate) async fn presence(&mut self) -> Value {
        let mut frame = match self.early.pop_front() {
            Some(frame) => frame,
            None => self.frame_of("presence").await,
        };
        frame["payload"].take()
    }

    /// Waits until `user` is told to be so.
    async fn sees(&mut self, user: UserId, status: &str) -> Value {
        loop {
            let told = self.presence().await;
            if told["userId"] == user.to_string() && told["status"] == status {
                return told;
            }
        }
    }

    pub(crate) async fn says(&mut self, status: &str) {
        let payload = json!({ "status": status });
        self.send(&json!({"type": "presence", "requestId": "p", "payload": payload})).await;
        assert_eq!(self.frame_of("ack").await["requestId"], "p");
    }

    async fn leave(mut self) {
        self.socket.close(None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_at_two_instances_are_one_person_to_watchers_at_both() {
    let (here, there) = two_servers(brisk()).await;
    let world = &here.world;
    let (ann, ben, eve) =
        (world.user("ann").await, world.user("ben").await, world.user("eve").await);
    let (mut ben_here, mut eve_there) =
        (Client::connect(&here, ben).await, Client::connect(&there, eve).await);
    for watcher in [&mut ben_here, &mut eve_there] {
        watcher.watch(&[ann]).await;
        assert_eq!(watcher.presence().await["status"], "offline");
    }
    let mut phone = Client::connect(&there, ann).await;
    let mut desk = Client::connect(&here, ann).await;
    for watcher in [&mut ben_here, &mut eve_there] {
        watcher.sees(ann, "online").await;
    }
    phone.says("away").await;
    desk.says("away").await;
    for watcher in [&mut ben_here, &mut eve_there] {
        watcher.sees(ann, "away").await;
    }
    phone.says("dnd").await;
    for watcher in [&mut ben_here, &mut eve_there] {
        watcher.sees(ann, "dnd").await;
    }
    phone.leave().await;
    for watcher in [&mut ben_here, &mut eve_there] {
        watcher.sees(ann, "away").await;
    }
    desk.leave().await;
    for watcher in [&mut ben_here, &mut eve_there] {
        let last = watcher.sees(ann, "offline").await;
        assert_eq!(last["lastSeen"], "2026-01-01T00:00:00.000Z");
    }
    assert!(world.kv.list(&device_prefix(ann)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_current_state_comes_at_once_and_only_of_those_asked_for() {
    let server = Server::quick(brisk()).await;
    let world = &server.world;
    let (ann, ben, eve) =
        (world.user("ann").await, world.user("ben").await, world.user("eve").await);
    let mut anns = Client::connect(&server, ann).await;
    let mut bystander = Client::connect(&server, eve).await;
    let mut watcher = Client::connect(&server, ben).await;
    watcher.watch(&[ann, eve]).await;
    let told = [watcher.presence().await, watcher.presence().await];
    for user in [ann, eve] {
        let online = json!({"userId": user.to_string(), "status": "online"});
        assert!(told.contains(&online), "{told:?}");
    }
    // A second look at someone who is watched already is answered from memory.
    let before = server.realtime.stats().snapshot().looked_up;
    let mut other = Client::connect(&server, ben).await;
    other.watch(&[ann]).await;
    assert_eq!(other.presence().await["status"], "online");
    assert_eq!(server.realtime.stats().snapshot().looked_up, before);
    // Replaced: nothing more about ann.
    watcher.watch(&[eve]).await;
    anns.says("dnd").await;
    assert_eq!(other.presence().await["status"], "dnd");
    watcher.expect_silence().await;
    bystander.expect_silence().await;
    other.watch(&[]).await;
    watcher.leave().await;
    let stats = server.realtime.stats();
    while stats.snapshot().watched > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_become_few_frames_and_the_last_one_counts() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let mut anns = Client::connect(&server, ann).await;
    let mut watcher = Client::connect(&server, ben).await;
    watcher.watch(&[ann]).await;
    watcher.sees(ann, "online").await;
    let (began, mut frames) = (Instant::now(), 1);
    for word in ["away", "dnd", "online", "away", "online", "away", "online", "away", "dnd"] {
        anns.says(word).await;
    }
    loop {
        let told = watcher.presence().await;
        frames += 1;
        if told["status"] == "dnd" {
            let quiet = tokio::time::timeout(Duration::from_millis(600), watcher.next()).await;
            match quiet {
                Err(_) => break,
                Ok(frame) => assert_ne!(frame.unwrap()["payload"]["status"], "dnd"),
            }
        }
    }
    let turns = began.elapsed().as_millis() / 250 + 2;
    assert!(frames <= turns, "{frames} frames in {turns} turns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reloads_a_page_was_not_away() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let anns = Client::connect(&server, ann).await;
    let mut watcher = Client::connect(&server, ben).await;
    watcher.watch(&[ann]).await;
    watcher.sees(ann, "online").await;
    anns.leave().await;
    while !world.kv.list(&device_prefix(ann)).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Looked at while gone, at least once.
    let reads = server.realtime.stats().snapshot().looked_up;
    while server.realtime.stats().snapshot().looked_up == reads {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let back = Client::connect(&server, ann).await;
    let more = tokio::time::timeout(Duration::from_secs(3), watcher.next()).await;
    assert!(more.is_err(), "{more:?}");
    back.leave().await;
    watcher.sees(ann, "offline").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_nothing_is_away_until_they_do_something() {
    let config = RealtimeConfig { away_after: Duration::from_secs(2), ..brisk() };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann]);
    let mut anns = Client::connect(&server, ann).await;
    let mut watcher = Client::connect(&server, ben).await;
    watcher.watch(&[ann]).await;
    watcher.sees(ann, "online").await;
    // A client's own pings are nobody's doing.
    anns.ping().await;
    watcher.sees(ann, "away").await;
    anns.message(room, "back again", "1").await;
    watcher.sees(ann, "online").await;
}

/// As a killed instance leaves it: a key that nobody renews and nobody removes.
#[tokio::test(start_paused = true)]
async fn the_people_of_a_killed_instance_are_offline_when_their_keys_end_and_no_later() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let ttl = RealtimeConfig::default().presence_ttl;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let key = device_key(ann, InstanceId::from_bits(77));
    world.kv.put(&key, Bytes::from_static(b"dnd"), Some(ttl)).await.unwrap();
    let killed = Instant::now();
    let mut watcher = Client::connect(&server, ben).await;
    watcher.watch(&[ann]).await;
    watcher.sees(ann, "dnd").await;
    watcher.sees_in_long(ann, "offline").await;
    let after = killed.elapsed();
    assert!(after >= ttl, "{after:?}");
    let slack = RealtimeConfig::default().offline_grace + Duration::from_secs(3);
    assert!(after <= ttl + slack, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_person_whose_keys_are_renewed_stays_for_as_long_as_they_do() {
    let (here, there) = two_servers(RealtimeConfig::default()).await;
    let world = &here.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let mut anns = Client::connect(&there, ann).await;
    let mut watcher = Client::connect(&here, ben).await;
    watcher.watch(&[ann]).await;
    watcher.sees(ann, "online").await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_mins(8) {
        tokio::time::sleep(Duration::from_secs(20)).await;
        anns.ping().await;
        watcher.ping().await;
    }
    let reads = here.realtime.stats().snapshot().looked_up;
    assert!(reads <= 20, "{reads} look-ups of one person in eight minutes");
}

#[tokio::test(start_paused = true)]
async fn what_the_bus_loses_is_found_by_looking_again() {
    let (here, there) = two_servers(RealtimeConfig::default()).await;
    let world = &here.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let mut watcher = Client::connect(&here, ben).await;
    watcher.watch(&[ann]).await;
    watcher.sees(ann, "offline").await;
    world.faults(BusFaults { drop: 100, repeat: 0 });
    let ttl = RealtimeConfig::default().presence_ttl;
    let began = Instant::now();
    let anns = Client::connect(&there, ann).await;
    watcher.sees_in_long(ann, "online").await;
    assert!(began.elapsed() <= ttl, "{:?}", began.elapsed());
    let began = Instant::now();
    anns.leave().await;
    watcher.sees_in_long(ann, "offline").await;
    assert!(began.elapsed() <= ttl, "{:?}", began.elapsed());
}

impl Client {
    /// [`Client::sees`] for paused time: says something now and then, as clients do.
    async fn sees_in_long(&mut self, user: UserId, status: &str) {
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(5), self.sees(user, status));
            if wait.await.is_ok() {
                return;
            }
            self.send(&json!({"type": "presence", "payload": {"status": "online"}})).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_about_oneself_are_told_with_the_status_and_bad_ones_are_refused() {
    let server = Server::quick(brisk()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let mut anns = Client::connect(&server, ann).await;
    let mut watcher = Client::connect(&server, ben).await;
    watcher.watch(&[ann]).await;
    watcher.sees(ann, "online").await;
    let payload = json!({"status": "dnd", "text": "writing", "emoji": "✍️"});
    anns.send(&json!({"type": "presence", "payload": payload})).await;
    let told = watcher.sees(ann, "dnd").await;
    assert_eq!((told["text"].as_str(), told["emoji"].as_str()), (Some("writing"), Some("✍️")));
    let bad = json!({"text": "x".repeat(141)});
    anns.send(&json!({"type": "presence", "requestId": "b", "payload": bad})).await;
    let refused = anns.frame_of("error").await;
    assert_eq!(refused["payload"]["code"], "invalid_field");
    let cleared = json!({"text": null});
    anns.send(&json!({"type": "presence", "payload": cleared})).await;
    assert_eq!(watcher.sees(ann, "dnd").await.get("text"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_on_against_the_limit_is_closed() {
    let server = Server::quick(brisk()).await;
    let ann = server.world.user("ann").await;
    let mut anns = Client::connect(&server, ann).await;
    for n in 0..30 {
        let payload = json!({"status": "away"});
        let frame = json!({"type": "presence", "requestId": n.to_string(), "payload": payload});
        anns.send(&frame).await;
    }
    let mut refused = 0;
    let code = loop {
        match anns.next().await {
            Ok(frame) if frame["type"] == "error" => {
                assert_eq!(frame["payload"]["code"], "rate_limited");
                assert!(frame["payload"]["retryAfterMs"].as_u64().is_some_and(|ms| ms <= 2_000));
                refused += 1;
            }
            Ok(frame) => assert_eq!(frame["type"], "ack"),
            Err(code) => break code,
        }
    };
    assert_eq!((code, refused), (Some(4008), 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_costs_one_key_and_one_note_in_no_room_and_in_two_hundred() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    for _ in 0..200 {
        world.room(&[ben]);
    }
    let mut keys = world.kv.watch("").await.unwrap();
    let mut notes = world.bus.subscribe("client.>").await.unwrap();
    let mut connected = Vec::new();
    for user in [ann, ben] {
        let mut client = Client::connect(&server, user).await;
        client.ping().await;
        let change = keys.next().await.unwrap();
        assert_eq!(change.key, device_key(user, server.instance));
        assert_eq!(notes.next().await.unwrap().0, format!("client.presence.{user}"));
        assert_eq!((keys.try_next(), notes.try_next()), (None, None));
        connected.push(client);
    }
    assert_eq!(server.realtime.stats().snapshot().looked_up, 0, "nobody asked");
}
