//! SIGTERM under load.

use std::collections::HashSet;
use std::time::Duration;

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming};
use klatch_e2e::token;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(10);
/// What the server is told; it must be gone by then.
const GRACE: Duration = Duration::from_secs(10);

/// Sends by REST until the server answers no more; tells the ids of what was acknowledged.
async fn write(rest: Rest, room: String, acked: mpsc::Sender<String>) {
    let path = format!("/api/v1/rooms/{room}/messages");
    while let Ok(answer) = rest.post(&path, &json!({"content": "before the end"})).await {
        match answer.status {
            202 => {
                let id = answer.success().unwrap().text("messageId").unwrap();
                acked.send(id).await.unwrap();
            }
            503 => return,
            status => panic!("{status}: {:?}", answer.body),
        }
    }
}

/// Sends by WebSocket until the server closes; tells the ids, and the code of the close.
async fn chat(
    mut sender: socket::Sender,
    mut receiver: socket::Receiver,
    room: String,
    acked: mpsc::Sender<String>,
) -> Option<u16> {
    let writer = tokio::spawn(async move {
        for n in 0.. {
            let payload = json!({"roomId": room, "content": "by socket"});
            if sender.send("message", payload, &n.to_string()).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let code = loop {
        match receiver.next().await {
            Incoming::Frame(kind, frame) if kind == "ack" => {
                let id = frame["payload"]["messageId"].as_str().unwrap().to_owned();
                acked.send(id).await.unwrap();
            }
            Incoming::Frame(kind, frame) if kind == "error" => {
                let code = frame["payload"]["code"].as_str();
                assert!(matches!(code, Some("unavailable" | "outcome_unknown")), "{frame}");
            }
            Incoming::Frame(..) => {}
            Incoming::Closed(code, _) => break Some(code),
            Incoming::Lost => break None,
        }
    };
    writer.abort();
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_told_to_leave_under_load_loses_no_acknowledged_send_and_exits_with_0() {
    let _turn = quiet::beside_others().await.unwrap();
    let grace = GRACE.as_secs().to_string();
    let settings = Settings::default().with("KLATCH_SERVER__GRACE_SECONDS", &grace);
    let mut server = Server::start(settings).await.unwrap();
    let ada = server.rest_as("ada");
    let body = json!({"type": "group", "name": "busy"});
    let made = ada.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let room = made.text("roomId").unwrap();
    let (acked, mut all) = mpsc::channel(1 << 20);
    let mut writers = Vec::new();
    for _ in 0..8 {
        writers.push(tokio::spawn(write(server.rest_as("ada"), room.clone(), acked.clone())));
    }
    let mut sockets = Vec::new();
    for _ in 0..4 {
        let (sender, mut receiver) =
            socket::connect(server.address(), &token::of("ada"), "").await.unwrap();
        receiver.next_of("hello", SOON).await.unwrap();
        sockets.push(tokio::spawn(chat(sender, receiver, room.clone(), acked.clone())));
    }
    // An idle connection that never answers a close must not hold the server up either.
    let idle = socket::connect(server.address(), &token::of("idle"), "").await.unwrap();
    drop(acked);
    tokio::time::sleep(Duration::from_millis(800)).await;
    let (exit, took) = server.terminate(GRACE + Duration::from_secs(5)).await.unwrap();
    assert_eq!(exit, Exit::Code(0), "{}", server.log_tail());
    assert!(took < GRACE, "{took:?}");
    drop(idle);
    for writer in writers {
        writer.await.unwrap();
    }
    for socket in sockets {
        let code = socket.await.unwrap();
        assert!(matches!(code, Some(1001 | 1012 | 4012)), "{code:?}");
    }
    let mut acknowledged = HashSet::new();
    while let Some(id) = all.recv().await {
        assert!(acknowledged.insert(id));
    }
    eprintln!("{} sends acknowledged; gone {took:?} after SIGTERM", acknowledged.len());
    assert!(acknowledged.len() > 100);

    server.begin().await.unwrap();
    let rest = server.rest_as("ada");
    let mut found = HashSet::new();
    let mut path = format!("/api/v1/rooms/{room}/messages?limit=200");
    loop {
        let page = rest.get(&path).await.unwrap().success().unwrap();
        let ids = page.items().unwrap().iter().filter_map(|item| item["messageId"].as_str());
        found.extend(ids.map(str::to_owned));
        let Some(cursor) = page.0.get("nextCursor").and_then(Value::as_str) else { break };
        path = format!("/api/v1/rooms/{room}/messages?limit=200&cursor={cursor}");
    }
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "{} acknowledged sends are gone: {lost:?}", lost.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_told_to_leave_is_gone_at_once() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let (exit, took) = server.terminate(Duration::from_secs(10)).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_told_to_leave_while_it_starts_leaves_and_starts_the_next_time() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::stopped(Settings::default()).unwrap();
    for wait_ms in [0, 3, 10, 20, 30, 50, 80, 120, 200] {
        server.spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let (exit, took) = server.terminate(Duration::from_secs(10)).await.unwrap();
        // Before it listens for signals, the signal itself ends it.
        assert!([Exit::Code(0), Exit::Signal(15)].contains(&exit), "{exit}\n{}", server.log_tail());
        assert!(took < Duration::from_secs(3), "{took:?} after {wait_ms} ms");
    }
    server.begin().await.unwrap();
    let (exit, _) = server.terminate(Duration::from_secs(10)).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
}
