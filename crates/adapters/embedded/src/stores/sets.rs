//! Bytes of the rows that hold compressed sets of room numbers: one byte of version, then the set.

use klatch_domain::{RoomId, Timestamp};
use klatch_ports::{Partition, PortResult};
use roaring::RoaringBitmap;

use crate::engine::codec::{VERSION, unreadable};

/// Levels of blocks above the first.
pub(super) const TOP: u8 = 4;
/// A block of the first level is 64 records of the log, one of each further level 16 of those
/// below: 1,024, 16,384, 262,144 and 4,194,304 records.
const FIRST_BITS: u32 = 6;
const LEVEL_BITS: u32 = 4;
/// Blocks that make one of the next level.
pub(super) const CHILDREN: u64 = 1 << LEVEL_BITS;

/// Records of a block of a level, as a power of two.
pub(super) fn bits(level: u8) -> u32 {
    FIRST_BITS + LEVEL_BITS * u32::from(level)
}

/// Which rooms spoke in a piece of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Block {
    /// No event before this block is of a later time.
    pub(super) before: Timestamp,
    /// No event up to its end is of a later time.
    pub(super) newest: Timestamp,
    pub(super) rooms: RoaringBitmap,
}

impl Block {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(17 + self.rooms.serialized_size());
        out.push(VERSION);
        out.extend_from_slice(&self.before.0.to_be_bytes());
        out.extend_from_slice(&self.newest.0.to_be_bytes());
        write(&self.rooms, &mut out);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> PortResult<Self> {
        let (times, rooms) = versioned(bytes)?.split_at_checked(16).ok_or_else(cut)?;
        let (before, newest) = times.split_at(8);
        Ok(Self { before: time(before)?, newest: time(newest)?, rooms: read(rooms)? })
    }
}

pub(super) fn encode_set(set: &RoaringBitmap) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + set.serialized_size());
    out.push(VERSION);
    write(set, &mut out);
    out
}

pub(super) fn decode_set(bytes: &[u8]) -> PortResult<RoaringBitmap> {
    read(versioned(bytes)?)
}

pub(super) fn encode_numbered(room: RoomId, partition: Partition) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&room.to_bytes());
    out.extend_from_slice(&partition.0.to_be_bytes());
    out
}

pub(super) fn decode_numbered(bytes: &[u8]) -> PortResult<(RoomId, Partition)> {
    let (room, partition) = versioned(bytes)?.split_first_chunk::<16>().ok_or_else(cut)?;
    let partition = <[u8; 2]>::try_from(partition).map_err(|_| cut())?;
    let room = RoomId::from_bits(u128::from_be_bytes(*room));
    Ok((room, Partition(u16::from_be_bytes(partition))))
}

fn versioned(bytes: &[u8]) -> PortResult<&[u8]> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((version, _)) => Err(unreadable(&format!("set of version {version}"))),
        None => Err(cut()),
    }
}

fn cut() -> klatch_ports::PortError {
    unreadable("a set that is cut off")
}

fn time(bytes: &[u8]) -> PortResult<Timestamp> {
    let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| cut())?;
    Ok(Timestamp(u64::from_be_bytes(bytes)))
}

fn write(set: &RoaringBitmap, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail; what is not whole is refused when it is read.
    if set.serialize_into(&mut *out).is_err() {
        out.clear();
    }
}

fn read(bytes: &[u8]) -> PortResult<RoaringBitmap> {
    RoaringBitmap::deserialize_from(bytes).map_err(|error| unreadable(&format!("set: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read_back_and_cut_or_foreign_ones_are_refused() {
        let rooms: RoaringBitmap = (0..5_000).chain(70_000..70_003).collect();
        let (before, newest) = (Timestamp(7), Timestamp(9));
        let block = Block { before, newest, rooms: rooms.clone() };
        let bytes = block.encode();
        assert_eq!(Block::decode(&bytes).ok(), Some(block));
        assert_eq!(decode_set(&encode_set(&rooms)).ok(), Some(rooms));
        for length in [0, 1, 10, 17, bytes.len() - 1] {
            assert!(Block::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert!(decode_set(&[VERSION + 1, 0]).is_err());
        let numbered = (RoomId::from_bits(5), Partition(3));
        assert_eq!(decode_numbered(&encode_numbered(numbered.0, numbered.1)).ok(), Some(numbered));
    }
}
