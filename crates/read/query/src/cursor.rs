//! Cursors: where a page ended, as text that only this role reads.
//!
//! A version, the kind of list, and its sort key, in base64url without padding. The first byte
//! makes every cursor begin with a letter, so none can be taken for a seq. There is one text per
//! cursor; any other is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use klatch_domain::{Rejection, RoomId, Seq, Timestamp, UserId};

const VERSION: u8 = 1;
/// Longest name in a cursor: 100 characters, lowered to at most three of four bytes each.
const NAME_BYTES_MAX: usize = 1_200;

/// Where a page ended: the sort key of its last item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// History, going to older messages.
    Before(Seq),
    /// History, going to newer messages.
    After(Seq),
    /// Joined rooms, by latest activity.
    Active(Timestamp, RoomId),
    /// Public rooms, by id.
    Room(RoomId),
    /// Members, by id.
    Member(UserId),
    /// Users, by name.
    Name(String, UserId),
}

/// The refusal of every text that is no cursor of its list.
pub(crate) const REFUSED: Rejection = Rejection::InvalidField("cursor");

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        match self {
            Self::Before(seq) => put(&mut bytes, b'b', &[&seq.0.to_be_bytes()]),
            Self::After(seq) => put(&mut bytes, b'a', &[&seq.0.to_be_bytes()]),
            Self::Active(at, room) => {
                put(&mut bytes, b'j', &[&at.0.to_be_bytes(), &room.to_bytes()]);
            }
            Self::Room(room) => put(&mut bytes, b'r', &[&room.to_bytes()]),
            Self::Member(user) => put(&mut bytes, b'm', &[&user.to_bytes()]),
            Self::Name(name, user) => put(&mut bytes, b'n', &[&user.to_bytes(), name.as_bytes()]),
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// # Errors
    /// [`REFUSED`] for anything but what `encode` makes.
    pub(crate) fn decode(text: &str) -> Result<Self, Rejection> {
        if text.len() > 2 * NAME_BYTES_MAX {
            return Err(REFUSED);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| REFUSED)?;
        parse(&bytes).ok_or(REFUSED)
    }
}

fn put(bytes: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    bytes.push(kind);
    for part in parts {
        bytes.extend_from_slice(part);
    }
}

fn parse(bytes: &[u8]) -> Option<Cursor> {
    let (&[version, kind], rest) = bytes.split_first_chunk()?;
    if version != VERSION {
        return None;
    }
    match kind {
        b'b' => Some(Cursor::Before(Seq(u64::from_be_bytes(rest.try_into().ok()?)))),
        b'a' => Some(Cursor::After(Seq(u64::from_be_bytes(rest.try_into().ok()?)))),
        b'j' => {
            let (at, room) = rest.split_first_chunk()?;
            let room = RoomId::from_bits(bits(room)?);
            Some(Cursor::Active(Timestamp(u64::from_be_bytes(*at)), room))
        }
        b'r' => Some(Cursor::Room(RoomId::from_bits(bits(rest)?))),
        b'm' => Some(Cursor::Member(UserId::from_bits(bits(rest)?))),
        b'n' => {
            let (user, name) = rest.split_first_chunk::<16>()?;
            let name = std::str::from_utf8(name).ok()?;
            let fits = name.len() <= NAME_BYTES_MAX;
            fits.then(|| {
                Cursor::Name(name.to_owned(), UserId::from_bits(u128::from_be_bytes(*user)))
            })
        }
        _ => None,
    }
}

fn bits(bytes: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_cursor() -> impl Strategy<Value = Cursor> {
        prop_oneof![
            any::<u64>().prop_map(|n| Cursor::Before(Seq(n))),
            any::<u64>().prop_map(|n| Cursor::After(Seq(n))),
            any::<(u64, u128)>()
                .prop_map(|(at, id)| Cursor::Active(Timestamp(at), RoomId::from_bits(id))),
            any::<u128>().prop_map(|id| Cursor::Room(RoomId::from_bits(id))),
            any::<u128>().prop_map(|id| Cursor::Member(UserId::from_bits(id))),
            (".{0,100}", any::<u128>())
                .prop_map(|(name, id)| Cursor::Name(name, UserId::from_bits(id))),
        ]
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back_and_is_never_taken_for_a_seq(cursor in any_cursor()) {
            let text = cursor.encode();
            prop_assert!(!text.starts_with(|c: char| c.is_ascii_digit()));
            prop_assert_eq!(Cursor::decode(&text), Ok(cursor));
        }

        #[test]
        fn a_text_that_reads_is_the_only_one_for_its_cursor(text in "A[A-Za-z0-9_=-]{0,40}") {
            if let Ok(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }

    #[test]
    fn absurd_cursors_are_refused() {
        let good = Cursor::Before(Seq(7)).encode();
        let longer = format!("{good}AA");
        let padded = format!("{good}==");
        let other_version = URL_SAFE_NO_PAD.encode([2, b'b', 0, 0, 0, 0, 0, 0, 0, 7]);
        let other_kind = URL_SAFE_NO_PAD.encode([1, b'?', 0, 0, 0, 0, 0, 0, 0, 7]);
        let huge = "A".repeat(100_000);
        let shorter = &good[..good.len() - 1];
        for bad in
            ["", "7", "A", shorter, &longer, &padded, &other_version, &other_kind, "A B", &huge]
        {
            assert_eq!(Cursor::decode(bad), Err(REFUSED), "{bad:.40}");
        }
    }
}
