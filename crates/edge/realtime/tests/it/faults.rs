//! What goes wrong between fan-out and here must not reach a client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use klatch_realtime::RealtimeConfig;
use klatch_testkit::BusFaults;

use crate::client::Client;
use crate::fan_out::FanOut;
use crate::world::{Server, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_repeated_frames_are_repaired_from_the_log() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    world.faults(BusFaults { drop: 40, repeat: 30 });
    for n in 0..200 {
        world.say(room, ben, &format!("text {n}"));
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    let expected: Vec<_> = (2..=201).map(|seq| (room, seq)).collect();
    client.expect_events(&expected).await;
    assert!(world.flaky.dropped() > 0);
    assert!(server.realtime.stats().snapshot().gaps > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repaired_events_have_the_same_words_as_those_of_fan_out() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    world.faults(BusFaults { drop: 100, repeat: 0 });
    world.say(room, ben, "from the log");
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.faults(BusFaults::default());
    world.say(room, ben, "from fan-out");
    let (one, two) = (client.frame().await, client.frame().await);
    assert_eq!(one["payload"]["content"], "from the log");
    assert_eq!(two["payload"]["content"], "from fan-out");
    let keys = |frame: &serde_json::Value| {
        frame["payload"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&one), keys(&two));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_fan_out_is_replaced_by_the_log() {
    let config = RealtimeConfig {
        inbox_silence_max: Duration::from_millis(400),
        ..RealtimeConfig::default()
    };
    let world = World::new(1);
    let server = Server::start(&world, config).await;
    let fan_out = FanOut::start(&server, 1);
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    fan_out.silent.store(true, Ordering::Relaxed);
    world.say(room, ben, "one");
    world.leave(room, ann);
    world.say(room, ben, "not hers");
    let seen = client.events(2).await;
    assert_eq!(seen.iter().map(|seen| seen.seq).collect::<Vec<_>>(), [2, 3]);
    fan_out.silent.store(false, Ordering::Relaxed);
    world.join(room, ann);
    client.expect_events(&[(room, 5)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_fan_out_clients_get_everything_all_the_same() {
    let config = RealtimeConfig {
        presence_wait: Duration::from_millis(200),
        inbox_silence_max: Duration::from_millis(300),
        ..RealtimeConfig::default()
    };
    let world = World::new(1);
    let server = Server::start(&world, config).await;
    let ann = world.user("ann").await;
    let room = world.room(&[ann]);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    for _ in 0..20 {
        world.say(room, ann, "hi");
    }
    let due = world.model.lock().due(ann, client.live_from().offset);
    assert!(due.ends_with(&[(room, 20), (room, 21)]));
    client.expect_events(&due).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_whom_fan_out_does_not_know_yet_misses_nothing() {
    let config =
        RealtimeConfig { presence_wait: Duration::from_millis(100), ..RealtimeConfig::default() };
    let world = World::new(1);
    let server = Server::start(&world, config).await;
    let fan_out = FanOut::start(&server, 1);
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    fan_out.presence_lag_ms.store(1_500, Ordering::Relaxed);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    for _ in 0..5 {
        world.say(room, ben, "hi");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let due = world.model.lock().due(ann, client.live_from().offset);
    assert!(due.ends_with(&[(room, 5), (room, 6)]));
    client.expect_events(&due).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_owner_takes_over_without_a_hole_or_a_double() {
    let world = World::new(1);
    let server = Server::start(&world, RealtimeConfig::default()).await;
    let first = FanOut::start(&server, 1);
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    for n in 0..30 {
        world.say(room, ben, "hi");
        if n == 10 {
            first.stop.store(true, Ordering::Relaxed);
        }
        if n == 20 {
            FanOut::start(&server, 2);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    client.expect_events(&(2..=31).map(|seq| (room, seq)).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lags_delays_and_never_lies() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    world.lag_ms.store(120, Ordering::Relaxed);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    // Rooms that the store knows of only later, with members who came and went meanwhile.
    let mut expected = Vec::new();
    for _ in 0..5 {
        let room = world.room(&[ben]);
        world.say(room, ben, "2: not hers");
        world.join(room, ann);
        world.say(room, ben, "4: hers");
        world.leave(room, ann);
        world.say(room, ben, "6: not hers");
        expected.extend([(room, 3), (room, 4), (room, 5)]);
    }
    client.expect_events(&expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unwritten_presence_key_costs_reads_of_the_log_and_no_event() {
    // Keys live so briefly that they are renewed all the time, and end when that stops.
    let config =
        RealtimeConfig { presence_ttl: Duration::from_millis(400), ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    for n in 0..20 {
        world.say(room, ben, "hi");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(client.frame().await["payload"]["seq"], n + 2);
    }
    assert_eq!(world.kv.len(), 1, "renewed in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joined_just_before_connecting_is_a_member_although_the_store_is_late() {
    let config =
        RealtimeConfig { presence_wait: Duration::from_millis(100), ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ben]);
    let mut bens = Client::connect(&server, ben).await;
    bens.ping().await;
    world.lag_ms.store(1_200, Ordering::Relaxed);
    world.join(room, ann);
    bens.expect_events(&[(room, 2)]).await;
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    world.say(room, ben, "welcome");
    client.expect_events(&[(room, 3)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_many_is_read_as_it_was_although_the_store_is_ahead() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let mut users = Vec::new();
    for n in 0..12 {
        users.push(world.user(&format!("user{n}")).await);
    }
    let room = world.room(&users[..11]);
    let mut clients = Vec::new();
    for user in &users {
        let mut client = Client::connect(&server, *user).await;
        client.ping().await;
        clients.push(client);
    }
    // All of this is read from the log at once, when the store knows how it ends.
    world.faults(BusFaults { drop: 100, repeat: 0 });
    world.say(room, users[0], "2");
    world.leave(room, users[1]); // 3
    world.say(room, users[0], "4");
    world.join(room, users[1]); // 5
    world.join(room, users[11]); // 6
    world.say(room, users[0], "7");
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.faults(BusFaults::default());
    for client in &mut clients {
        let due = world.model.lock().due(client.user, client.live_from().offset);
        let due: Vec<_> = due.into_iter().filter(|(_, seq)| *seq > 1).collect();
        client.expect_events(&due).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_that_cannot_be_written_costs_reads_of_the_log_and_no_event() {
    let config =
        RealtimeConfig { presence_wait: Duration::from_millis(100), ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let room = world.room(&[ann, ben]);
    world.kv_is_down.store(true, Ordering::Relaxed);
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    for _ in 0..5 {
        world.say(room, ben, "hi");
    }
    let due = world.model.lock().due(ann, client.live_from().offset);
    assert!(due.ends_with(&[(room, 5), (room, 6)]));
    client.expect_events(&due).await;
    assert!(world.kv.is_empty());
    world.kv_is_down.store(false, Ordering::Relaxed);
    while world.kv.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let gaps = server.realtime.stats().snapshot().gaps;
    world.say(room, ben, "hi");
    client.expect_events(&[(room, 7)]).await;
    assert_eq!(server.realtime.stats().snapshot().gaps, gaps, "fan-out is believed again");
}
