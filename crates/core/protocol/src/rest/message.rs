//! Messages.

use klatch_domain::message::MessageBody as Words;
use klatch_domain::{ContentType, Message, MessageId};
use klatch_ports::api::commands::{Changed, SendMessage, Sent};
use klatch_ports::api::queries::MessageView;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::decode::{parse_option, word};
use crate::problem::{Code, Problem};

/// A message as history shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Message)]
pub struct MessageBody {
    /// Identity within the room.
    pub message_id: String,
    /// Where.
    pub room_id: String,
    /// Number of the event that brought it.
    pub seq: u64,
    /// Place in the main history; null for what is not shown there.
    pub ordinal: Option<u64>,
    /// Who sent it.
    pub sender_id: String,
    /// Markdown; empty when it was deleted or its sender was erased.
    pub content: String,
    /// `text`, `image`, `file` or `system`.
    pub content_type: &'static str,
    /// What the sender attached for programs; null when nothing.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// The message it answers.
    pub reply_to: Option<String>,
    /// The root of its thread.
    pub thread_id: Option<String>,
    /// When it was accepted, or said originally if imported.
    pub created_at: String,
    /// When it was edited last.
    pub edited_at: Option<String>,
    /// When it was deleted.
    pub deleted_at: Option<String>,
    /// Emoji that people put on it.
    pub reactions: Vec<ReactionBody>,
    /// Ids of its files.
    pub attachments: Vec<String>,
}

/// One emoji on a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Reaction)]
pub struct ReactionBody {
    /// Which.
    pub emoji: String,
    /// How many people put it.
    pub count: u64,
    /// Whether the asker did.
    pub own: bool,
}

impl From<MessageView> for MessageBody {
    fn from(view: MessageView) -> Self {
        let MessageView { message, body } = view;
        let Message {
            id,
            room,
            seq,
            ordinal,
            sender,
            content_type,
            body: _sealed,
            reply_to,
            thread,
            created_at,
            edited,
            deleted,
        } = message;
        let Words { content, metadata, attachments, client_key: _, request_hash: _ } =
            body.unwrap_or_default();
        Self {
            message_id: id.to_string(),
            room_id: room.to_string(),
            seq: seq.0,
            ordinal: ordinal.map(|ordinal| ordinal.0),
            sender_id: sender.to_string(),
            content,
            content_type: content_type.as_str(),
            metadata: RawValue::from_string(metadata).ok(),
            reply_to: reply_to.map(|id| id.to_string()),
            thread_id: thread.map(|id| id.to_string()),
            created_at: created_at.to_string(),
            edited_at: edited.map(|(at, _)| at.to_string()),
            deleted_at: deleted.map(|(at, _)| at.to_string()),
            reactions: Vec::new(),
            attachments,
        }
    }
}

/// A wish to send a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewMessage {
    /// Markdown, at most 40,000 Unicode code points.
    pub content: String,
    /// `text` (default), `image` or `file`.
    pub content_type: Option<String>,
    /// Your own key, at most 64 characters: repeating it within 24 hours creates nothing and
    /// answers as the first time. The header `Idempotency-Key` is the same key.
    pub client_message_id: Option<String>,
    /// The message it answers.
    pub reply_to: Option<String>,
    /// The root of its thread.
    pub thread_id: Option<String>,
    /// Anything for programs: an object of at most 16 KiB.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// Ids of uploaded files.
    #[serde(default)]
    pub attachments: Vec<String>,
}

impl NewMessage {
    /// As the command takes it. `key` is the header `Idempotency-Key`.
    ///
    /// # Errors
    /// `invalid_field`; `idempotency_key_conflict` when both keys were given and differ.
    pub fn into_wish(self, key: Option<String>) -> Result<SendMessage, Problem> {
        let Self {
            content,
            content_type,
            client_message_id,
            reply_to,
            thread_id,
            metadata,
            attachments,
        } = self;
        let content_type = match content_type {
            None => ContentType::Text,
            Some(text) => word(&text, "contentType", ContentType::parse)?,
        };
        Ok(SendMessage {
            content,
            content_type,
            client_key: one_key(client_message_id, key)?,
            reply_to: parse_option(reply_to.as_deref(), "replyTo")?,
            thread: parse_option(thread_id.as_deref(), "threadId")?,
            metadata: object(metadata.as_deref(), "metadata")?,
            attachments,
        })
    }
}

fn one_key(body: Option<String>, header: Option<String>) -> Result<Option<String>, Problem> {
    match (body, header) {
        (Some(body), Some(header)) if body != header => {
            Err(Problem::new(Code::IdempotencyKeyConflict)
                .detail("clientMessageId and Idempotency-Key differ")
                .at("/clientMessageId"))
        }
        (body, header) => Ok(body.or(header)),
    }
}

