//! The door: who gets in, and how others are told no.

use std::time::Duration;

use klatch_ports::kv::KvReader as _;
use klatch_realtime::RealtimeConfig;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, PATIENCE, open};
use crate::world::Server;

async fn refused(server: &Server, path: &str, headers: &[(&'static str, String)]) -> (u16, String) {
    let response = open(server, path, headers).await.expect_err("a refusal");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = response.body().clone().unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["requestId"], "test-request");
    (response.status().as_u16(), problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_good_tokens_get_in_by_any_of_three_ways() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    let token = ann.to_string();
    let header = ("authorization", format!("Bearer {token}"));
    let subprotocol = ("sec-websocket-protocol", format!("klatch.v1, bearer.{token}"));
    let cookie = ("cookie", format!("klatch_access={token}"));
    let own_page = ("origin", format!("http://{}", server.address));
    assert!(open(&server, "/ws", &[header]).await.is_ok());
    assert!(open(&server, "/ws", &[subprotocol]).await.is_ok());
    assert!(open(&server, "/ws", &[cookie.clone(), own_page]).await.is_ok());
    let elsewhere = ("origin", "https://evil.example".to_owned());
    let origin = (403, "origin_not_allowed".to_owned());
    assert_eq!(refused(&server, "/ws", &[cookie.clone(), elsewhere]).await, origin);
    assert_eq!(refused(&server, "/ws", &[cookie]).await, origin);
    let no = |code: &str| (401, code.to_owned());
    assert_eq!(refused(&server, "/ws", &[]).await, no("unauthorized"));
    let bad = ("authorization", "Bearer nonsense".to_owned());
    assert_eq!(refused(&server, "/ws", &[bad]).await, no("invalid_token"));
    server.world.tokens.revoked.lock().insert(ann);
    let header = ("authorization", format!("Bearer {token}"));
    assert_eq!(refused(&server, "/ws", &[header]).await, no("session_revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_position_is_refused_at_the_door() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    let token = [("authorization", format!("Bearer {ann}"))];
    let refusal = refused(&server, "/ws?position=m0.5", &token).await;
    assert_eq!(refusal, (400, "invalid_position".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_requests_are_told_to_upgrade() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("sec-websocket-version: 13"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_sent_together_with_the_request_are_not_lost() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {ann}\r\n\r\n"
    );
    // A ping with the mask 0, in the same packet.
    let early = [request.as_bytes(), &[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']].concat();
    tcp.write_all(&early).await.unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !got.ends_with(b"\x8a\x02hi") {
        let read = tokio::time::timeout(PATIENCE, tcp.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "{:?}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_during_the_upgrade_leaves_nothing_behind() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    for _ in 0..20 {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             authorization: Bearer {ann}\r\n\r\n"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        drop(tcp);
    }
    let mut client = Client::connect(&server, ann).await;
    client.ping().await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(server.realtime.stats().snapshot().connections, 1);
    drop(client);
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    let stats = server.realtime.stats().snapshot();
    assert_eq!((stats.connections, stats.users), (0, 0));
    let left = server.world.kv.list("user.").await.unwrap();
    assert!(left.is_empty(), "presence is removed: {left:?}");
}
