//! Entries of the audit log as the SYSTEM stream holds them: a chain, each naming the one before.
//! Fields may be added, never altered.

use klatch_domain::audit::{Act, AuditEntry};
use klatch_domain::user::ServerRole;
use klatch_domain::{RoomId, Timestamp, UserId};
use klatch_ports::Offset;
use klatch_ports::log::NewRecord;

use crate::event::DecodeError;
use crate::system::{self, SystemBody};

/// An entry as a record to append to [`klatch_ports::StreamId::System`], naming the entry before.
pub fn encode(entry: &AuditEntry, previous: Option<Offset>) -> NewRecord {
    let AuditEntry { at, by, act, user, room, object, role } = *entry;
    let bytes = |bits: Option<u128>| bits.map_or_else(Vec::new, |bits| bits.to_be_bytes().to_vec());
    system::encode(SystemBody::Audit(AuditV1 {
        at_ms: at.0,
        by: bytes(by.map(UserId::bits)),
        act: u32::from(act as u8),
        user: bytes(user.map(UserId::bits)),
        room: bytes(room.map(RoomId::bits)),
        object: bytes(object),
        role: role.map_or(0, role_number),
        previous: previous.map_or(0, |previous| previous.0),
    }))
}

/// The entry in a record's body, and the place of the one before it; `None` when the record is
/// another one of the SYSTEM stream.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(body: &[u8]) -> Result<Option<(AuditEntry, Option<Offset>)>, DecodeError> {
    let Some(SystemBody::Audit(wire)) = system::decode(body)? else { return Ok(None) };
    let AuditV1 { at_ms, by, act, user, room, object, role, previous } = wire;
    let bits = |bytes: Vec<u8>, field| match <[u8; 16]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ok(Some(u128::from_be_bytes(bytes))),
        Err(_) if bytes.is_empty() => Ok(None),
        Err(_) => Err(DecodeError::Field(field)),
    };
    let act = u8::try_from(act).ok().and_then(Act::from_number);
    let entry = AuditEntry {
        at: Timestamp(at_ms),
        by: bits(by, "by")?.map(UserId::from_bits),
        act: act.ok_or(DecodeError::Field("act"))?,
        user: bits(user, "user")?.map(UserId::from_bits),
        room: bits(room, "room")?.map(RoomId::from_bits),
        object: bits(object, "object")?,
        role: read_role(role)?,
    };
    Ok(Some((entry, (previous != 0).then_some(Offset(previous)))))
}

fn role_number(role: ServerRole) -> u32 {
    match role {
        ServerRole::Guest => 1,
        ServerRole::Member => 2,
        ServerRole::Admin => 3,
    }
}

fn read_role(number: u32) -> Result<Option<ServerRole>, DecodeError> {
    match number {
        0 => Ok(None),
        1 => Ok(Some(ServerRole::Guest)),
        2 => Ok(Some(ServerRole::Member)),
        3 => Ok(Some(ServerRole::Admin)),
        _ => Err(DecodeError::Field("role")),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuditV1 {
    #[prost(uint64, tag = "1")]
    at_ms: u64,
    #[prost(bytes = "vec", tag = "2")]
    by: Vec<u8>,
    #[prost(uint32, tag = "3")]
    act: u32,
    #[prost(bytes = "vec", tag = "4")]
    user: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    room: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    object: Vec<u8>,
    #[prost(uint32, tag = "7")]
    role: u32,
    #[prost(uint64, tag = "8")]
    previous: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> AuditEntry {
        AuditEntry {
            at: Timestamp(1_700_000_000_123),
            by: Some(UserId::from_bits(2)),
            act: Act::InvitationMade,
            user: Some(UserId::from_bits(3)),
            room: Some(RoomId::from_bits(4)),
            object: Some(5),
            role: Some(ServerRole::Guest),
        }
    }

    fn bare() -> AuditEntry {
        let (at, by) = (Timestamp(7), klatch_domain::audit::By::Operator);
        AuditEntry::new(at, by, Act::KeysRotated)
    }

    #[test]
    fn every_act_survives_the_log() {
        for (number, act) in (1_u8..).zip(Act::ALL) {
            assert_eq!(*act as u8, number, "numbers are never given again");
            for entry in [AuditEntry { act: *act, ..full() }, AuditEntry { act: *act, ..bare() }] {
                for previous in [None, Some(Offset(9))] {
                    let record = encode(&entry, previous);
                    assert_eq!(decode(&record.body), Ok(Some((entry, previous))), "{act:?}");
                }
            }
        }
    }

    /// The bytes of version 1, never to be changed.
    #[test]
    fn golden_entries_still_read_and_are_still_written_alike() {
        const FULL: &[u8] = b"\x08\x01\x5a\x55\x08\xfb\xd0\x95\xff\xbc\x31\
            \x12\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x18\x04\
            \x22\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\
            \x2a\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\
            \x32\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\x38\x01\x40\x09";
        const BARE: &[u8] = b"\x08\x01\x5a\x04\x08\x07\x18\x09";
        assert_eq!(encode(&full(), Some(Offset(9))).body, FULL);
        assert_eq!(decode(FULL), Ok(Some((full(), Some(Offset(9))))));
        assert_eq!(encode(&bare(), None).body, BARE);
        assert_eq!(decode(BARE), Ok(Some((bare(), None))));
    }

    #[test]
    fn what_is_no_entry_is_told_apart_and_what_is_damaged_is_refused() {
        assert_eq!(decode(b"\x08\x01"), Ok(None));
        assert_eq!(decode(b"\x08\x02"), Err(DecodeError::Newer(2)));
        assert_eq!(decode(b"\x08\x01\x5a\x02\x18\x63"), Err(DecodeError::Field("act")));
        let body = encode(&full(), None).body;
        for bit in 0..body.len() * 8 {
            let mut bytes = body.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&bytes);
        }
    }
}
