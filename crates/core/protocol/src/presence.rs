//! Presence and typing between instances: keys and values of the KV, subjects and payloads of the
//! bus.
//!
//! | key | value | life |
//! | --- | --- | --- |
//! | `user.{user}.{instance}` | what the devices there come to, a word | two minutes, renewed |
//! | `status.{user}` | what the user chose, JSON | until its end |
//! | `seen.{user}` | when their last device left an instance, milliseconds | thirty days |
//!
//! `client.presence.{user}` says that one of these changed: whoever wants to know reads them.
//! `client.typing.{room}` carries who types.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use klatch_domain::presence::{Choice, Status};
use klatch_domain::{RoomId, Seq, Timestamp, UserId};
use serde::{Deserialize, Serialize};

pub use crate::inbox::presence_key as device_key;

/// Every presence change on the bus.
pub const PRESENCE_SUBJECTS: &str = "client.presence.>";
/// All typing on the bus.
pub const TYPING_SUBJECTS: &str = "client.typing.>";

const TYPING_VERSION: u8 = 1;

/// What all device keys of `user` begin with.
pub fn device_prefix(user: UserId) -> String {
    format!("user.{user}.")
}

/// The key of what `user` chose.
pub fn choice_key(user: UserId) -> String {
    format!("status.{user}")
}

/// The key of when `user` was there last.
pub fn seen_key(user: UserId) -> String {
    format!("seen.{user}")
}

/// The bus subject that says that something about `user` changed.
pub fn presence_subject(user: UserId) -> String {
    format!("client.presence.{user}")
}

/// The bus subject of typing in `room`.
pub fn typing_subject(room: RoomId) -> String {
    format!("client.typing.{room}")
}

/// Whose subject of [`PRESENCE_SUBJECTS`] this is.
pub fn user_of_subject(subject: &str) -> Option<UserId> {
    subject.strip_prefix("client.presence.")?.parse().ok()
}

/// Which room's subject of [`TYPING_SUBJECTS`] this is.
pub fn room_of_subject(subject: &str) -> Option<RoomId> {
    subject.strip_prefix("client.typing.")?.parse().ok()
}

/// The value of a device key.
pub fn device_value(status: Status) -> Bytes {
    Bytes::from_static(status.as_str().as_bytes())
}

/// Reads the value of a device key. A word that is not known is of a newer instance: whoever has a
/// key is there.
pub fn read_device_value(value: &[u8]) -> Status {
    let word = std::str::from_utf8(value).ok().and_then(Status::parse);
    word.unwrap_or(Status::Online)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChoiceValue {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    emoji: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    since: u64,
}

/// The value of a choice key.
pub fn choice_value(choice: &Choice) -> Bytes {
    let Choice { status, text, emoji, until, since } = choice;
    let value = ChoiceValue {
        status: status.map(|status| status.as_str().to_owned()),
        text: text.clone(),
        emoji: emoji.clone(),
        until: until.map(|until| until.0),
        since: since.0,
    };
    // Writing texts and numbers to memory cannot fail.
    serde_json::to_vec(&value).unwrap_or_default().into()
}

/// Reads the value of a choice key; `None` when it is none.
pub fn read_choice_value(value: &[u8]) -> Option<Choice> {
    let value: ChoiceValue = serde_json::from_slice(value).ok()?;
    Some(Choice {
        status: value.status.as_deref().and_then(Status::parse),
        text: value.text,
        emoji: value.emoji,
        until: value.until.map(Timestamp),
        since: Timestamp(value.since),
    })
}

/// The value of a seen key: 48 bits, big-endian. It is kept for everyone who was here this month.
pub fn seen_value(at: Timestamp) -> Bytes {
    let [_, _, bytes @ ..] = at.0.to_be_bytes();
    Bytes::copy_from_slice(&bytes)
}

/// Reads the value of a seen key; `None` when it is none.
pub fn read_seen_value(value: &[u8]) -> Option<Timestamp> {
    let bytes = <[u8; 6]>::try_from(value).ok()?;
    Some(Timestamp(bytes.iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))))
}

