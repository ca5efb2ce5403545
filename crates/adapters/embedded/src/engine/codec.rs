//! Bytes of rows: one byte of version, then numbered fields. A version or word this build does not
//! know is refused, never guessed.

use klatch_domain::user::ServerRole;
use klatch_ports::{PortError, PortResult};

use super::corrupt;

/// The version of every row written now.
pub(crate) const VERSION: u8 = 1;

/// Two halves of an id; absent where there is none.
#[derive(Clone, Copy, PartialEq, ::prost::Message)]
pub(crate) struct Id {
    #[prost(fixed64, tag = "1")]
    high: u64,
    #[prost(fixed64, tag = "2")]
    low: u64,
}

/// A word and its number in rows. Numbers begin at 1 and are never given again.
macro_rules! words {
    ($vis:vis $write:ident, $read:ident, $type:ident, [$($variant:ident = $number:literal),*]) => {
        $vis fn $write(word: $type) -> u32 {
            match word { $($type::$variant => $number),* }
        }

        $vis fn $read(number: u32) -> PortResult<$type> {
            match number {
                $($number => Ok($type::$variant),)*
                other => Err($crate::engine::codec::unreadable(&format!(
                    "{} number {other}",
                    stringify!($type)
                ))),
            }
        }
    };
}
pub(crate) use words;

words!(pub(crate) write_server_role, read_server_role, ServerRole, [
    Guest = 1, Member = 2, Admin = 3
]);

pub(crate) fn unreadable(what: &str) -> PortError {
    corrupt("reading a row", format!("written by a newer build, or damaged: {what}"))
}

/// Replaces what is in `out` by the bytes of `row`.
pub(crate) fn encode(row: &impl prost::Message, out: &mut Vec<u8>) {
    out.clear();
    out.reserve(1 + row.encoded_len());
    out.push(VERSION);
    row.encode_raw(out);
}

pub(crate) fn decode<R: prost::Message + Default>(what: &str, bytes: &[u8]) -> PortResult<R> {
    match bytes.split_first() {
        Some((&VERSION, fields)) => {
            R::decode(fields).map_err(|error| unreadable(&format!("{what}: {error}")))
        }
        Some((version, _)) => Err(unreadable(&format!("{what} of version {version}"))),
        None => Err(unreadable(&format!("{what} without bytes"))),
    }
}

/// All ids are absent or not zero.
pub(crate) fn id(bits: u128) -> Option<Id> {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
    (bits != 0).then(|| Id { high: half(bits >> 64), low: half(bits) })
}

pub(crate) fn bits(id: Option<Id>) -> Option<u128> {
    id.map(|id| u128::from(id.high) << 64 | u128::from(id.low))
}

pub(crate) fn wanted(what: &str, id: Option<Id>) -> PortResult<u128> {
    bits(id).ok_or_else(|| unreadable(&format!("no {what}")))
}
