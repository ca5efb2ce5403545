//! What clients send.

use klatch_domain::presence::Status;
use klatch_domain::{ContentType, MessageId, RoomId, Seq};
use klatch_ports::Position;
use klatch_ports::api::commands::SendMessage;
use klatch_ports::api::presence::StatusWords;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::presence::{PresencePayload, TypingPayload, device_presence, typing_word};
use super::subscribe::{AckPayload, SubscribePayload, Subscription, received, subscription};

/// A frame taken apart as far as its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFrame {
    /// Echoed in the answer.
    pub request_id: Option<String>,
    /// What is wanted.
    pub request: Request,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Send a message.
    Message(RoomId, SendMessage),
    /// Give a message new words.
    Edit(RoomId, MessageId, String),
    /// Take a message back.
    Delete(RoomId, MessageId),
    /// Go on after these positions.
    Resume(Vec<Position>),
    /// What to get from now on.
    Subscribe(Subscription),
    /// All of the room's events up to this one have arrived.
    Ack(RoomId, Seq),
    /// The person types in the room, or has stopped.
    Typing(RoomId, bool),
    /// What this device says of its person, and what they say of themselves.
    Presence(Option<Status>, Option<StatusWords>),
    /// A new access token before the old one ends.
    Auth(String),
    /// Is anybody there?
    Ping,
}

/// Why a frame was not understood. The connection stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// Echoed in the answer, if it could be read.
    pub request_id: Option<String>,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong, for a person.
    pub detail: String,
}

