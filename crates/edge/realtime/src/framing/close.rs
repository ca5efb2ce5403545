//! Close frames: reading a peer's, writing our own.

use bytes::Bytes;
use klatch_protocol::ws::close::CloseCode;

use super::{CONTROL_BYTES_MAX, Violation, control, header};

/// A close frame with its code and a reason for people (cut to what a control frame holds).
pub fn close_frame(code: CloseCode, reason: &str) -> Bytes {
    let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(2 + end);
    payload.extend_from_slice(&code.number().to_be_bytes());
    payload.extend_from_slice(reason.get(..end).unwrap_or("").as_bytes());
    control(header::CLOSE, &payload)
}

/// The answer to a peer's close frame: the same code, if it gave one.
pub fn close_echo(code: Option<u16>) -> Bytes {
    code.map_or_else(
        || control(header::CLOSE, &[]),
        |code| control(header::CLOSE, &code.to_be_bytes()),
    )
}

/// The code in a peer's close frame, if it gave one.
pub(super) fn read(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Violation::protocol("half a close code")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Violation::protocol("a close code that must not be sent"));
    }
    if simdutf8::basic::from_utf8(reason).is_err() {
        let reason = "the close reason is not UTF-8";
        return Err(Violation { code: CloseCode::InvalidUtf8, reason });
    }
    Ok(Some(code))
}

/// Codes that RFC 6455 §7.4 and its registry let an endpoint send.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
