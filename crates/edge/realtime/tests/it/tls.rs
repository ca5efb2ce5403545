//! Connections through TLS: the same bytes, in the same order, however the records are cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use klatch_domain::UserId;
use klatch_realtime::{Realtime, RealtimeConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::client::PATIENCE;
use crate::raw::{FIN, TEXT, close, frame};
use crate::world::Server;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A second door of a server, with TLS.
struct Door {
    address: SocketAddr,
    connector: TlsConnector,
}

impl Door {
    async fn open(server: &Server) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let cert: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.clone()], key.into())
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(serve(listener, acceptor, server.realtime.clone()));
        Self { address, connector: TlsConnector::from(Arc::new(client)) }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        self.connector.connect(name, tcp).await.unwrap()
    }

    /// A client past its `hello`.
    async fn client(&self, user: UserId) -> Socket {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        let token = format!("Bearer {user}").parse().unwrap();
        request.headers_mut().insert("authorization", token);
        let stream = self.connect().await;
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(next(&mut socket).await.unwrap()["type"], "hello");
        socket.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
        assert_eq!(next(&mut socket).await.unwrap()["type"], "pong");
        socket
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, realtime: Realtime) {
    while let Ok((stream, _)) = listener.accept().await {
        let (realtime, acceptor) = (realtime.clone(), acceptor.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = hyper::service::service_fn(move |request| {
                let realtime = realtime.clone();
                async move {
                    let response = realtime.upgrade(request, "test-request").await;
                    Ok::<_, std::convert::Infallible>(response.map(Full::new))
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

/// The next text frame, or the code with which the connection ended.
async fn next(socket: &mut Socket) -> Result<Value, Option<u16>> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("a frame in time") {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(None),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_answers_arrive_whole_and_in_order_at_a_slow_reader() {
    // Little room in the kernel: most writes are cut somewhere.
    let config = RealtimeConfig {
        send_buffer_bytes: Some(8 * 1024),
        outbox_bytes_max: 64 * 1024 * 1024,
        room_bytes_per_second: usize::MAX,
        ..RealtimeConfig::default()
    };
    let server = Server::quick(config).await;
    let door = Door::open(&server).await;
    let ann = server.world.user("ann").await;
    let room = server.world.room(&[ann]);
    let (mut sink, mut stream) = door.client(ann).await.split();
    let asking = tokio::spawn(async move {
        for n in 0..200 {
            let ping = json!({"type": "ping", "requestId": n.to_string()});
            sink.send(Message::text(ping.to_string())).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        sink
    });
    for n in 0..300_usize {
        server.world.say(room, ann, &"x".repeat((n * 7_919) % 40_000));
    }
    let (mut seq, mut asked) = (2, 0);
    while seq < 302 || asked < 200 {
        let message = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap();
        let Message::Text(text) = message.unwrap().unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["type"] == "message" {
            assert_eq!(frame["payload"]["seq"], seq);
            seq += 1;
        } else {
            assert_eq!(frame["requestId"], asked.to_string());
            asked += 1;
        }
        if (seq + asked) % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    drop(asking.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_told_of_the_hole_with_bounded_memory() {
    const CAP: usize = 256 * 1024;
    let config = RealtimeConfig {
        outbox_bytes_max: CAP,
        send_buffer_bytes: Some(64 * 1024),
        room_bytes_per_second: usize::MAX,
        ..RealtimeConfig::default()
    };
    let server = Server::quick(config).await;
    let door = Door::open(&server).await;
    let ann = server.world.user("ann").await;
    let room = server.world.room(&[ann]);
    let mut slow = door.client(ann).await;
    for n in 0..1_000 {
        server.world.say(room, ann, &"x".repeat(30_000));
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (mut last, mut told) = (1, 0);
    while last < 1_001 {
        let payload = next(&mut slow).await.unwrap()["payload"].take();
        if let Some(head) = payload["headSeq"].as_u64() {
            assert!(head > last);
            (last, told) = (head, told + 1);
        } else {
            assert_eq!(payload["seq"], last + 1);
            last += 1;
        }
    }
    assert!(told > 0, "all came through");
    let stats = server.realtime.stats().snapshot();
    assert!(stats.queued_bytes <= CAP as u64, "{} bytes waited", stats.queued_bytes);
    assert_eq!(stats.closed_slow, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_any_size_hold_frames_of_any_size() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let door = Door::open(&server).await;
    let ann = server.world.user("ann").await;
    let mut tls = door.connect().await;
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {ann}\r\n\r\n"
    );
    // The first frame in the same record as the request.
    let early = [request.as_bytes(), &frame(0x89, b"early")].concat();
    tls.write_all(&early).await.unwrap();
    tls.flush().await.unwrap();
    read_until(&mut tls, b"\x8a\x05early").await;
    // A frame in records of one byte each.
    for byte in frame(FIN | TEXT, br#"{"type":"ping","requestId":"bytes"}"#) {
        tls.write_all(&[byte]).await.unwrap();
        tls.flush().await.unwrap();
    }
    read_until(&mut tls, br#""requestId":"bytes"}"#).await;
    // More than is read or held at once.
    let mut many = Vec::new();
    for n in 0..40 {
        let mut text = json!({"type": "ping", "requestId": n.to_string()}).to_string();
        text.push_str(&" ".repeat(9_000));
        many.extend(frame(FIN | TEXT, text.as_bytes()));
    }
    tls.write_all(&many).await.unwrap();
    tls.flush().await.unwrap();
    read_until(&mut tls, br#""requestId":"39"}"#).await;
    // The end in good order, of TLS too: an end without its word would be an error here.
    tls.write_all(&close(1000, b"")).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, tls.read_to_end(&mut rest)).await.unwrap();
    read.expect("close_notify");
    assert_eq!(rest, [0x88, 2, 0x03, 0xE8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_damaged_end_the_connection_and_leave_nothing() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let door = Door::open(&server).await;
    let ann = server.world.user("ann").await;
    let mut socket = door.client(ann).await;
    let tcp = socket.get_mut().get_mut().0;
    // A record of application data that no key has made.
    tcp.write_all(&[&[0x17, 3, 3, 0, 64][..], &[0xAA; 64]].concat()).await.unwrap();
    assert_eq!(next(&mut socket).await, Err(None));
    let gone = async {
        while server.realtime.stats().snapshot().connections > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the connection is gone");
}

async fn read_until(tls: &mut TlsStream<TcpStream>, end: &[u8]) {
    let mut got = Vec::new();
    while !got.ends_with(end) {
        let read = tokio::time::timeout(PATIENCE, tls.read_buf(&mut got)).await;
        assert!(read.expect("an answer in time").unwrap() > 0);
    }
}
