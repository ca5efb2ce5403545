//! RFC 6455 frames as a server meets them, compressed or not (RFC 7692): bytes in, whole messages
//! out.

mod close;
mod deflate;
mod header;
mod mask;
mod parser;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use klatch_protocol::ws::close::CloseCode;

pub use close::{close_echo, close_frame};
pub(crate) use deflate::payload_bytes;
pub use deflate::{PACK_BYTES_MIN, Packer};
pub use parser::Parser;

/// Most bytes in the payload of a control frame.
pub const CONTROL_BYTES_MAX: usize = 125;

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Most bytes in a message, all its fragments together; of a compressed one also when it is
    /// inflated.
    pub message_bytes: u32,
    /// Most fragments of one message, so that empty ones cannot go on for ever.
    pub fragments: u32,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { message_bytes: 64 * 1024, fragments: 1024 }
    }
}

/// Something whole that a peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// Wants a pong with the same bytes.
    Ping(&'a [u8]),
    /// An answer to a ping.
    Pong,
    /// The peer closes, perhaps saying why. Nothing after it counts.
    Close(Option<u16>),
}

/// Whether the receiver of messages wants more of them now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Go,
    /// Not now: leave the rest where it is.
    Stop,
}

/// Why a peer's bytes end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({})", code.number())]
pub struct Violation {
    /// Told to the peer.
    pub code: CloseCode,
    /// Told to the peer, in a few words.
    pub reason: &'static str,
}

impl Violation {
    const fn protocol(reason: &'static str) -> Self {
        Self { code: CloseCode::ProtocolError, reason }
    }
}

fn too_big(reason: &'static str) -> Violation {
    Violation { code: CloseCode::TooBig, reason }
}

/// A pong with the bytes of its ping (cut to what a control frame holds).
pub fn pong_frame(payload: &[u8]) -> Bytes {
    control(header::PONG, payload)
}

/// A ping without bytes.
pub fn ping_frame() -> Bytes {
    Bytes::from_static(&[0x80 | header::PING, 0])
}

fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let payload = payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload);
    let mut out = Vec::with_capacity(2 + payload.len());
    out.push(0x80 | opcode);
    out.push(u8::try_from(payload.len()).unwrap_or(0));
    out.extend_from_slice(payload);
    out.into()
}
