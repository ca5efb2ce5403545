//! The first bytes of a frame.

use super::{CONTROL_BYTES_MAX, Violation};

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xA;
/// Says that a message is compressed, on its first frame (RFC 7692 §6).
pub(super) const RESERVED_1: u8 = 0x40;

/// A frame's header, complete and lawful by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether the message ends with this frame.
    pub(super) fin: bool,
    /// What it is.
    pub(super) opcode: u8,
    /// Whether the message that begins here is compressed.
    pub(super) packed: bool,
    /// Key of the mask.
    pub(super) mask: [u8; 4],
    /// Bytes of this header.
    pub(super) size: usize,
    /// Bytes after it.
    pub(super) payload: u64,
}

impl Header {
    /// The header at the start of `bytes`; `None` while it is incomplete.
    ///
    /// Refuses as early as the first two bytes allow, so that nothing unlawful is waited for.
    /// `deflate`: whether messages may be compressed.
    pub(super) fn parse(bytes: &[u8], deflate: bool) -> Result<Option<Self>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let (masked, short) = (second & 0x80 != 0, second & 0x7F);
        let packed = deflate && matches!(opcode, TEXT | BINARY) && first & RESERVED_1 != 0;
        let reserved = if packed { first & 0x30 } else { first & 0x70 };
        check_first(reserved, fin, opcode, usize::from(short))?;
        if !masked {
            return Err(Violation::protocol("frames from clients must be masked"));
        }
        let Some((payload, rest)) = length(short, rest)? else { return Ok(None) };
        let Some(mask) = rest.first_chunk::<4>() else { return Ok(None) };
        let size = bytes.len() - rest.len() + 4;
        Ok(Some(Self { fin, opcode, packed, mask: *mask, size, payload }))
    }

    pub(super) fn is_control(self) -> bool {
        self.opcode & 0x8 != 0
    }
}

fn check_first(reserved: u8, fin: bool, opcode: u8, short: usize) -> Result<(), Violation> {
    if reserved != 0 {
        return Err(Violation::protocol("a reserved bit is set"));
    }
    match opcode {
        CLOSE | PING | PONG if !fin => {
            Err(Violation::protocol("a control frame must not be fragmented"))
        }
        CLOSE | PING | PONG if short > CONTROL_BYTES_MAX => {
            Err(Violation::protocol("a control frame holds at most 125 bytes"))
        }
        CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => Ok(()),
        _ => Err(Violation::protocol("a reserved opcode")),
    }
}

/// The payload's length and what follows it; `None` while it is incomplete.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, rest, least) = match short {
        126 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), rest, 126)
        }
        127 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), rest, 65_536)
        }
        short => (u64::from(short), rest, 0),
    };
    if length < least || length > u64::MAX / 2 {
        return Err(Violation::protocol("a length is not in its shortest form"));
    }
    Ok(Some((length, rest)))
}
