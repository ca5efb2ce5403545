//! What changes while a connection is open: its token, its session, its patience, the server.

use std::time::Duration;

use klatch_domain::Clock;
use klatch_ports::kv::KvReader as _;
use klatch_realtime::{Leaving, RealtimeConfig};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::client::{Client, PATIENCE, open};
use crate::world::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_token_closes_unless_a_new_one_came_in_time() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let soon = world.clock.now().plus_ms(60_000);
    world.tokens.expiries.lock().extend([(ann, soon), (ben, soon)]);
    let mut anns = Client::connect(&server, ann).await;
    let mut bens = Client::connect(&server, ben).await;
    world.tokens.expiries.lock().clear();
    let auth = json!({"type": "auth", "requestId": "a", "payload": {"token": ann.to_string()}});
    anns.send(&auth).await;
    assert_eq!(anns.frame_of("ack").await["requestId"], "a");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(bens.close_code().await, Some(4001));
    anns.ping().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_user_or_of_nobody_ends_the_connection() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let world = &server.world;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    for token in [ben.to_string(), "nonsense".to_owned()] {
        let mut client = Client::connect(&server, ann).await;
        client.send(&json!({"type": "auth", "payload": {"token": token}})).await;
        assert_eq!(client.close_code().await, Some(4004));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_closes_within_two_seconds() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    let mut client = Client::connect(&server, ann).await;
    server.world.tokens.revoked.lock().insert(ann);
    let code = tokio::time::timeout(Duration::from_secs(2), client.close_code()).await;
    assert_eq!(code.unwrap(), Some(4020));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_is_pinged_and_then_closed() {
    let config = RealtimeConfig {
        heartbeat: Duration::from_secs(1),
        silence_max: Duration::from_secs(3),
        ..RealtimeConfig::default()
    };
    let server = Server::quick(config).await;
    let ann = server.world.user("ann").await;
    // This one answers pings by itself, as every browser does.
    let mut polite = Client::connect(&server, ann).await;
    let silent = Client::connect(&server, ann).await;
    let mut silent = silent.socket.into_inner();
    let mut got = Vec::new();
    let read = async {
        tokio::select! {
            read = silent.read_to_end(&mut got) => { let _ = read; }
            code = polite.close_code() => panic!("closed with {code:?}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(15), read).await.unwrap();
    assert!(got.starts_with(&[0x89, 0]), "pinged first: {got:?}");
    assert_eq!(got[2..6], [0x88, got[3], 0x03, 0xE9], "closed with 1001");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_tells_everyone_when_to_come_back_and_ends() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::connect(&server, ann).await);
    }
    // One that never answers the close.
    let mut deaf = Client::connect(&server, ann).await.socket.into_inner();
    let realtime = server.realtime.clone();
    let drain = tokio::spawn(async move {
        realtime.drain(Leaving::Drain, Duration::from_secs(2)).await;
    });
    for client in &mut clients {
        assert_eq!(client.close_code().await, Some(4012));
    }
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, deaf.read_to_end(&mut rest)).await;
    let _ = end.expect("an end in time");
    let told = String::from_utf8_lossy(&rest).contains("reconnect after ");
    assert!(told, "{rest:?}");
    let token = [("authorization", format!("Bearer {ann}"))];
    let refusal = open(&server, "/ws", &token).await.expect_err("refused");
    assert_eq!(refusal.status(), 503);
    tokio::time::timeout(PATIENCE, drain).await.unwrap().unwrap();
    let left = server.world.kv.list("user.").await.unwrap();
    assert!(left.is_empty(), "presence is removed: {left:?}");
}
