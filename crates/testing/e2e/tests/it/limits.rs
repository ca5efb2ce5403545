//! How often each may come, at the binary as it is delivered.

use std::time::Duration;

use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::{socket, token};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_by_rest_and_one_by_websocket_come_out_of_one_bucket_of_sixty() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings::default().with("KLATCH_LIMITS__PROFILE", "default");
    let server = Server::start(settings).await.unwrap();
    let (ada, bob) = (server.rest_as("ada"), server.rest_as("bob"));
    let body = json!({"type": "channel", "name": "one"});
    let room = ada.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let room = room.text("roomId").unwrap();
    let path = format!("/api/v1/rooms/{room}/messages");
    let text = json!({"content": "hello"});
    for _ in 0..30 {
        ada.post(&path, &text).await.unwrap().success().unwrap();
    }
    let (mut sender, mut receiver) =
        socket::connect(server.address(), &token::of("ada"), "").await.unwrap();
    let (mut taken, mut refused) = (0, 0);
    for number in 0..38 {
        let payload = json!({"roomId": room, "content": "hello"});
        sender.send("message", payload, &number.to_string()).await.unwrap();
    }
    while taken + refused < 38 {
        let (kind, frame) = match receiver.next().await {
            socket::Incoming::Frame(kind, frame) => (kind, frame),
            other => panic!("{other:?} after {taken} taken and {refused} refused"),
        };
        match kind.as_str() {
            "ack" => taken += 1,
            "error" => {
                let payload = &frame["payload"];
                assert_eq!(payload["code"], "rate_limited");
                assert!((1..=1_000).contains(&payload["retryAfterMs"].as_u64().unwrap()));
                refused += 1;
            }
            _ => {}
        }
    }
    // A slow machine fills up a few while this runs.
    assert!((30..38).contains(&taken), "{taken} of 38 after 30 by REST");
    let over = ada.post(&path, &text).await.unwrap();
    if over.status == 429 {
        over.problem(429, "rate_limited").unwrap();
        assert_eq!(over.header("retry-after"), Some("1"));
        assert_eq!(over.header("ratelimit-policy"), Some("\"send\";q=60;w=60"));
    }
    bob.post(&format!("/api/v1/rooms/{room}/join"), &json!({})).await.unwrap().success().unwrap();
    let other = bob.post(&path, &text).await.unwrap();
    assert_eq!(other.header("x-ratelimit-remaining"), Some("59"), "nobody shares");
    other.success().unwrap();
    let metrics = server.rest().get("/metrics").await.unwrap();
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("klatch_limits_refused_total{action=\"send\"} "), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_from_one_address_are_thirty_and_proxies_are_believed_as_configured() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings::default()
        .with("KLATCH_LIMITS__PROFILE", "default")
        .with("KLATCH_LIMITS__ADDRESS__LOGINS", r#"{count=4,per="1h"}"#)
        .with("KLATCH_SERVER__TRUSTED_PROXIES", r#"["127.0.0.0/8"]"#);
    let server = Server::start(settings).await.unwrap();
    let rest = server.rest();
    let body = json!({"login": "nobody", "password": "not the password"}).to_string();
    let try_from = async |address: &str| {
        let headers = [("content-type", "application/json"), ("x-forwarded-for", address)];
        let post = http::Method::POST;
        rest.ask(post, "/api/v1/auth/login", &headers, body.clone().into()).await.unwrap()
    };
    for _ in 0..4 {
        try_from("192.0.2.1").await.problem(401, "invalid_credentials").unwrap();
    }
    let over = try_from("192.0.2.1").await;
    over.problem(429, "rate_limited").unwrap();
    assert_eq!(over.header("x-ratelimit-bucket"), Some("login"));
    let wait: u64 = over.header("retry-after").unwrap().parse().unwrap();
    assert!((880..=900).contains(&wait), "{wait}");
    try_from("192.0.2.2").await.problem(401, "invalid_credentials").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_profile_limits_nobody() {
    let _turn = quiet::beside_others().await.unwrap();
    // As the tests start all servers.
    let server = Server::start(Settings::default()).await.unwrap();
    let ada = server.rest_as("ada");
    let body = json!({"type": "group", "name": "many"});
    let mut room = String::new();
    for _ in 0..25 {
        let made = ada.post("/api/v1/rooms", &body).await.unwrap();
        assert_eq!(made.header("ratelimit"), None);
        room = made.success().unwrap().text("roomId").unwrap();
    }
    let path = format!("/api/v1/rooms/{room}/messages");
    for _ in 0..80 {
        ada.post(&path, &json!({"content": "hello"})).await.unwrap().success().unwrap();
    }
    let mut open = Vec::new();
    for _ in 0..8 {
        let (sender, mut receiver) =
            socket::connect(server.address(), &token::of("ada"), "").await.unwrap();
        receiver.next_of("hello", SOON).await.unwrap();
        open.push((sender, receiver));
    }
}
