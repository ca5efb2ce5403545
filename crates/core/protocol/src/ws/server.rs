//! What the server sends besides events: answers and notices to one connection.

use std::fmt::Write as _;

use bytes::Bytes;
use klatch_domain::user::Profile;
use klatch_domain::{ConnectionId, MessageId, RoomId, Seq, Timestamp, UserId};
use klatch_ports::Position;
use klatch_ports::api::commands::{Changed, Sent};
use serde::Serialize;

/// A WebSocket text frame around `json`, unmasked as servers send them.
pub fn frame(json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() + 10);
    frame_header(&mut out, json.len());
    out.extend_from_slice(json);
    out.into()
}

fn frame_header(out: &mut Vec<u8>, length: usize) {
    out.push(0x81);
    if let Ok(short @ 0..=125) = u8::try_from(length) {
        out.push(short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Serialises straight into a text frame: room for the longest header is left in front.
pub(super) fn framed<T: Serialize>(value: &T) -> Bytes {
    const ROOM: usize = 10;
    let mut out = Vec::with_capacity(512);
    out.resize(ROOM, 0);
    // Writing to a Vec and maps with text keys cannot fail.
    if serde_json::to_writer(&mut out, value).is_err() {
        out.truncate(ROOM);
    }
    let mut header = Vec::with_capacity(ROOM);
    frame_header(&mut header, out.len() - ROOM);
    let start = ROOM - header.len();
    if let Some(place) = out.get_mut(start..ROOM) {
        place.copy_from_slice(&header);
    }
    Bytes::from(out).slice(start..)
}

/// The JSON inside an unmasked text frame.
pub(super) fn json_of(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        Some(127) => 10,
        Some(126) => 4,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a, T> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) payload: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
}

/// The limits a client is told at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most bytes in a message the client may send.
    pub max_frame_bytes: usize,
    /// Most code points in a message's content.
    pub max_content_chars: usize,
    /// Most ids in a subscription.
    pub max_subscriptions: usize,
}

/// The first frame of a connection.
#[derive(Clone, Debug)]
pub struct Hello<'a> {
    /// The connection's id.
    pub connection: ConnectionId,
    /// Who the token stands for.
    pub user: UserId,
    /// Their names, if the read model knows them already.
    pub profile: Option<&'a Profile>,
    /// How often the client should be heard, in milliseconds.
    pub heartbeat_ms: u64,
    /// Live events begin after these.
    pub positions: &'a [Position],
    /// Limits.
    pub limits: Limits,
}

/// `hello`.
pub fn hello(hello: &Hello<'_>) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Person<'a> {
        user_id: Shown<UserId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        username: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<&'a str>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload<'a> {
        connection_id: Shown<ConnectionId>,
        user: Person<'a>,
        heartbeat_ms: u64,
        positions: Vec<String>,
        limits: Limits,
    }
    let payload = Payload {
        connection_id: Shown(hello.connection),
        user: Person {
            user_id: Shown(hello.user),
            username: hello.profile.map(|profile| profile.username.as_str()),
            display_name: hello.profile.map(|profile| profile.display_name.as_str()),
        },
        heartbeat_ms: hello.heartbeat_ms,
        positions: hello.positions.iter().map(Position::to_string).collect(),
        limits: hello.limits,
    };
    framed(&Envelope { kind: "hello", payload, request_id: None })
}

/// `ack` of a sent message: the body of the REST answer.
pub fn sent(request_id: Option<&str>, sent: &Sent, client_key: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload<'a> {
        message_id: Shown<MessageId>,
        room_id: Shown<RoomId>,
        seq: u64,
        ordinal: Option<u64>,
        created_at: Shown<Timestamp>,
        position: Shown<Position>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_message_id: Option<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
    }
    let payload = Payload {
        message_id: Shown(sent.message),
        room_id: Shown(sent.room),
        seq: sent.seq.0,
        ordinal: sent.ordinal.map(|ordinal| ordinal.0),
        created_at: Shown(sent.at),
        position: Shown(sent.position),
        client_message_id: client_key,
        replayed: sent.replayed,
    };
    framed(&Envelope { kind: "ack", payload, request_id })
}

/// `ack` of an edit or delete.
pub fn changed(request_id: Option<&str>, changed: &Changed, message: MessageId) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        message_id: Shown<MessageId>,
        room_id: Shown<RoomId>,
        seq: u64,
        position: Shown<Position>,
    }
    let payload = Payload {
        message_id: Shown(message),
        room_id: Shown(changed.room),
        seq: changed.seq.0,
        position: Shown(changed.position),
    };
    framed(&Envelope { kind: "ack", payload, request_id })
}

