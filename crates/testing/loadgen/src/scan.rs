//! Finds the few fields a load needs in a frame's JSON, without parsing the rest.
//!
//! The texts of the load hold no quotes, so `"seq":` in a frame is the key and nothing else. The
//! usual order of keys is tried first; any other order costs a search, not a mistake.

/// What a text frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// A timeline event: anything with a room and a seq of its own.
    Event {
        room: &'a [u8],
        seq: u64,
        mark: Option<Mark>,
    },
    Ack {
        request: &'a [u8],
        position: &'a [u8],
    },
    Error {
        request: &'a [u8],
        code: &'a [u8],
    },
    Hello,
    Pong,
    /// The answer to a resume, with its tier.
    Resumed(&'a [u8]),
    /// A resume's positions mean nothing to the server.
    Invalid,
    /// Told instead of bodies: the room has gone on.
    Notice,
    /// Presence, receipts and so on.
    Other,
}

/// What the load writes at the start of each text: which of its messages it is, and when it was
/// sent (nanoseconds since the run's start).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) slot: u32,
    pub(crate) turn: u32,
    pub(crate) sent: u64,
}

impl Mark {
    /// As it stands in the text, padded with letters to `length`.
    pub(crate) fn text(self, length: usize) -> String {
        let Self { slot, turn, sent } = self;
        let mut text = format!("k{slot}.{turn}t{sent};");
        let missing = length.saturating_sub(text.len());
        text.extend("the quick brown fox jumps over the lazy dog ".chars().cycle().take(missing));
        text
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"k")?;
        let (slot, rest) = number(rest)?;
        let (turn, rest) = number(rest.strip_prefix(b".")?)?;
        let (sent, rest) = number(rest.strip_prefix(b"t")?)?;
        rest.strip_prefix(b";")?;
        Some(Self { slot: u32::try_from(slot).ok()?, turn: u32::try_from(turn).ok()?, sent })
    }
}

/// Reads a text frame.
pub(crate) fn frame(bytes: &[u8]) -> Said<'_> {
    let Some(kind) = text_after(bytes, b"\"type\":") else { return Said::Other };
    match kind {
        b"ack" => Said::Ack {
            request: text_after(bytes, b"\"requestId\":").unwrap_or_default(),
            position: text_after(bytes, b"\"position\":").unwrap_or_default(),
        },
        b"error" => Said::Error {
            request: text_after(bytes, b"\"requestId\":").unwrap_or_default(),
            code: text_after(bytes, b"\"code\":").unwrap_or_default(),
        },
        b"hello" => Said::Hello,
        b"pong" => Said::Pong,
        b"resumed" => Said::Resumed(text_after(bytes, b"\"tier\":").unwrap_or_default()),
        b"invalid" => Said::Invalid,
        b"message" | b"edit" | b"delete" | b"reaction" | b"pin" | b"member" | b"room" => {
            let room = text_after(bytes, b"\"roomId\":");
            let seq = value_after(bytes, b"\"seq\":").and_then(number);
            match (room, seq) {
                (Some(room), Some((seq, _))) => {
                    let content = value_after(bytes, b"\"content\":\"");
                    Said::Event { room, seq, mark: content.and_then(Mark::parse) }
                }
                (Some(_), None) if find(bytes, b"\"headSeq\":").is_some() => Said::Notice,
                _ => Said::Other,
            }
        }
        _ => Said::Other,
    }
}

/// The place in the log that a frame names, before and after its last dot: an event's own, or the
/// first of a list.
pub(crate) fn place(bytes: &[u8]) -> Option<(&[u8], u64)> {
    let own = text_after(bytes, b"\"position\":");
    let listed = || {
        let list = value_after(bytes, b"\"positions\":")?.strip_prefix(b"[\"")?;
        list.get(..list.iter().position(|byte| *byte == b'"')?)
    };
    let position = own.or_else(listed)?;
    let dot = position.iter().rposition(|byte| *byte == b'.')?;
    let (offset, _) = number(position.get(dot + 1..)?)?;
    Some((position.get(..dot)?, offset))
}

/// Digits, and what follows them.
pub(crate) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at_checked(length)?;
    let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((value, rest))
}

/// What follows a key, spaces skipped.
fn value_after<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = find(bytes, key)? + key.len();
    let rest = bytes.get(at..)?;
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    rest.get(spaces..)
}

/// The string that follows a key; none with escapes is looked for.
fn text_after<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let text = value_after(bytes, key)?.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    text.get(..end)
}

/// The first place of a key. Compares whole keys only at quotes, which are rare.
fn find(bytes: &[u8], key: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(rest) = bytes.get(from..) {
        let at = from + rest.iter().position(|byte| *byte == b'"')?;
        if bytes.get(at..)?.starts_with(key) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_gives_room_seq_and_mark_in_any_order_of_keys() {
        let mark = Mark { slot: 7, turn: 3, sent: 123_456_789 };
        let text = mark.text(60);
        assert_eq!(text.len(), 60);
        let usual = format!(
            r#"{{"type":"message","payload":{{"roomId":"r-1","seq":42,"position":"m0-a.9","ordinal":4,"content":"{text}"}}}}"#
        );
        let other = format!(
            r#"{{"payload": {{"content":"{text}","targetSeq":9,"headSeq":8,"seq": 42,"roomId": "r-1"}},"type": "message"}}"#
        );
        for json in [usual, other] {
            let expected = Said::Event { room: b"r-1", seq: 42, mark: Some(mark) };
            assert_eq!(frame(json.as_bytes()), expected);
        }
    }

    #[test]
    fn acks_and_errors_give_their_request() {
        let ack = br#"{"type":"ack","requestId":"5.1","payload":{"seq":3,"position":"m0-1.7"}}"#;
        assert_eq!(frame(ack), Said::Ack { request: b"5.1", position: b"m0-1.7" });
        let error = br#"{"type":"error","requestId":"5.2","payload":{"code":"rate_limited"}}"#;
        assert_eq!(frame(error), Said::Error { request: b"5.2", code: b"rate_limited" });
    }

    #[test]
    fn events_hellos_and_resumes_name_their_place_in_the_log() {
        let event = br#"{"type":"message","payload":{"roomId":"r","seq":3,"position":"m0-1.7"}}"#;
        let resumed = br#"{"type":"resumed","payload":{"tier":"replay","positions":["m0-1.42"]}}"#;
        assert_eq!(place(event), Some((&b"m0-1"[..], 7)));
        assert_eq!(place(resumed), Some((&b"m0-1"[..], 42)));
        assert_eq!(frame(resumed), Said::Resumed(b"replay"));
        assert_eq!(place(br#"{"type":"pong"}"#), None);
        assert_eq!(frame(br#"{"type":"invalid","payload":{"reason":"x"}}"#), Said::Invalid);
    }

    #[test]
    fn events_without_a_seq_of_their_own_and_texts_of_others_have_no_mark() {
        let light = br#"{"type":"room","payload":{"roomId":"r","headSeq":7}}"#;
        assert_eq!(frame(light), Said::Notice);
        let foreign = br#"{"type":"message","payload":{"roomId":"r","seq":1,"content":"kind"}}"#;
        assert_eq!(frame(foreign), Said::Event { room: b"r", seq: 1, mark: None });
        assert_eq!(frame(b"{}"), Said::Other);
        assert_eq!(frame(br#"{"type":"hello","payload":{}}"#), Said::Hello);
    }
}