/// The text of a JSON object without white space around its parts; null and absent are empty.
///
/// Stored texts are put into answers and frames as they are, so they must be readable by every
/// parser: an escaped half of a surrogate pair or a number beyond all measure is refused.
///
/// # Errors
/// `invalid_field` naming `field`.
pub fn object(raw: Option<&RawValue>, field: &str) -> Result<String, Problem> {
    let text = match raw.map(RawValue::get) {
        None | Some("null") => return Ok(String::new()),
        Some(text) => text,
    };
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(_) => Ok(compact(text)),
        Err(_) => Err(Problem::invalid_field(field)),
    }
}

fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|c| {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
            in_string || !matches!(c, ' ' | '\n' | '\r' | '\t')
        })
        .collect()
}

/// An accepted message; also the payload of a WebSocket `ack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentBody {
    /// Its id.
    pub message_id: String,
    /// Where.
    pub room_id: String,
    /// Its number in the room.
    pub seq: u64,
    /// Its place in the main history; null for what is not shown there.
    pub ordinal: Option<u64>,
    /// When it was accepted.
    pub created_at: String,
    /// Where on the log.
    #[schema(example = "m0-5f3a9c21.1234")]
    pub position: String,
    /// The key it was sent with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
}

impl SentBody {
    /// The answer to a send with this key.
    pub fn of(sent: &Sent, key: Option<String>) -> Self {
        let Sent { message, room, seq, ordinal, at, position, replayed: _ } = sent;
        Self {
            message_id: message.to_string(),
            room_id: room.to_string(),
            seq: seq.0,
            ordinal: ordinal.map(|ordinal| ordinal.0),
            created_at: at.to_string(),
            position: position.to_string(),
            client_message_id: key,
        }
    }
}

/// A wish to give a message new words.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessagePatch {
    /// The new words.
    pub content: String,
}

/// An accepted edit or delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageChanged {
    /// Where.
    pub room_id: String,
    /// Which message.
    pub message_id: String,
    /// The change's number in the room.
    pub seq: u64,
    /// When.
    pub at: String,
    /// Where on the log.
    #[schema(example = "m0-5f3a9c21.1234")]
    pub position: String,
}

impl MessageChanged {
    /// The answer about `message`.
    pub fn of(changed: &Changed, message: MessageId) -> Self {
        let Changed { room, seq, at, position } = changed;
        Self {
            room_id: room.to_string(),
            message_id: message.to_string(),
            seq: seq.0,
            at: at.to_string(),
            position: position.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::decode;

    fn wish(body: &str, key: Option<&str>) -> Result<SendMessage, Problem> {
        decode::<NewMessage>(body.as_bytes())?.into_wish(key.map(str::to_owned))
    }

    #[test]
    fn a_message_is_read_whole() {
        let body = r#"{"content":"hi","metadata":{ "a b" : [1, "x\" y"] },"contentType":"image",
            "replyTo":"0192f7a0-5c3e-7abc-8def-0123456789ab","clientMessageId":"k"}"#;
        let wish = wish(body, None).unwrap();
        assert_eq!(wish.metadata, r#"{"a b":[1,"x\" y"]}"#);
        assert_eq!(wish.content_type, ContentType::Image);
        assert_eq!(wish.client_key.as_deref(), Some("k"));
        assert!(wish.reply_to.is_some() && wish.thread.is_none());
    }

    #[test]
    fn header_and_body_are_one_key_or_a_conflict() {
        let with_key = r#"{"content":"x","clientMessageId":"a"}"#;
        assert_eq!(wish(with_key, Some("a")).unwrap().client_key.as_deref(), Some("a"));
        let header = wish(r#"{"content":"x"}"#, Some("h")).unwrap();
        assert_eq!(header.client_key.as_deref(), Some("h"));
        let conflict = wish(with_key, Some("b")).unwrap_err();
        assert_eq!((conflict.code, conflict.status()), (Code::IdempotencyKeyConflict, 400));
    }

    #[test]
    fn metadata_that_some_parser_could_not_read_is_refused() {
        for bad in ["[1]", "1", "\"x\"", "true", r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#] {
            let body = format!(r#"{{"content":"x","metadata":{bad}}}"#);
            let problem = wish(&body, None).unwrap_err();
            assert_eq!(problem.code, Code::InvalidField, "{bad}");
            assert_eq!(problem.errors[0].pointer, "/metadata");
        }
        assert_eq!(wish(r#"{"content":"x","metadata":null}"#, None).unwrap().metadata, "");
    }
}