/// Someone types, or has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypingNote {
    /// Who.
    pub user: UserId,
    /// Whether they type.
    pub is_typing: bool,
    /// The newest change of the room or its members when this was allowed: whoever knows the
    /// members as of then, or later, need not ask again.
    pub changed_seq: Seq,
}

impl TypingNote {
    /// The note as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + 16 + 1 + 8);
        out.put_u8(TYPING_VERSION);
        out.put_u128(self.user.bits());
        out.put_u8(u8::from(self.is_typing));
        out.put_u64(self.changed_seq.0);
        out.freeze()
    }

    /// The note in `bytes`; `None` when it is none.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() != 1 + 16 + 1 + 8 || bytes.get_u8() != TYPING_VERSION {
            return None;
        }
        let user = UserId::from_bits(bytes.get_u128());
        let is_typing = match bytes.get_u8() {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { user, is_typing, changed_seq: Seq(bytes.get_u64()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn subjects_and_keys_of_one_thing_name_it() {
        let user: UserId = "0192f7a0-5c3e-7abc-8def-0123456789ab".parse().unwrap();
        let room: RoomId = "0192f7a0-5c3e-7abc-8def-0123456789ac".parse().unwrap();
        assert_eq!(user_of_subject(&presence_subject(user)), Some(user));
        assert_eq!(room_of_subject(&typing_subject(room)), Some(room));
        assert!(presence_subject(user).starts_with(PRESENCE_SUBJECTS.trim_end_matches('>')));
        assert!(typing_subject(room).starts_with(TYPING_SUBJECTS.trim_end_matches('>')));
        for odd in ["", "client.presence.", "client.presence.x", "client.typing.7"] {
            assert_eq!((user_of_subject(odd), room_of_subject(odd)), (None, None), "{odd}");
        }
        let instance = klatch_domain::InstanceId::from_bits(9);
        assert!(device_key(user, instance).starts_with(&device_prefix(user)));
        assert!(!choice_key(user).starts_with("user."), "fan-out watches these");
        assert!(!seen_key(user).starts_with("user."), "fan-out watches these");
    }

    #[test]
    fn whoever_has_a_key_is_there_whatever_it_says() {
        for status in Status::ALL {
            assert_eq!(read_device_value(&device_value(status)), status);
        }
        assert_eq!(read_device_value(b"on a boat"), Status::Online);
        assert_eq!(read_device_value(b"\xff"), Status::Online);
    }

    proptest! {
        #[test]
        fn choices_survive_the_kv(
            status in prop::option::of(prop::sample::select(Status::ALL.to_vec())),
            text in prop::option::of(".{0,20}"),
            emoji in prop::option::of(".{0,4}"),
            until in prop::option::of(any::<u64>()),
            since in any::<u64>(),
        ) {
            let until = until.map(Timestamp);
            let choice = Choice { status, text, emoji, until, since: Timestamp(since) };
            prop_assert_eq!(read_choice_value(&choice_value(&choice)), Some(choice));
        }

        #[test]
        fn notes_survive_the_bus_and_other_bytes_are_none(
            user in any::<u128>(), is_typing in any::<bool>(), seq in any::<u64>(),
            other in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let changed_seq = Seq(seq);
            let note = TypingNote { user: UserId::from_bits(user), is_typing, changed_seq };
            prop_assert_eq!(TypingNote::decode(note.encode()), Some(note));
            let read = TypingNote::decode(other.clone().into());
            prop_assert!(read.is_none_or(|note| note.encode() == other));
            let _ = read_choice_value(&other);
            let _ = read_seen_value(&other);
        }
    }

    #[test]
    fn last_seen_survives_the_kv() {
        let at = Timestamp(1_763_719_445_678);
        assert_eq!(read_seen_value(&seen_value(at)), Some(at));
        assert_eq!(read_seen_value(b"yesterday"), None);
    }
}
