//! Keys of the rows. The first byte says what a row is; numbers are big-endian, so that keys sort
//! as they do. A first byte once used never changes its meaning.

use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::{Partition, PortResult};

use crate::engine::corrupt;

/// Both keyspaces: partition → how far the rows go.
pub(super) const POSITION: u8 = 1;

/// Room, seq → message with an ordinal.
pub(super) const MAIN: u8 = 2;
/// Room, seq → message without one. Apart, so that a page of history is one range.
pub(super) const OTHER: u8 = 3;
/// Room → head.
pub(super) const HEAD: u8 = 4;
/// External id → room, seq.
pub(super) const MESSAGE_EXTERNAL: u8 = 5;

/// User → user.
pub(super) const USER: u8 = 16;
/// User → number.
pub(super) const NUMBER: u8 = 17;
/// → the number the next user gets.
pub(super) const NEXT_NUMBER: u8 = 18;
/// Room → room.
pub(super) const ROOM: u8 = 19;
/// Room → nothing; for public channels that are not deleted.
pub(super) const PUBLIC: u8 = 20;
/// Room, user → latest stay.
pub(super) const MEMBER: u8 = 21;
/// User, room → stay that has not ended.
pub(super) const STAY: u8 = 22;
/// Room, user → nothing; for owners whose stay has not ended.
pub(super) const OWNER: u8 = 23;
/// External id → user.
pub(super) const USER_EXTERNAL: u8 = 24;
/// External id → room.
pub(super) const ROOM_EXTERNAL: u8 = 25;

pub(super) fn position(partition: Partition) -> [u8; 3] {
    let [high, low] = partition.0.to_be_bytes();
    [POSITION, high, low]
}

pub(super) fn partition_of(key: &[u8]) -> PortResult<Partition> {
    match key {
        [POSITION, high, low] => Ok(Partition(u16::from_be_bytes([*high, *low]))),
        _ => Err(corrupt("reading a position", format!("key {key:02x?}"))),
    }
}

/// Key of the one row of a kind about one thing.
pub(super) fn one(kind: u8, id: u128) -> [u8; 17] {
    let mut key = [kind; 17];
    write(&mut key, 1, &id.to_be_bytes());
    key
}

/// Key of a row about two things.
pub(super) fn two(kind: u8, first: u128, second: u128) -> [u8; 33] {
    let mut key = [kind; 33];
    write(&mut key, 1, &first.to_be_bytes());
    write(&mut key, 17, &second.to_be_bytes());
    key
}

pub(super) fn message(kind: u8, room: RoomId, seq: Seq) -> [u8; 25] {
    let mut key = [kind; 25];
    write(&mut key, 1, &room.to_bytes());
    write(&mut key, 17, &seq.0.to_be_bytes());
    key
}

fn write(key: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in key.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// The id at the end of a key.
pub(super) fn last_id(key: &[u8]) -> PortResult<u128> {
    let id = key.last_chunk::<16>().map(|bytes| u128::from_be_bytes(*bytes));
    id.ok_or_else(|| corrupt("reading a key", format!("key {key:02x?}")))
}

/// The user at the end of a key.
pub(super) fn last_user(key: &[u8]) -> PortResult<UserId> {
    last_id(key).map(UserId::from_bits)
}

/// The room at the end of a key.
pub(super) fn last_room(key: &[u8]) -> PortResult<RoomId> {
    last_id(key).map(RoomId::from_bits)
}

/// The seq at the end of a message's key.
pub(super) fn last_seq(key: &[u8]) -> PortResult<Seq> {
    let seq = key.last_chunk::<8>().map(|bytes| Seq(u64::from_be_bytes(*bytes)));
    seq.ok_or_else(|| corrupt("reading a key", format!("key {key:02x?}")))
}
