//! A client: an independent implementation of the protocol.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use klatch_domain::{RoomId, UserId};
use klatch_ports::{Offset, Position};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

use crate::world::Server;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) user: UserId,
    pub(crate) hello: Value,
    /// Presence that came before an answer.
    pub(crate) early: VecDeque<Value>,
}

type Refusal = http::Response<Option<Vec<u8>>>;

/// Opens a connection, or gives the HTTP answer that refused it.
pub(crate) async fn open(
    server: &Server,
    path: &str,
    headers: &[(&'static str, String)],
) -> Result<WebSocketStream<TcpStream>, Box<Refusal>> {
    let tcp = TcpStream::connect(server.address).await.unwrap();
    open_on(tcp, server, path, headers).await
}

async fn open_on(
    tcp: TcpStream,
    server: &Server,
    path: &str,
    headers: &[(&'static str, String)],
) -> Result<WebSocketStream<TcpStream>, Box<Refusal>> {
    let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::client_async(request, tcp).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(response),
        Err(error) => panic!("{error}"),
    }
}

impl Client {
    /// Connects and waits for `hello`.
    pub(crate) async fn connect(server: &Server, user: UserId) -> Self {
        Self::connect_to(server, user, "/ws").await
    }

    /// Connects and resumes by the address.
    pub(crate) async fn resume(server: &Server, user: UserId, from: Position) -> Self {
        Self::connect_to(server, user, &format!("/ws?position={from}")).await
    }

    /// Connects with a receive buffer so small that not reading is felt at once.
    pub(crate) async fn connect_narrow(server: &Server, user: UserId) -> Self {
        let tcp = TcpSocket::new_v4().unwrap();
        tcp.set_recv_buffer_size(4 * 1024).unwrap();
        let tcp = tcp.connect(server.address).await.unwrap();
        let token = [("authorization", format!("Bearer {user}"))];
        let socket = open_on(tcp, server, "/ws", &token).await.unwrap();
        Self::welcome(socket, user).await
    }

    async fn connect_to(server: &Server, user: UserId, path: &str) -> Self {
        let token = [("authorization", format!("Bearer {user}"))];
        let socket = open(server, path, &token).await.unwrap();
        Self::welcome(socket, user).await
    }

    async fn welcome(socket: WebSocketStream<TcpStream>, user: UserId) -> Self {
        let mut client = Self { socket, user, hello: Value::Null, early: VecDeque::new() };
        client.hello = client.frame().await;
        assert_eq!(client.hello["type"], "hello");
        client
    }

    /// The position from which on it is live.
    pub(crate) fn live_from(&self) -> Position {
        self.hello["payload"]["positions"][0].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// As [`Client::send`]; the connection may have ended.
    pub(crate) async fn try_send(&mut self, frame: &Value) -> Result<(), tungstenite::Error> {
        self.socket.send(Message::text(frame.to_string())).await
    }

    /// Says something, so that live events are not held back for a resume.
    pub(crate) async fn ping(&mut self) {
        self.send(&json!({"type": "ping", "requestId": "ping"})).await;
        let pong = self.frame_of("pong").await;
        assert_eq!(pong["requestId"], "ping");
    }

    /// The next text frame.
    pub(crate) async fn frame(&mut self) -> Value {
        match self.next().await {
            Ok(frame) => frame,
            Err(code) => panic!("closed with {code:?}"),
        }
    }

    /// The next text frame, or the code with which the connection ended.
    pub(crate) async fn next(&mut self) -> Result<Value, Option<u16>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next());
            match message.await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The next frame, which must be of this type.
    pub(crate) async fn frame_of(&mut self, kind: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// The code with which the connection ends, whatever comes before.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// The answer to `subscribe`, which must be the next frame.
    pub(crate) async fn subscribe(&mut self, payload: &Value) {
        self.send(&json!({"type": "subscribe", "requestId": "s", "payload": payload})).await;
        let ack = self.frame_of("ack").await;
        assert_eq!(ack["requestId"], "s");
        assert!(ack["payload"]["positions"][0].is_string());
    }

    /// The next frame, which must say of `room` that it went on up to `head`, and no more.
    pub(crate) async fn expect_notice(&mut self, room: RoomId, head: u64) {
        let frame = self.frame_of("room").await;
        let payload = &frame["payload"];
        assert_eq!(
            (&payload["roomId"], &payload["headSeq"]),
            (&json!(room.to_string()), &json!(head))
        );
        assert!(payload["headPosition"].as_str().unwrap().parse::<Position>().is_ok());
        assert_eq!(payload.as_object().unwrap().len(), 3, "{payload}");
    }

    /// What the next frames, all notices of `room`, tell, until they tell `head`.
    pub(crate) async fn heads_up_to(&mut self, room: RoomId, head: u64) -> Vec<u64> {
        let mut heads = vec![0];
        while heads.last() != Some(&head) {
            let frame = self.frame_of("room").await;
            assert_eq!(frame["payload"]["roomId"], room.to_string());
            let next = frame["payload"]["headSeq"].as_u64().unwrap();
            assert!(heads.last() < Some(&next));
            heads.push(next);
        }
        heads
    }

    /// The next `count` events: where, and in which room.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let frame = self.frame().await;
            seen.extend(Seen::of(&frame));
        }
        seen
    }

    /// Asserts that the next events are these, and that nothing else comes for a while.
    pub(crate) async fn expect_events(&mut self, expected: &[(RoomId, u64)]) {
        let seen = self.events(expected.len()).await;
        let seen: Vec<_> = seen.iter().map(|seen| (seen.room, seen.seq)).collect();
        assert_eq!(seen, expected);
        self.expect_silence().await;
    }

    pub(crate) async fn expect_silence(&mut self) {
        let more = tokio::time::timeout(Duration::from_millis(150), self.socket.next()).await;
        assert!(more.is_err(), "unexpected: {more:?}");
    }

    pub(crate) async fn message(&mut self, room: RoomId, text: &str, request: &str) {
        let payload = json!({"roomId": room.to_string(), "content": text});
        let frame = json!({"type": "message", "requestId": request, "payload": payload});
        self.send(&frame).await;
    }
}

/// A timeline event as a client got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) room: RoomId,
    pub(crate) seq: u64,
    pub(crate) offset: Offset,
}

impl Seen {
    /// `None` for frames that are no events.
    pub(crate) fn of(frame: &Value) -> Option<Self> {
        let payload = &frame["payload"];
        let position: Position = payload["position"].as_str()?.parse().unwrap();
        if frame["type"] == "ack" {
            return None;
        }
        Some(Self {
            room: payload["roomId"].as_str()?.parse().unwrap(),
            seq: payload["seq"].as_u64()?,
            offset: position.offset,
        })
    }
}
