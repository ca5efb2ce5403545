//! Dead letters as the SYSTEM stream holds them: what a consumer gave up, and why.
//!
//! A record's body is one protobuf message of the SYSTEM stream. Fields and forms may be added,
//! never altered.

use klatch_domain::limits;
use klatch_ports::log::{Key, Kind, NewRecord};
use klatch_ports::{Epoch, Offset, Partition, Position, StreamId};

use crate::event::DecodeError;
use crate::system::{self, SystemBody};

/// A record that a consumer gave up. The record itself stays where it was in the log; its body is
/// not repeated here, so that nothing has to be erased in two places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Name of the consumer that gave up.
    pub consumer: String,
    /// Where the record is, in the stream the consumer read it through.
    pub position: Position,
    /// What the record belongs to.
    pub key: Key,
    /// What the record is about.
    pub kind: Kind,
    /// Why, in words for an operator; cut to [`limits::DEAD_LETTER_REASON_CHARS_MAX`]. Never holds
    /// a message's words.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// A dead letter as a record to append to [`StreamId::System`], under the key of the record it is
/// about.
pub fn encode(letter: &DeadLetter) -> NewRecord {
    let DeadLetter { consumer, position, key, kind, reason, attempts } = letter;
    let Position { stream, partition, epoch, offset } = *position;
    let wire = DeadLetterV1 {
        consumer: consumer.clone(),
        stream: stream.letter().into(),
        partition: partition.0.into(),
        epoch: epoch.0,
        offset: offset.0,
        key: key.0.to_be_bytes().to_vec(),
        kind: u32::from(*kind as u8),
        reason: reason.chars().take(limits::DEAD_LETTER_REASON_CHARS_MAX).collect(),
        attempts: *attempts,
    };
    system::encode(SystemBody::DeadLetter(wire))
}

/// The dead letter in a record's body; `None` when the record is another one of the SYSTEM stream.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(body: &[u8]) -> Result<Option<DeadLetter>, DecodeError> {
    let Some(SystemBody::DeadLetter(wire)) = system::decode(body)? else { return Ok(None) };
    read(wire).map(Some)
}

fn read(wire: DeadLetterV1) -> Result<DeadLetter, DecodeError> {
    let DeadLetterV1 { consumer, stream, partition, epoch, offset, key, kind, reason, attempts } =
        wire;
    let named = |id: &StreamId| String::from(id.letter()) == stream;
    let stream = StreamId::ALL.into_iter().find(named).ok_or(DecodeError::Field("stream"))?;
    let partition = u16::try_from(partition).map_err(|_| DecodeError::Field("partition"))?;
    let key: [u8; 16] = key.try_into().map_err(|_| DecodeError::Field("key"))?;
    let kind = u8::try_from(kind).ok().and_then(Kind::from_number);
    Ok(DeadLetter {
        consumer,
        position: Position {
            stream,
            partition: Partition(partition),
            epoch: Epoch(epoch),
            offset: Offset(offset),
        },
        key: Key(u128::from_be_bytes(key)),
        kind: kind.ok_or(DecodeError::Field("kind"))?,
        reason,
        attempts,
    })
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeadLetterV1 {
    #[prost(string, tag = "1")]
    consumer: String,
    #[prost(string, tag = "2")]
    stream: String,
    #[prost(uint32, tag = "3")]
    partition: u32,
    #[prost(uint32, tag = "4")]
    epoch: u32,
    #[prost(uint64, tag = "5")]
    offset: u64,
    #[prost(bytes = "vec", tag = "6")]
    key: Vec<u8>,
    #[prost(uint32, tag = "7")]
    kind: u32,
    #[prost(string, tag = "8")]
    reason: String,
    #[prost(uint32, tag = "9")]
    attempts: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            consumer: "message-writer".into(),
            position: "m3-5f3a9c21.77".parse().unwrap(),
            key: Key(9),
            kind: Kind::Edit,
            reason: "edits a message that is not there".into(),
            attempts: 5,
        }
    }

    #[test]
    fn a_dead_letter_survives_the_log() {
        assert_eq!(decode(&encode(&letter()).body), Ok(Some(letter())));
    }

    /// The bytes of version 1, never to be changed.
    #[test]
    fn a_golden_dead_letter_still_reads_and_is_still_written_alike() {
        const GOLDEN: &[u8] = b"\x08\x01\x52\x56\
            \x0a\x0emessage-writer\x12\x01m\x18\x03\x20\xa1\xb8\xea\xf9\x05\x28\x4d\
            \x32\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\x38\x02\
            \x42\x21edits a message that is not there\x48\x05";
        assert_eq!(encode(&letter()).body, GOLDEN);
        assert_eq!(decode(GOLDEN), Ok(Some(letter())));
    }

    #[test]
    fn a_long_reason_is_cut_and_other_system_records_are_told_apart() {
        let long = DeadLetter { reason: "ä".repeat(5_000), ..letter() };
        let read = decode(&encode(&long).body).unwrap().unwrap();
        assert_eq!(read.reason.chars().count(), limits::DEAD_LETTER_REASON_CHARS_MAX);
        assert_eq!(decode(b"\x08\x01"), Ok(None));
        assert_eq!(decode(b"\x08\x02"), Err(DecodeError::Newer(2)));
        assert!(matches!(decode(b"\xff\xff"), Err(DecodeError::Malformed(_))));
    }
}
