//! Keys of the rows. The first byte says what a row is; numbers are big-endian, so that keys sort
//! as they do. A first byte once used never changes its meaning.

use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::{Offset, Partition, PortResult};

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

/// Room → its number, for compressed sets.
pub(super) const ROOM_NUMBER: u8 = 6;
/// Number → room and its partition.
pub(super) const NUMBERED: u8 = 7;
/// → the number the next room gets.
pub(super) const NEXT_ROOM: u8 = 8;
/// User, upper half of numbers → set of rooms they are in.
pub(super) const JOINED: u8 = 9;
/// User, partition, offset → the room they went out of there.
pub(super) const LEFT: u8 = 10;
/// Partition, level, block of the log → set of rooms that spoke in it.
pub(super) const SPOKE: u8 = 11;
/// → nothing; there from the first commit on that kept the rows of kinds 6 to 11.
pub(super) const ACTIVITY: u8 = 12;

/// Both keyspaces: → the form of all rows; rows of another form are forgotten at opening.
pub(super) const FORM: u8 = 13;

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

pub(super) fn numbered(number: u32) -> [u8; 5] {
    let mut key = [NUMBERED; 5];
    write(&mut key, 1, &number.to_be_bytes());
    key
}

/// Key of the numbers of a user's rooms whose upper half is `upper`.
pub(super) fn joined(user: UserId, upper: u16) -> [u8; 19] {
    let mut key = [JOINED; 19];
    write(&mut key, 1, &user.to_bytes());
    write(&mut key, 17, &upper.to_be_bytes());
    key
}

pub(super) fn left(user: UserId, partition: Partition, offset: Offset) -> [u8; 27] {
    let mut key = [LEFT; 27];
    write(&mut key, 1, &user.to_bytes());
    write(&mut key, 17, &partition.0.to_be_bytes());
    write(&mut key, 19, &offset.0.to_be_bytes());
    key
}

pub(super) fn spoke(partition: Partition, level: u8, block: u64) -> [u8; 12] {
    let mut key = [SPOKE; 12];
    write(&mut key, 1, &partition.0.to_be_bytes());
    write(&mut key, 3, &[level]);
    write(&mut key, 4, &block.to_be_bytes());
    key
}

/// The number at the end of a key.
pub(super) fn last_number(key: &[u8]) -> PortResult<u64> {
    let number = key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
    number.ok_or_else(|| corrupt("reading a key", format!("key {key:02x?}")))
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
    last_number(key).map(Seq)
}
