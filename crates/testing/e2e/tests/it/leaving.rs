//! SIGTERM under load, and SIGHUP, which ends nothing.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use klatch_e2e::hostile::Hostile;
use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming};
use klatch_e2e::token;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
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
        assert_eq!(code, Some(4012));
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
async fn clients_of_a_leaving_server_are_told_different_times_to_come_back() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let mut receivers = Vec::new();
    for n in 0..30 {
        let token = token::of(&format!("user{n}"));
        let (sender, mut receiver) = socket::connect(server.address(), &token, "").await.unwrap();
        receiver.next_of("hello", SOON).await.unwrap();
        receivers.push((sender, receiver));
    }
    server.ask_to_leave().unwrap();
    let mut delays = HashSet::new();
    for (_sender, receiver) in &mut receivers {
        let Incoming::Closed(code, reason) = receiver.next().await else { panic!("no close") };
        assert_eq!(code, 4012);
        let ms = reason.strip_prefix("reconnect after ").and_then(|rest| rest.strip_suffix(" ms"));
        let ms: u64 = ms.unwrap_or_else(|| panic!("{reason}")).parse().unwrap();
        assert!(ms < 1_000, "so few need no more than a second: {ms}");
        delays.insert(ms);
    }
    assert!(delays.len() > 20, "{delays:?}");
    drop(receivers);
    assert_eq!(server.wait_ended(SOON).await.unwrap(), Exit::Code(0));
}

/// A request whose body never comes to its end, and a connection that never answers a close.
async fn hold_up(server: &Server) -> (Hostile, Hostile) {
    let admin = server.register_admin().await.unwrap();
    let token = admin.token().unwrap();
    let mut import = Hostile::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /api/v1/admin/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n{{"
    );
    import.send(head.as_bytes()).await.unwrap();
    let deaf = Hostile::upgraded(server.address(), &token::of("deaf")).await.unwrap();
    (import, deaf)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_held_up_leaves_at_the_end_of_its_grace_all_the_same() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings::default().with("KLATCH_SERVER__GRACE_SECONDS", "4");
    let mut server = Server::start(settings).await.unwrap();
    let held = hold_up(&server).await;
    let (exit, took) = server.terminate(Duration::from_secs(20)).await.unwrap();
    assert_eq!(exit, Exit::Code(0), "{}", server.log_tail());
    assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&took), "{took:?}");
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_server_that_is_held_up_at_once() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let held = hold_up(&server).await;
    server.ask_to_leave().unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(server.is_running(), "it waits for what is under way");
    let (exit, took) = server.terminate(Duration::from_secs(20)).await.unwrap();
    assert_eq!(exit, Exit::Code(1), "{}", server.log_tail());
    assert!(took < Duration::from_secs(4), "{took:?}");
    drop(held);
    server.begin().await.unwrap();
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

/// As the hook of a renewal does it, which knows neither whether the server is ready nor whether it
/// has a certificate of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hangups_during_the_start_and_later_leave_a_server_without_tls_serving() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::stopped(Settings::default()).unwrap();
    server.spawn().unwrap();
    let (rest, begun) = (server.rest(), Instant::now());
    let is_ready = async || rest.get("/readyz").await.is_ok_and(|answer| answer.status == 200);
    // From here on it opens its stores: long before it answers.
    while !server.data_dir().exists() {
        assert!(begun.elapsed() < SOON, "nothing is opened\n{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    loop {
        assert!(server.is_running(), "ended by a hangup\n{}", server.log_tail());
        server.process().unwrap().hang_up().unwrap();
        if is_ready().await {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "not ready\n{}", server.log_tail());
    }
    let told = |server: &Server| server.output().matches("without TLS that is nothing").count();
    let before = told(&server);
    server.process().unwrap().hang_up().unwrap();
    let begun = Instant::now();
    while told(&server) == before {
        assert!(begun.elapsed() < SOON, "a hangup is not told\n{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_ready().await);
    let (exit, _) = server.terminate(GRACE).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
}

/// The configuration is a pipe: what the server reads of it is written after the hangup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_before_the_configuration_is_read_ends_no_server_and_is_answered() {
    let _turn = quiet::beside_others().await.unwrap();
    let here = tempfile::tempdir().unwrap();
    let pipe = here.path().join("klatch.toml");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let settings = Settings::default().flag("--config").flag(pipe.to_str().unwrap());
    let mut server = Server::stopped(settings).unwrap();
    server.spawn().unwrap();
    let begun = Instant::now();
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Whoever writes can open it as soon as the server has opened it to read.
    let mut configuration = loop {
        if let Ok(opened) = open(&pipe, flags, Mode::empty()) {
            break File::from(opened);
        }
        assert!(server.is_running() && begun.elapsed() < SOON, "{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    server.process().unwrap().hang_up().unwrap();
    configuration.write_all(b"[server]\ngrace_seconds = 9\n").unwrap();
    drop(configuration);
    let (rest, begun) = (server.rest(), Instant::now());
    while !rest.get("/readyz").await.is_ok_and(|answer| answer.status == 200)
        || !server.output().contains("without TLS that is nothing")
    {
        assert!(server.is_running(), "ended by the hangup\n{}", server.log_tail());
        assert!(begun.elapsed() < Duration::from_mins(1), "not answered\n{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (exit, _) = server.terminate(GRACE).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
}
