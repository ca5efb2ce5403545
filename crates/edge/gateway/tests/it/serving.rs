//! The server loop: slow clients, panics, upgrades, the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use klatch_gateway::{Config, Peer, ServerLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::Call;
use crate::world::{Setup, World};

/// Everything a connection says until it ends.
async fn rest_of(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is an end like any other.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The answer to a request whose body comes in chunks of unknown number.
pub(crate) async fn chunked(to: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "{head}host: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in body.as_bytes().chunks(16 * 1024) {
        let size = format!("{:x}\r\n", chunk.len());
        let sent = async {
            stream.write_all(size.as_bytes()).await?;
            stream.write_all(chunk).await?;
            stream.write_all(b"\r\n").await
        };
        if sent.await.is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n").await;
    rest_of(stream).await
}

fn quick() -> Setup {
    Setup {
        limits: ServerLimits {
            connections: 4,
            sockets: 1_000,
            header_timeout: Duration::from_millis(200),
            grace: Duration::from_millis(500),
        },
        config: Config { body_timeout: Duration::from_millis(200), ..Config::default() },
        ..Setup::default()
    }
}

#[tokio::test]
async fn clients_that_send_nothing_or_half_a_head_are_cut_off() {
    let world = World::with(quick()).await;
    for part in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\n", "GET /healthz HTTP/1.1\r\nx-a: "] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        let answer = timeout(Duration::from_secs(5), rest_of(stream)).await.unwrap();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    Call::new(world.address, "GET", "/healthz").send().await.ok(200);
}

#[tokio::test]
async fn more_silent_clients_than_there_are_slots_hold_nobody_up_for_long() {
    let world = World::with(quick()).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    let call = Call::new(world.address, "GET", "/healthz").send();
    timeout(Duration::from_secs(5), call).await.unwrap().ok(200);
}

#[tokio::test]
async fn a_process_whose_sockets_are_taken_accepts_none_until_others_have_gone() {
    let limits = ServerLimits { sockets: 3, ..quick().limits };
    let handed_over = Arc::new(AtomicUsize::new(3));
    let setup = Setup { limits, handed_over: Arc::clone(&handed_over), ..quick() };
    let world = World::with(setup).await;
    let mut waiting = tokio::spawn(Call::new(world.address, "GET", "/healthz").send());
    assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err());
    handed_over.store(1, Ordering::Relaxed);
    timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap().ok(200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let world = World::with(quick()).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
        content-type: application/json\r\ncontent-length: 100\r\n\r\n{\"login\":";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = timeout(Duration::from_secs(5), rest_of(stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn nonsense_and_huge_heads_are_refused_and_the_server_goes_on() {
    let world = World::with(quick()).await;
    let many = "x-a: 1\r\n".repeat(200);
    let heads = [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(200_000)),
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_owned(),
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_owned(),
    ];
    for head in heads {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = timeout(Duration::from_secs(5), rest_of(stream)).await.unwrap();
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    Call::new(world.address, "GET", "/healthz").send().await.ok(200);
}

#[tokio::test]
async fn a_panic_ends_one_request_and_tells_nothing() {
    async fn broken() -> Response {
        panic!("a secret");
    }
    let routes = Some(Router::new().route("/broken", get(broken)));
    let world = World::with(Setup { routes, ..Setup::default() }).await;
    let answer = Call::new(world.address, "GET", "/broken").send().await;
    assert_eq!(answer.problem(500), "internal");
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    Call::new(world.address, "GET", "/healthz").send().await.ok(200);
}

/// Answers as a WebSocket role would: takes the connection over and echoes.
async fn echo(mut request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded: Upgraded = upgrade.await.unwrap();
        let parts = upgraded.downcast::<TokioIo<TcpStream>>().unwrap();
        let mut stream = parts.io.into_inner();
        assert_eq!(peer, Some(Peer(stream.peer_addr().unwrap())));
        stream.write_all(&parts.read_buf).await.unwrap();
        let mut buffer = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..read]).await.unwrap();
        }
    });
    Response::builder()
        .status(101)
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(axum::body::Body::empty())
        .unwrap()
}

async fn upgraded(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

async fn echoes(stream: &mut TcpStream) -> bool {
    stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.is_ok() && &back == b"ping"
}

#[tokio::test]
async fn an_upgraded_connection_is_its_handlers_own_and_takes_no_slot() {
    let routes = Some(Router::new().route("/echo", get(echo)));
    let world = World::with(Setup { routes, ..quick() }).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(upgraded(&world).await);
    }
    // Longer than a client may take for a head.
    sleep(Duration::from_millis(400)).await;
    for stream in &mut streams {
        assert!(echoes(stream).await);
    }
    // The server's end is not theirs.
    world.stop.cancel();
    timeout(Duration::from_secs(5), world.server).await.unwrap().unwrap();
    assert!(echoes(&mut streams[0]).await);
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_takes_no_new_ones() {
    async fn slow() -> &'static str {
        sleep(Duration::from_millis(300)).await;
        "done"
    }
    async fn endless() -> &'static str {
        sleep(Duration::from_mins(10)).await;
        "never"
    }
    let routes = Router::new().route("/slow", get(slow)).route("/endless", get(endless));
    let world = World::with(Setup { routes: Some(routes), ..quick() }).await;
    let slow = tokio::spawn(Call::new(world.address, "GET", "/slow").send());
    let mut endless = TcpStream::connect(world.address).await.unwrap();
    endless.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    world.stop.cancel();
    let answer = slow.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, b"done".as_ref()));
    timeout(Duration::from_secs(5), world.server).await.unwrap().unwrap();
    assert_eq!(rest_of(endless).await, "");
    assert!(TcpStream::connect(world.address).await.is_err());
}