/// `ack` of a new access token: it ends then.
pub fn renewed(request_id: Option<&str>, expires_at: Timestamp) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        expires_at: Shown<Timestamp>,
    }
    framed(&Envelope {
        kind: "ack",
        payload: Payload { expires_at: Shown(expires_at) },
        request_id,
    })
}

/// `ack` of a subscription: it counts for events from here on.
pub fn subscribed(request_id: Option<&str>, positions: &[Position]) -> Bytes {
    framed(&Envelope { kind: "ack", payload: Positions::of(positions), request_id })
}

/// `room` without a change: the room went on up to `head`, and what came is not sent. `position` is
/// where `head` is: for reads of the room, not to resume from.
pub fn room_notice(room: RoomId, head: Seq, position: Position) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        room_id: Shown<RoomId>,
        head_seq: u64,
        head_position: Shown<Position>,
    }
    let (room_id, head_position) = (Shown(room), Shown(position));
    let payload = Payload { room_id, head_seq: head.0, head_position };
    framed(&Envelope { kind: "room", payload, request_id: None })
}

/// `ack` of a word that is not durable: it was taken.
pub fn taken(request_id: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct Nothing {}
    framed(&Envelope { kind: "ack", payload: Nothing {}, request_id })
}

/// A refusal of one request, in the words of the problem document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorPayload<'a> {
    /// Stable code.
    pub code: &'a str,
    /// In a few words.
    pub title: &'a str,
    /// What exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// `error`.
pub fn error(request_id: Option<&str>, payload: &ErrorPayload<'_>) -> Bytes {
    framed(&Envelope { kind: "error", payload, request_id })
}

/// `pong`: everything up to `positions` was sent before it, or told by a notice.
pub fn pong(request_id: Option<&str>, positions: &[Position]) -> Bytes {
    framed(&Envelope { kind: "pong", payload: Positions::of(positions), request_id })
}

#[derive(Serialize)]
struct Positions {
    positions: Vec<String>,
}

impl Positions {
    fn of(positions: &[Position]) -> Self {
        Self { positions: positions.iter().map(Position::to_string).collect() }
    }
}

/// `invalid`: the positions mean nothing here; take a snapshot.
pub fn invalid(request_id: Option<&str>, reason: &str) -> Bytes {
    #[derive(Serialize)]
    struct Payload<'a> {
        reason: &'a str,
    }
    framed(&Envelope { kind: "invalid", payload: Payload { reason }, request_id })
}

/// Serialises by `Display`, without an allocation of its own.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The serialiser looks for what must be escaped in each piece that it is given.
        let mut whole = Short::default();
        match write!(whole, "{}", self.0) {
            Ok(()) => serializer.serialize_str(whole.text()),
            Err(_) => serializer.collect_str(&self.0),
        }
    }
}

/// A text of at most 48 bytes, as ids, times and positions are.
struct Short {
    bytes: [u8; 48],
    length: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self { bytes: [0; 48], length: 0 }
    }
}

impl Short {
    fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        let end = self.length + piece.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_display_says_however_long_it_is() {
        for length in [0, 1, 47, 48, 49, 200] {
            let text = "\"é".repeat(length).chars().take(length).collect::<String>();
            let json = serde_json::to_string(&Shown(&text)).unwrap();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
        let at = Timestamp(1_790_000_000_007);
        assert_eq!(serde_json::to_string(&Shown(at)).unwrap(), format!("\"{at}\""));
    }

    #[test]
    fn frames_of_every_length_carry_the_right_header() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let json = vec![b' '; length];
            let bytes = frame(&json);
            let header = bytes.len() - length;
            let told = match (bytes[1], header) {
                (n @ 0..=125, 2) => usize::from(n),
                (126, 4) => usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
                (127, 10) => {
                    let told = u64::from_be_bytes(bytes[2..10].try_into().unwrap());
                    usize::try_from(told).unwrap()
                }
                odd => panic!("{odd:?}"),
            };
            assert_eq!((bytes[0], told), (0x81, length));
            let text = "x".repeat(length);
            assert_eq!(framed(&text), frame(format!("\"{text}\"").as_bytes()));
            assert_eq!(json_of(&bytes), json);
        }
    }
}