/// Most characters in a `requestId`.
pub const REQUEST_ID_CHARS_MAX: usize = 64;
/// Most positions in a `resume`.
pub const RESUME_POSITIONS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MessagePayload<'a> {
    #[serde(borrow)]
    room_id: std::borrow::Cow<'a, str>,
    content: String,
    content_type: Option<String>,
    client_message_id: Option<String>,
    reply_to: Option<String>,
    thread_id: Option<String>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(default)]
    attachments: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EditPayload {
    room_id: String,
    message_id: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeletePayload {
    room_id: String,
    message_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResumePayload {
    positions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthPayload {
    token: String,
}

/// Reads a text frame.
///
/// # Errors
/// [`FrameError`] with one of the codes `malformed_json`, `unknown_type`, `invalid_payload`,
/// `invalid_field`, `invalid_position`, `too_many_subscriptions`.
pub fn parse(text: &str) -> Result<ClientFrame, FrameError> {
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| FrameError {
        request_id: None,
        code: "malformed_json",
        detail: error.to_string(),
    })?;
    let request_id = envelope.request_id.as_deref().map(str::to_owned);
    if request_id.as_ref().is_some_and(|id| id.chars().count() > REQUEST_ID_CHARS_MAX) {
        let detail = format!("requestId has more than {REQUEST_ID_CHARS_MAX} characters");
        return Err(FrameError { request_id: None, code: "invalid_field", detail });
    }
    match request(&envelope.kind, envelope.payload.map_or("{}", RawValue::get)) {
        Ok(request) => Ok(ClientFrame { request_id, request }),
        Err((code, detail)) => Err(FrameError { request_id, code, detail }),
    }
}

pub(super) type Refusal = (&'static str, String);

fn request(kind: &str, payload: &str) -> Result<Request, Refusal> {
    match kind {
        "message" => message(read(payload)?),
        "edit" => {
            let EditPayload { room_id, message_id, content } = read(payload)?;
            Ok(Request::Edit(id(&room_id, "roomId")?, id(&message_id, "messageId")?, content))
        }
        "delete" => {
            let DeletePayload { room_id, message_id } = read(payload)?;
            Ok(Request::Delete(id(&room_id, "roomId")?, id(&message_id, "messageId")?))
        }
        "resume" => resume(&read::<ResumePayload>(payload)?.positions),
        "subscribe" => subscription(&read::<SubscribePayload>(payload)?).map(Request::Subscribe),
        "ack" => received(&read::<AckPayload>(payload)?).map(|(room, seq)| Request::Ack(room, seq)),
        "typing" => typing_word(&read::<TypingPayload>(payload)?),
        "presence" => device_presence(read::<PresencePayload>(payload)?),
        "auth" => Ok(Request::Auth(read::<AuthPayload>(payload)?.token)),
        "ping" => Ok(Request::Ping),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(("unknown_type", format!("there is no frame type {shown:?}")))
        }
    }
}

fn read<'a, T: Deserialize<'a>>(payload: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(payload).map_err(|error| ("invalid_payload", error.to_string()))
}

fn message(payload: MessagePayload<'_>) -> Result<Request, Refusal> {
    let MessagePayload {
        room_id,
        content,
        content_type,
        client_message_id,
        reply_to,
        thread_id,
        metadata,
        attachments,
    } = payload;
    let content_type = match content_type {
        None => ContentType::Text,
        Some(word) => ContentType::parse(&word).ok_or_else(|| invalid("contentType"))?,
    };
    let optional = |text: Option<String>, field| -> Result<Option<MessageId>, Refusal> {
        text.map(|text| id(&text, field)).transpose()
    };
    let message = SendMessage {
        content,
        content_type,
        client_key: client_message_id,
        reply_to: optional(reply_to, "replyTo")?,
        thread: optional(thread_id, "threadId")?,
        metadata: object(metadata)?,
        attachments,
    };
    Ok(Request::Message(id(&room_id, "roomId")?, message))
}

/// The text of a JSON object, in the same form as by REST: a send may be repeated at either door.
fn object(raw: Option<&RawValue>) -> Result<String, Refusal> {
    crate::rest::message::object(raw, "metadata").map_err(|_| invalid("metadata"))
}

fn resume(positions: &[String]) -> Result<Request, Refusal> {
    if positions.len() > RESUME_POSITIONS_MAX {
        return Err(("invalid_position", format!("more than {RESUME_POSITIONS_MAX} positions")));
    }
    let parse = |text: &String| {
        text.parse::<Position>().map_err(|error| ("invalid_position", error.to_string()))
    };
    positions.iter().map(parse).collect::<Result<_, _>>().map(Request::Resume)
}

pub(super) fn id<T: std::str::FromStr>(text: &str, field: &'static str) -> Result<T, Refusal> {
    text.parse().map_err(|_| invalid(field))
}

pub(super) fn invalid(field: &'static str) -> Refusal {
    ("invalid_field", format!("the field {field} is not valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "0192f7a0-5c3e-7abc-8def-0123456789ab";
    const DOCS: &str = include_str!("../../../../../docs/protocol/websocket.md");

    /// The types that [`request`] takes, as its arms name them.
    fn types() -> Vec<&'static str> {
        let source = include_str!("client.rs").split("match kind {").nth(1).unwrap();
        let arms = source.split("other =>").next().unwrap().lines();
        arms.filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>"))
            .map(|it| it.0)
            .collect()
    }

    #[test]
    fn every_type_of_frame_is_in_the_docs_from_which_the_matrix_takes_them() {
        let found = types();
        assert!(found.contains(&"message") && found.contains(&"ping"), "{found:?}");
        let part = DOCS.split("\n## Client to server\n").nth(1).unwrap();
        let part = part.split("\n## ").next().unwrap();
        for kind in found {
            assert!(part.contains(&format!("\n| `{kind}` |")), "{kind} is not in the docs");
        }
    }

    fn code(text: &str) -> &'static str {
        parse(text).expect_err(text).code
    }

    #[test]
    fn a_message_frame_is_read_whole() {
        let text = format!(
            r#"{{"payload":{{"roomId":"{ROOM}","content":"hi\u00e9","metadata":{{"a":1}},
            "clientMessageId":"k"}},"requestId":"7","type":"message"}}"#
        );
        let frame = parse(&text).unwrap();
        assert_eq!(frame.request_id.as_deref(), Some("7"));
        let Request::Message(room, message) = frame.request else { panic!("{frame:?}") };
        assert_eq!(room.to_string(), ROOM);
        assert_eq!(message.content, "hié");
        assert_eq!(message.metadata, r#"{"a":1}"#);
        assert_eq!(message.client_key.as_deref(), Some("k"));
    }

    #[test]
    fn bad_frames_are_named_and_keep_their_request_id() {
        assert_eq!(code(""), "malformed_json");
        assert_eq!(code("[]"), "malformed_json");
        assert_eq!(code(r#"{"type":"nope"}"#), "unknown_type");
        assert_eq!(code(r#"{"type":"ping","extra":1}"#), "malformed_json");
        assert_eq!(code(r#"{"type":"message","payload":{}}"#), "invalid_payload");
        assert_eq!(code(r#"{"type":"message","payload":[1]}"#), "invalid_payload");
        let unknown = format!(
            r#"{{"type":"delete","requestId":"x","payload":{{"roomId":"{ROOM}","messageId":"y"}}}}"#
        );
        let error = parse(&unknown).unwrap_err();
        assert_eq!((error.code, error.request_id.as_deref()), ("invalid_field", Some("x")));
        assert_eq!(
            code(r#"{"type":"resume","payload":{"positions":["m0.1"]}}"#),
            "invalid_position"
        );
        let long = format!(r#"{{"type":"ping","requestId":"{}"}}"#, "x".repeat(65));
        assert_eq!(code(&long), "invalid_field");
    }

    #[test]
    fn metadata_must_be_an_object() {
        for bad in ["[1]", "1", "\"x\"", "true"] {
            let text = format!(
                r#"{{"type":"message","payload":{{"roomId":"{ROOM}","content":"x","metadata":{bad}}}}}"#
            );
            assert_eq!(code(&text), "invalid_field", "{bad}");
        }
    }

    #[test]
    fn metadata_is_checked_and_shaped_as_by_rest() {
        let text = |metadata: &str| {
            format!(
                r#"{{"type":"message","payload":{{"roomId":"{ROOM}","content":"x",
                "metadata":{metadata}}}}}"#
            )
        };
        for bad in [r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#] {
            assert_eq!(code(&text(bad)), "invalid_field", "{bad}");
        }
        let Request::Message(_, message) = parse(&text(r#"{ "a" : "b c" }"#)).unwrap().request
        else {
            panic!("not a message");
        };
        assert_eq!(message.metadata, r#"{"a":"b c"}"#);
    }

    #[test]
    fn deep_nesting_is_refused_without_harm() {
        let deep = format!(r#"{{"type":"ping","payload":{}}}"#, "[".repeat(50_000));
        assert_eq!(code(&deep), "malformed_json");
    }
}
