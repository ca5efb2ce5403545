//! Presence and typing between instances: keys and values of the KV, subjects and payloads of the
//! bus.
//!
//! | key | value | life |
//! | --- | --- | --- |
//! | `user.{user}.{instance}` | what the devices there come to, a word | two minutes, renewed |
//!
//! `client.presence.{user}` says that one of these changed, or what the person chose, or when they
//! left: whoever wants to know reads it.
//! `client.typing.{room}` carries who types.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use klatch_domain::presence::Status;
use klatch_domain::{RoomId, Seq, UserId};

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
        fn notes_survive_the_bus_and_other_bytes_are_none(
            user in any::<u128>(), is_typing in any::<bool>(), seq in any::<u64>(),
            other in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let changed_seq = Seq(seq);
            let note = TypingNote { user: UserId::from_bits(user), is_typing, changed_seq };
            prop_assert_eq!(TypingNote::decode(note.encode()), Some(note));
            let read = TypingNote::decode(other.clone().into());
            prop_assert!(read.is_none_or(|note| note.encode() == other));
        }
    }
}
