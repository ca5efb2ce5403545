//! Bytes on the wire: broken frames end a connection with the right code, slow readers do not hurt
//! others, and an independent implementation agrees about everything lawful.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use klatch_realtime::RealtimeConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::client::{Client, PATIENCE};
use crate::world::Server;

/// A connection past its `hello`, with the bare socket.
async fn bare(server: &Server) -> TcpStream {
    let ann = server.world.user("ann").await;
    let client = Client::connect(server, ann).await;
    client.socket.into_inner()
}

/// Everything until the end, and the close code in it.
async fn code_at_the_end(tcp: &mut TcpStream) -> Option<u16> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut all)).await;
    // A reset after the close frame is as good as an end.
    let _ = read.expect("an end in time");
    let close = all.iter().position(|byte| *byte == 0x88)?;
    Some(u16::from_be_bytes([all[close + 2], all[close + 3]]))
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    out.extend_from_slice(payload);
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_frames_end_the_connection_with_the_right_code() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let cases: [(&str, Vec<u8>, u16); 9] = [
        ("reserved bit", masked(0xC1, b"x"), 1002),
        ("reserved opcode", masked(0x83, b"x"), 1002),
        ("unmasked", vec![0x81, 1, b'x'], 1002),
        ("binary", masked(0x82, b"x"), 1003),
        ("not UTF-8", masked(0x81, b"\xff"), 1007),
        ("too big", vec![0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], 1009),
        ("long ping", vec![0x89, 0xFE, 0, 126, 0, 0, 0, 0], 1002),
        ("ping in parts", masked(0x09, b""), 1002),
        ("orphan", masked(0x80, b"x"), 1002),
    ];
    for (name, bytes, code) in cases {
        let mut tcp = bare(&server).await;
        tcp.write_all(&bytes).await.unwrap();
        // More of the same must not hide the answer.
        let _ = tcp.write_all(&[0xFF; 4096]).await;
        tcp.shutdown().await.unwrap();
        assert_eq!(code_at_the_end(&mut tcp).await, Some(code), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_without_end_are_cut_off() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let mut tcp = bare(&server).await;
    tcp.write_all(&masked(0x01, b"")).await.unwrap();
    let flood = masked(0x00, b"").repeat(2_000);
    let _ = tcp.write_all(&flood).await;
    assert_eq!(code_at_the_end(&mut tcp).await, Some(1009));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_answered_and_the_connection_ends() {
    let server = Server::quick(RealtimeConfig::default()).await;
    for code in [1000u16, 1001, 3000, 4999] {
        let mut tcp = bare(&server).await;
        tcp.write_all(&masked(0x88, &code.to_be_bytes())).await.unwrap();
        assert_eq!(code_at_the_end(&mut tcp).await, Some(code));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_parted_messages_of_another_implementation_are_understood() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    let mut client = Client::connect(&server, ann).await;
    for length in [0, 1, 125] {
        let payload = vec![b'p'; length];
        client.socket.send(Message::Ping(payload.clone().into())).await.unwrap();
        let pong = client.socket.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong(payload.into()));
    }
    // A ping frame of the protocol, cut into single bytes, with control frames between.
    let text = json!({"type": "ping", "requestId": "κόσμε"}).to_string();
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let kind = if at == 0 { Data::Text } else { Data::Continue };
        let last = at + 1 == bytes.len();
        let part = Frame::message(vec![*byte], OpCode::Data(kind), last);
        client.socket.send(Message::Frame(part)).await.unwrap();
        if at % 7 == 0 {
            client.socket.send(Message::Pong(vec![].into())).await.unwrap();
        }
    }
    assert_eq!(client.frame_of("pong").await["requestId"], "κόσμε");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_arrives_byte_by_byte_is_one_frame() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let mut tcp = bare(&server).await;
    tcp.set_nodelay(true).unwrap();
    for byte in masked(0x81, br#"{"type":"ping"}"#) {
        tcp.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut answer = [0; 64];
    let read = tokio::time::timeout(PATIENCE, tcp.read(&mut answer)).await.unwrap().unwrap();
    let pong: serde_json::Value = serde_json::from_slice(&answer[2..read]).unwrap();
    assert_eq!(pong["type"], "pong");
}
