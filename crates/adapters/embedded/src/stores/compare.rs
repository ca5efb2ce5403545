//! Two copies of a read model, row by row: what is on disk, and what the log says.
//!
//! Rows follow from the log alone, whatever commits they came in, so that equal bytes are what
//! "right" means. Cost: one pass over both, a block of rows in memory at a time.

use std::cmp::Ordering;
use std::fmt;

use klatch_domain::{RoomId, UserId};
use klatch_ports::PortResult;
use xxhash_rust::xxh3::Xxh3;

use super::frozen::Told;
use super::{View, layout};

/// How a row differs from what the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It should be there.
    Missing,
    /// It should not be there.
    Surplus,
    /// It says something else.
    Changed,
}

/// A row that is not as the log says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The row's key.
    pub key: Box<[u8]>,
    /// What is wrong with it.
    pub how: How,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Missing => "missing",
            How::Surplus => "surplus",
            How::Changed => "changed",
        };
        write!(f, "{how}  ")?;
        name(&self.key, f)
    }
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Rows that were looked at on disk.
    pub rows: u64,
    /// Rows that differ.
    pub differences: u64,
    /// XXH3-128 over the keys and values of all rows on disk, in their order.
    pub digest: u128,
}

/// After so many rows whoever waits is told how far it is.
const TELL_EVERY: u64 = 1_000;

/// Compares `found` with `expected`, and tells each difference in the order of keys.
pub(super) fn compare(
    found: &View,
    expected: &View,
    differs: &mut dyn FnMut(Difference),
    told: Told<'_>,
) -> PortResult<Compared> {
    let (mut found, mut expected) = (Walk::over(found)?, Walk::over(expected)?);
    let (mut compared, mut hash) = (Compared::default(), Xxh3::new());
    loop {
        let order = match (&found.row, &expected.row) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((left, _)), Some((right, _))) => left.cmp(right),
        };
        let difference = match order {
            Ordering::Less => Some((How::Surplus, &found.row)),
            Ordering::Greater => Some((How::Missing, &expected.row)),
            Ordering::Equal => (found.row != expected.row).then_some((How::Changed, &found.row)),
        };
        if let Some((how, Some((key, _)))) = difference {
            compared.differences += 1;
            differs(Difference { key: Box::from(key.as_ref()), how });
        }
        if order != Ordering::Greater {
            compared.rows += 1;
            if compared.rows.is_multiple_of(TELL_EVERY) {
                told(compared.rows)?;
            }
            found.count_in(&mut hash);
            found.step()?;
        }
        if order != Ordering::Less {
            expected.step()?;
        }
    }
    Ok(Compared { digest: hash.digest128(), ..compared })
}

/// Rows of one store, one after the other.
struct Walk {
    rows: fjall::Iter,
    row: Option<fjall::KvPair>,
}

impl Walk {
    fn over(view: &View) -> PortResult<Self> {
        let mut walk = Self { rows: view.prefix(&[]), row: None };
        walk.step()?;
        Ok(walk)
    }

    fn step(&mut self) -> PortResult<()> {
        self.row = self.rows.next().map(View::pair).transpose()?;
        Ok(())
    }

    fn count_in(&self, hash: &mut Xxh3) {
        if let Some((key, value)) = &self.row {
            count_in(hash, key, value);
        }
    }
}

/// Takes a row into a digest.
pub(super) fn count_in(hash: &mut Xxh3, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        hash.update(&part.len().to_le_bytes());
        hash.update(part);
    }
}

/// What the row with this key is about, for people.
fn name(key: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use layout::{
        ACTIVITY, FORM, HEAD, JOINED, LEFT, MAIN, MEMBER, MESSAGE_EXTERNAL, NEXT_NUMBER, NEXT_ROOM,
        NUMBER, NUMBERED, OTHER, OWNER, POSITION, PUBLIC, ROOM, ROOM_EXTERNAL, ROOM_NUMBER, SPOKE,
        STAY, USER, USER_EXTERNAL,
    };
    let Some((kind, rest)) = key.split_first() else { return f.write_str("a row without a key") };
    let mut rest = Rest(rest);
    match *kind {
        MAIN | OTHER => {
            let (room, seq) = (rest.room(), rest.number(8));
            write!(f, "the message of room {room}, seq {seq}")
        }
        HEAD => write!(f, "the end of room {}", rest.room()),
        MESSAGE_EXTERNAL => write!(f, "the message with external id {:032x}", rest.number(16)),
        ROOM_NUMBER => write!(f, "the number of room {}", rest.room()),
        NUMBERED => write!(f, "the room with number {}", rest.number(4)),
        NEXT_ROOM => f.write_str("the next room's number"),
        JOINED => write!(f, "rooms of user {}, part {}", rest.user(), rest.number(2)),
        LEFT => {
            let (user, _, offset) = (rest.user(), rest.number(2), rest.number(8));
            write!(f, "the leave of user {user} at offset {offset}")
        }
        SPOKE => {
            let (_, level, block) = (rest.number(2), rest.number(1), rest.number(8));
            write!(f, "rooms that spoke in block {block} of level {level}")
        }
        USER => write!(f, "user {}", rest.user()),
        NUMBER => write!(f, "the number of user {}", rest.user()),
        NEXT_NUMBER => f.write_str("the next user's number"),
        ROOM => write!(f, "room {}", rest.room()),
        PUBLIC => write!(f, "room {} in the list of public rooms", rest.room()),
        MEMBER => write!(f, "the stay in room {} of user {}", rest.room(), rest.user()),
        STAY => write!(f, "user {} in the list of room {}", rest.user(), rest.room()),
        OWNER => write!(f, "room {} owned by user {}", rest.room(), rest.user()),
        USER_EXTERNAL => write!(f, "the user with external id {:032x}", rest.number(16)),
        ROOM_EXTERNAL => write!(f, "the room with external id {:032x}", rest.number(16)),
        POSITION => write!(f, "the position in partition {}", rest.number(2)),
        ACTIVITY | FORM => f.write_str("what forms of rows there are"),
        _ => Ok(()),
    }?;
    if rest.0.is_empty() && !matches!(*kind, 14 | 15 | 26.. | 0) {
        return Ok(());
    }
    write!(f, " (key {key:02x?})")
}

/// The bytes of a key that were not named yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn number(&mut self, bytes: usize) -> u128 {
        let (number, rest) = self.0.split_at_checked(bytes).unwrap_or((self.0, &[]));
        self.0 = rest;
        number.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    fn room(&mut self) -> RoomId {
        RoomId::from_bits(self.number(16))
    }

    fn user(&mut self) -> UserId {
        UserId::from_bits(self.number(16))
    }
}
