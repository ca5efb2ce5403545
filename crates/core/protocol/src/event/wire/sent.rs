//! The one event that is written and read for every message, without a detour: the same bytes as
//! those of [`super::Envelope`], in one allocation, and read back with a single share of the body.
//!
//! The generated code takes a reference-counted piece of the body for each id and gives it back,
//! in every role that reads the log; these counters are what processors then fight over. Reading
//! here understands what [`write`] writes and nothing else: anything unusual is `None`, and left to
//! the generated code, which says what is wrong with it. Tests hold both to the same answers.

use bytes::{BufMut, Bytes, BytesMut};
use klatch_domain::event::{Change, MessageSent, TimelineEvent};
use klatch_domain::{MessageId, Ordinal, RoomId, Sealed, Seq, Timestamp, UserId};

use super::VERSION;
use super::read::content_type;
use super::write::content_type_number;

/// Number of the field of [`super::Envelope`] that holds a message that was sent.
const MESSAGE_SENT: u32 = 10;
const NUMBER: u32 = 0;
const BYTES: u32 = 2;
/// An id with its tag and its length.
const ID_BYTES: usize = 18;

/// The bytes of an event in which a message was sent.
pub(in crate::event) fn write(event: &TimelineEvent, sent: &MessageSent) -> Bytes {
    let TimelineEvent { room, seq, at, actor, change: _ } = event;
    let MessageSent { id, ordinal, content_type, body, key, external, reply_to, thread } = sent;
    let ordinal = ordinal.map_or(0, |ordinal| ordinal.0);
    let content_type = u64::from(content_type_number(*content_type));
    let ids = [*key, *external, reply_to.map(MessageId::bits), thread.map(MessageId::bits)];
    let sealed_bytes = if body.bytes.is_empty() { 0 } else { piece(body.bytes.len()) };
    let sealed = ID_BYTES + sealed_bytes;
    let message = ID_BYTES
        + number(ordinal)
        + number(content_type)
        + piece(sealed)
        + ids.iter().flatten().count() * ID_BYTES;
    let version = u64::from(VERSION);
    let whole = number(version) + 2 * ID_BYTES + number(seq.0) + number(at.0) + piece(message);

    let mut out = BytesMut::with_capacity(whole);
    put_number(&mut out, 1, version);
    put_id(&mut out, 2, room.bits());
    put_number(&mut out, 3, seq.0);
    put_number(&mut out, 4, at.0);
    put_id(&mut out, 5, actor.bits());
    put_head(&mut out, MESSAGE_SENT, message);
    put_id(&mut out, 1, id.bits());
    put_number(&mut out, 2, ordinal);
    put_number(&mut out, 3, content_type);
    put_head(&mut out, 4, sealed);
    put_id(&mut out, 1, body.person.bits());
    if sealed_bytes > 0 {
        put_head(&mut out, 2, body.bytes.len());
        out.put_slice(&body.bytes);
    }
    for (tag, id) in (5..).zip(ids) {
        if let Some(id) = id {
            put_id(&mut out, tag, id);
        }
    }
    debug_assert_eq!(out.len(), whole);
    out.freeze()
}

/// Bytes of a number with its tag; none for what stands for an absent one.
fn number(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint(value) }
}

/// Bytes of a piece of `length` bytes with its tag and its length.
fn piece(length: usize) -> usize {
    1 + varint(length as u64) + length
}

fn varint(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.put_u8(value.to_le_bytes()[0]);
}

fn put_number(out: &mut BytesMut, tag: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(tag << 3 | NUMBER));
        put_varint(out, value);
    }
}

fn put_head(out: &mut BytesMut, tag: u32, length: usize) {
    put_varint(out, u64::from(tag << 3 | BYTES));
    put_varint(out, length as u64);
}

fn put_id(out: &mut BytesMut, tag: u32, bits: u128) {
    put_head(out, tag, 16);
    out.put_u128(bits);
}

/// The event in `bytes`, if it is one that [`write`] could have written.
pub(in crate::event) fn read(bytes: &Bytes) -> Option<TimelineEvent> {
    read_usual(bytes).ok()
}

/// Not as it is written here.
struct Unusual;

type Usual<T> = Result<T, Unusual>;

fn read_usual(bytes: &Bytes) -> Usual<TimelineEvent> {
    let mut fields = Fields { rest: bytes };
    if fields.number(1)? != u64::from(VERSION) {
        return Err(Unusual);
    }
    let room = RoomId::from_bits(fields.id(2)?);
    let seq = Seq(fields.number(3)?);
    let at = Timestamp(fields.number(4)?);
    let actor = UserId::from_bits(fields.id(5)?);
    let mut message = Fields { rest: fields.piece(MESSAGE_SENT)? };
    fields.end()?;

    let id = MessageId::from_bits(message.id(1)?);
    let ordinal = message.optional(2, Fields::number)?.map(Ordinal);
    let number = u32::try_from(message.number(3)?).map_err(|_| Unusual)?;
    let content_type = content_type(number).map_err(|_| Unusual)?;
    let mut sealed = Fields { rest: message.piece(4)? };
    let key = message.optional(5, Fields::id)?;
    let external = message.optional(6, Fields::id)?;
    let reply_to = message.optional(7, Fields::id)?.map(MessageId::from_bits);
    let thread = message.optional(8, Fields::id)?.map(MessageId::from_bits);
    message.end()?;

    let person = UserId::from_bits(sealed.id(1)?);
    let words = sealed.optional(2, Fields::piece)?;
    sealed.end()?;
    let words = words.map_or_else(Bytes::new, |words| bytes.slice_ref(words));
    let body = Sealed { person, bytes: words };
    let sent = MessageSent { id, ordinal, content_type, body, key, external, reply_to, thread };
    Ok(TimelineEvent { room, seq, at, actor, change: Change::MessageSent(sent) })
}

