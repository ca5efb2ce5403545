//! Typed ids: lower-case `UUIDv7` text without prefix. Identity only; order is seq.

use std::fmt;
use std::str::FromStr;

use crate::clock::{Clock, Entropy, Timestamp};
use crate::message::Seq;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a lower-case UUID of version 7")]
pub struct IdError;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id with these 128 bits; unchecked, for bits that were an id before.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// All 128 bits, most significant first.
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// The bits as sixteen big-endian bytes, which sort like the id.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            /// The time this id carries.
            pub fn time(self) -> Timestamp {
                Timestamp(u64::try_from(self.0 >> 80).unwrap_or(0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_uuid(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A person or a bot.
    UserId
    /// A place where messages are.
    RoomId
    /// A message; unique within its room (the last 40 bits are the room's seq).
    MessageId
    /// A signed-in device.
    SessionId
    /// A running process.
    InstanceId
    /// A WebSocket or Socket.IO connection.
    ConnectionId
    /// An invitation to the server or to one of its rooms.
    InvitationId
    /// A program's token.
    ApiTokenId
}

macro_rules! fresh {
    ($($name:ident)*) => {$(
        impl $name {
            /// A new id at the clock's time.
            pub fn fresh(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self::at(clock.now(), entropy)
            }

            /// A new id that carries `time`.
            pub fn at(time: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(time, u128::from_be_bytes(entropy.bytes16())))
            }
        }
    )*};
}

fresh! { UserId RoomId SessionId InstanceId ConnectionId InvitationId ApiTokenId }

const SEQ_BITS: u32 = 40;
/// The highest seq a room can reach: 2^40 − 1.
pub const MAX_SEQ: u64 = (1 << SEQ_BITS) - 1;
const VERSION_7: u128 = 0x7 << 76;
const VARIANT: u128 = 0b10 << 62;

impl MessageId {
    /// The id of the event `seq` of `room` at `time`.
    ///
    /// The 34 bits between time and seq are a tag hashed from the room's id, so that two rooms
    /// hardly ever make the same id; within a room the id orders as seq does while times do not
    /// go back.
    pub fn new(room: RoomId, seq: Seq, time: Timestamp) -> Self {
        let tag = room_tag(room);
        let high = u128::from(tag >> 22) << 64;
        let low = u128::from(tag & 0x3F_FFFF) << SEQ_BITS;
        let seq = u128::from(seq.0 & MAX_SEQ);
        Self(
            u128::from(time.0.min(Timestamp::MAX.0)) << 80 | VERSION_7 | high | VARIANT | low | seq,
        )
    }

    /// The room's seq this id was made for.
    pub fn seq(self) -> Seq {
        Seq(u64::try_from(self.0 & u128::from(MAX_SEQ)).unwrap_or(0))
    }

    /// Whether this id can be of `room`: false is certain, true is one in 2^34 wrong.
    pub fn may_be_of(self, room: RoomId) -> bool {
        Self::new(room, self.seq(), self.time()) == self
    }
}

/// 34 bits of an FNV-1a hash over the room's bytes, folded so that every bit takes part.
fn room_tag(room: RoomId) -> u64 {
    let hash = room.to_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 34)) & 0x3_FFFF_FFFF
}

fn uuid_v7(time: Timestamp, random: u128) -> u128 {
    let mask = (0xFFF << 64) | ((1 << 62) - 1);
    u128::from(time.0.min(Timestamp::MAX.0)) << 80 | VERSION_7 | VARIANT | (random & mask)
}

fn write_uuid(bits: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let mut text = [b'-'; 36];
    let mut places = text.iter_mut();
    for (index, byte) in bits.to_be_bytes().into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            places.next();
        }
        for (nibble, place) in [byte >> 4, byte & 0xF].into_iter().zip(places.by_ref()) {
            *place = digit(nibble);
        }
    }
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

fn parse_uuid(text: &str) -> Result<u128, IdError> {
    if text.len() != 36 {
        return Err(IdError);
    }
    let mut bits = 0u128;
    for (index, byte) in text.bytes().enumerate() {
        let nibble = match byte {
            b'-' if matches!(index, 8 | 13 | 18 | 23) => continue,
            b'0'..=b'9' if !matches!(index, 8 | 13 | 18 | 23) => byte - b'0',
            b'a'..=b'f' if !matches!(index, 8 | 13 | 18 | 23) => byte - b'a' + 10,
            _ => return Err(IdError),
        };
        bits = bits << 4 | u128::from(nibble);
    }
    let is_v7 = bits & (0xF << 76) == VERSION_7 && bits & (0b11 << 62) == VARIANT;
    is_v7.then_some(bits).ok_or(IdError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn message_id_carries_time_seq_and_room(
            time in 0..=Timestamp::MAX.0,
            seq in 1..=MAX_SEQ,
            room: u128,
        ) {
            let room = RoomId(uuid_v7(Timestamp(time), room));
            let id = MessageId::new(room, Seq(seq), Timestamp(time));
            prop_assert_eq!(id.seq(), Seq(seq));
            prop_assert_eq!(id.time(), Timestamp(time));
            prop_assert!(id.may_be_of(room));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn message_ids_of_a_room_order_as_seq_does(
            time in 0..Timestamp::MAX.0,
            seq in 1..MAX_SEQ,
            later in 0u64..1000,
        ) {
            let room = RoomId(uuid_v7(Timestamp(time), 42));
            let first = MessageId::new(room, Seq(seq), Timestamp(time));
            let second = MessageId::new(room, Seq(seq + 1), Timestamp(time).plus_ms(later));
            prop_assert!(first < second);
            prop_assert!(first.to_string() < second.to_string());
        }
    }

    #[test]
    fn texts_that_are_no_v7_are_refused() {
        let good = "0192f7a0-5c3e-7abc-8def-0123456789ab";
        assert!(good.parse::<UserId>().is_ok());
        for bad in [
            "",
            "0192F7A0-5C3E-7ABC-8DEF-0123456789AB",
            "0192f7a0-5c3e-4abc-8def-0123456789ab",
            "0192f7a0-5c3e-7abc-cdef-0123456789ab",
            "0192f7a05c3e7abc8def0123456789ab----",
            "{192f7a0-5c3e-7abc-8def-0123456789a}",
            "0192f7a0-5c3e-7abc-8def-0123456789ab ",
        ] {
            assert_eq!(bad.parse::<UserId>(), Err(IdError), "{bad}");
        }
    }

    #[test]
    fn an_id_of_another_room_is_told_apart() {
        let room = |n| RoomId(uuid_v7(Timestamp(1), n));
        let id = MessageId::new(room(1), Seq(5), Timestamp(1));
        assert!((2..1000).all(|n| !id.may_be_of(room(n))));
    }
}
