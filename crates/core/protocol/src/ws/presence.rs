//! Presence and typing, both ways: without seq, the newest counts, never replayed.

use bytes::Bytes;
use klatch_domain::presence::{Presence, Status};
use klatch_domain::{MessageId, RoomId, UserId};
use klatch_ports::api::presence::StatusWords;
use serde::{Deserialize, Serialize};

use super::client::{Refusal, Request, id, invalid};
use super::server::{Shown, framed};
use crate::rest::decode::nullable;
use crate::rest::presence::PresenceBody;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TypingPayload {
    room_id: String,
    /// Threads have no typing of their own.
    thread_id: Option<String>,
    is_typing: bool,
}

pub(super) fn typing_word(payload: &TypingPayload) -> Result<Request, Refusal> {
    let TypingPayload { room_id, thread_id, is_typing } = payload;
    if let Some(thread) = thread_id {
        id::<MessageId>(thread, "threadId")?;
    }
    Ok(Request::Typing(id(room_id, "roomId")?, *is_typing))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three different wishes")]
pub(super) struct PresencePayload {
    status: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    text: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    emoji: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    expires_at: Option<Option<String>>,
}

pub(super) fn device_presence(payload: PresencePayload) -> Result<Request, Refusal> {
    let PresencePayload { status, text, emoji, expires_at } = payload;
    let read = |word: String| Status::parse(&word).ok_or_else(|| invalid("status"));
    let status = status.map(read).transpose()?;
    let has_words = text.is_some() || emoji.is_some() || expires_at.is_some();
    if status.is_none() && !has_words {
        return Err(("invalid_payload", "say a status, a text or an emoji".to_owned()));
    }
    let until = expires_at.flatten().map(|text| id(&text, "expiresAt")).transpose()?;
    let words = StatusWords { text: text.flatten(), emoji: emoji.flatten(), until };
    Ok(Request::Presence(status, has_words.then_some(words)))
}

#[derive(Serialize)]
struct Notice<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: T,
}

/// `presence`: the user as others see them now. The same bytes for everyone who asked.
pub fn presence(user: UserId, presence: &Presence) -> Bytes {
    framed(&Notice { kind: "presence", payload: PresenceBody::of(user, presence) })
}

/// `typing`: someone types in the room, or has stopped.
pub fn typing(room: RoomId, user: UserId, is_typing: bool) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        room_id: Shown<RoomId>,
        user_id: Shown<UserId>,
        is_typing: bool,
    }
    let payload = Payload { room_id: Shown(room), user_id: Shown(user), is_typing };
    framed(&Notice { kind: "typing", payload })
}

#[cfg(test)]
mod tests {
    use crate::ws::client::{ClientFrame, FrameError, parse};

    use super::*;

    const ROOM: &str = "0192f7a0-5c3e-7abc-8def-0123456789ab";

    fn read(kind: &str, payload: &str) -> Result<Request, FrameError> {
        let text = format!(r#"{{"type":"{kind}","payload":{payload}}}"#);
        parse(&text).map(|ClientFrame { request, .. }| request)
    }

    #[test]
    fn typing_is_read_with_and_without_a_thread() {
        let room: RoomId = ROOM.parse().unwrap();
        let plain = format!(r#"{{"roomId":"{ROOM}","isTyping":true}}"#);
        assert_eq!(read("typing", &plain).unwrap(), Request::Typing(room, true));
        let thread = format!(r#"{{"roomId":"{ROOM}","threadId":"{ROOM}","isTyping":false}}"#);
        assert_eq!(read("typing", &thread).unwrap(), Request::Typing(room, false));
        for (bad, code) in [
            ("{}", "invalid_payload"),
            (r#"{"roomId":"x","isTyping":true}"#, "invalid_field"),
            (&format!(r#"{{"roomId":"{ROOM}"}}"#), "invalid_payload"),
            (&format!(r#"{{"roomId":"{ROOM}","isTyping":1}}"#), "invalid_payload"),
            (&format!(r#"{{"roomId":"{ROOM}","isTyping":true,"x":1}}"#), "invalid_payload"),
            (&format!(r#"{{"roomId":"{ROOM}","threadId":"t","isTyping":true}}"#), "invalid_field"),
        ] {
            assert_eq!(read("typing", bad).expect_err(bad).code, code, "{bad}");
        }
    }

    #[test]
    fn a_device_says_a_status_and_a_person_words() {
        let away = Request::Presence(Some(Status::Away), None);
        assert_eq!(read("presence", r#"{"status":"away"}"#).unwrap(), away);
        let words = |payload| match read("presence", payload).unwrap() {
            Request::Presence(None, Some(words)) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(words(r#"{"text":null}"#), StatusWords::default());
        let said = words(r#"{"text":"out","emoji":"🌴","expiresAt":"2026-01-01T00:00:00Z"}"#);
        assert_eq!((said.text.as_deref(), said.emoji.as_deref()), (Some("out"), Some("🌴")));
        assert!(said.until.is_some());
        for (bad, code) in [
            ("{}", "invalid_payload"),
            (r#"{"status":"busy"}"#, "invalid_field"),
            (r#"{"status":7}"#, "invalid_payload"),
            (r#"{"text":"x","expiresAt":"tomorrow"}"#, "invalid_field"),
            (r#"{"status":"away","userId":"x"}"#, "invalid_payload"),
        ] {
            assert_eq!(read("presence", bad).expect_err(bad).code, code, "{bad}");
        }
    }

    #[test]
    fn frames_say_who_and_how() {
        let user: UserId = ROOM.parse().unwrap();
        let text = |frame: Bytes| String::from_utf8_lossy(&frame[2..]).into_owned();
        let json = text(presence(user, &Presence::default()));
        let wanted =
            format!(r#"{{"type":"presence","payload":{{"userId":"{ROOM}","status":"offline"}}}}"#);
        assert_eq!(json, wanted);
        let json = text(typing(ROOM.parse().unwrap(), user, true));
        assert!(json.ends_with(r#""isTyping":true}}"#), "{json}");
    }
}