/// Fields in the order of their numbers.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The field if it comes next.
    fn optional<T>(
        &mut self,
        tag: u32,
        read: impl FnOnce(&mut Self, u32) -> Usual<T>,
    ) -> Usual<Option<T>> {
        match self.rest.first() {
            Some(head) if u32::from(head >> 3) == tag => read(self, tag).map(Some),
            _ => Ok(None),
        }
    }

    /// A number that is not 0: that is written by leaving it out.
    fn number(&mut self, tag: u32) -> Usual<u64> {
        self.head(tag, NUMBER)?;
        match self.varint()? {
            0 => Err(Unusual),
            value => Ok(value),
        }
    }

    fn id(&mut self, tag: u32) -> Usual<u128> {
        let bits = self.piece(tag)?.try_into().map_err(|_| Unusual)?;
        Ok(u128::from_be_bytes(bits))
    }

    /// Bytes, at least one.
    fn piece(&mut self, tag: u32) -> Usual<&'a [u8]> {
        self.head(tag, BYTES)?;
        let length = usize::try_from(self.varint()?).map_err(|_| Unusual)?;
        let (piece, rest) = self.rest.split_at_checked(length).ok_or(Unusual)?;
        self.rest = rest;
        if piece.is_empty() { Err(Unusual) } else { Ok(piece) }
    }

    fn head(&mut self, tag: u32, form: u32) -> Usual<()> {
        if u32::from(self.byte()?) == tag << 3 | form { Ok(()) } else { Err(Unusual) }
    }

    fn varint(&mut self) -> Usual<u64> {
        let mut value = 0;
        // Nine times seven bits: larger ones are not usual.
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unusual)
    }

    fn byte(&mut self) -> Usual<u8> {
        let (byte, rest) = self.rest.split_first().ok_or(Unusual)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn end(&self) -> Usual<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Unusual) }
    }
}

#[cfg(test)]
mod tests {
    use klatch_domain::ContentType;
    use klatch_domain::event::Event;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::super::Envelope;
    use super::*;

    fn any_sealed() -> impl Strategy<Value = Sealed> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..300);
        (any::<u128>(), bytes).prop_map(|(person, bytes)| Sealed {
            person: UserId::from_bits(person),
            bytes: bytes.into(),
        })
    }

    fn any_number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
    }

    fn any_type() -> impl Strategy<Value = ContentType> {
        prop_oneof![
            Just(ContentType::Text),
            Just(ContentType::Image),
            Just(ContentType::File),
            Just(ContentType::System)
        ]
    }

    prop_compose! {
        fn any_sent()(
            id: u128, ordinal in any_number(), content_type in any_type(), body in any_sealed(),
            key: Option<u128>, external: Option<u128>, reply_to: Option<u128>,
            thread: Option<u128>,
        ) -> MessageSent {
            MessageSent {
                id: MessageId::from_bits(id),
                ordinal: (ordinal != 0).then_some(Ordinal(ordinal)),
                content_type, body, key, external,
                reply_to: reply_to.map(MessageId::from_bits),
                thread: thread.map(MessageId::from_bits),
            }
        }
    }

    prop_compose! {
        fn any_event()(
            room: u128, seq in any_number(), at in any_number(), actor: u128, sent in any_sent(),
        ) -> (TimelineEvent, MessageSent) {
            let event = TimelineEvent {
                room: RoomId::from_bits(room),
                seq: Seq(seq),
                at: Timestamp(at),
                actor: UserId::from_bits(actor),
                change: Change::MessageSent(sent.clone()),
            };
            (event, sent)
        }
    }

    fn generated(bytes: &Bytes) -> Option<Event> {
        Envelope::decode(bytes.clone()).ok()?.try_into().ok()
    }

    fn is_usual(event: &TimelineEvent) -> bool {
        event.seq.0 != 0 && [event.seq.0, event.at.0].iter().all(|n| *n < 1 << 63)
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_the_generated_code_writes((event, sent) in any_event()) {
            let bytes = write(&event, &sent);
            let same = Envelope::from(&Event::Timeline(event.clone())).encode_to_vec();
            prop_assert_eq!(&bytes, &same);
            let read = read(&bytes);
            let large = sent.ordinal.is_some_and(|ordinal| ordinal.0 >= 1 << 63);
            if is_usual(&event) && event.at.0 != 0 && !large {
                prop_assert_eq!(read.as_ref(), Some(&event));
            }
            if let Some(read) = read {
                prop_assert_eq!(Some(Event::Timeline(read)), generated(&bytes));
            }
        }

        #[test]
        fn what_is_read_here_of_bent_bytes_the_generated_code_reads_alike(
            (event, sent) in any_event(),
            place: prop::sample::Index,
            byte: u8,
            cut: prop::sample::Index,
            more in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let whole = write(&event, &sent).to_vec();
            let mut bent = whole.clone();
            bent[place.index(whole.len())] = byte;
            let mut longer = whole.clone();
            longer.extend(more);
            for bytes in [bent, whole[..cut.index(whole.len())].to_vec(), longer] {
                let bytes = Bytes::from(bytes);
                if let Some(event) = read(&bytes) {
                    prop_assert_eq!(Some(Event::Timeline(event)), generated(&bytes));
                }
            }
        }
    }
}
