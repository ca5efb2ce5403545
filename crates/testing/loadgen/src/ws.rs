//! The client's half of RFC 6455, as little as a load needs: upgrade, masked frames out, frames
//! in. No fragments, no extensions; a server that sends them is reported, not served.

use std::time::Duration;

/// The sample key of RFC 6455 §1.3 and its answer: a load needs no fresh nonce.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A frame from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// With its code, 1005 if it has none.
    Close(u16),
}

/// What the start of a buffer is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A whole frame and its length on the wire.
    Frame(Frame<'a>, usize),
    /// More bytes must come.
    Partial,
    /// Not something a server should send.
    Broken(&'static str),
}

/// The upgrade request.
pub(crate) fn upgrade(host: &str, path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization =
        token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: klatch.v1\r\n{authorization}\r\n"
    )
    .into_bytes()
}

/// Reads the answer to the upgrade: its length once it is whole.
///
/// # Errors
/// The answer itself, if it is not 101 or not for our key.
pub(crate) fn upgraded(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    if head.starts_with("HTTP/1.1 101") && head.contains(ACCEPT) {
        return Ok(Some(end + 4));
    }
    let text = String::from_utf8_lossy(bytes);
    Err(text.chars().take(400).collect())
}

/// The status of a refusal, and how long it asks to wait.
pub(crate) fn refusal(answer: &str) -> (u16, Option<Duration>) {
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let wait = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let seconds = name.eq_ignore_ascii_case("retry-after").then_some(value)?;
        seconds.trim().parse().ok().map(Duration::from_secs)
    });
    (status, wait)
}

/// Reads one frame from the start of `bytes`.
pub(crate) fn next(bytes: &[u8]) -> Next<'_> {
    let [first, second, rest @ ..] = bytes else { return Next::Partial };
    if second & 0x80 != 0 {
        return Next::Broken("a masked frame from the server");
    }
    if first & 0xf0 != 0x80 {
        return Next::Broken("a fragment or a reserved bit");
    }
    let (length, start) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [0, 0, 0, 0, a, b, c, d, ..]) => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, 10),
        (127, [_, _, _, _, _, _, _, _, ..]) => return Next::Broken("a frame above 4 GiB"),
        (126 | 127, _) => return Next::Partial,
        (short, _) => (usize::from(short), 2),
    };
    let Some(payload) = bytes.get(start..start + length) else { return Next::Partial };
    let frame = match first & 0x0f {
        1 => Frame::Text(payload),
        8 => Frame::Close(match payload {
            [a, b, ..] => u16::from_be_bytes([*a, *b]),
            _ => 1005,
        }),
        9 => Frame::Ping(payload),
        10 => Frame::Pong,
        _ => return Next::Broken("an opcode that is neither text nor control"),
    };
    Next::Frame(frame, start + length)
}

/// Text frame.
pub(crate) const TEXT: u8 = 1;
/// Pong frame.
pub(crate) const PONG: u8 = 10;

const MASKED: u8 = 0x80;
/// Length in two more bytes.
const MEDIUM: u8 = 0x7e;
/// Length in eight more bytes.
const LONG: u8 = 0x7f;

/// Appends a masked frame.
pub(crate) fn put(out: &mut Vec<u8>, opcode: u8, mask: u32, payload: &[u8]) {
    out.push(0x80 | opcode);
    let length = payload.len();
    if let Ok(short @ 0..=125) = u8::try_from(length) {
        out.push(MASKED | short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(MASKED | MEDIUM);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(MASKED | LONG);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    let mask = mask.to_be_bytes();
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As servers send them.
    fn put_unmasked(out: &mut Vec<u8>, payload: &[u8]) {
        out.push(0x80 | TEXT);
        match payload.len() {
            short @ 0..=125 => out.push(u8::try_from(short).unwrap()),
            medium @ 126..=0xffff => {
                out.push(126);
                out.extend_from_slice(&u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                out.push(127);
                out.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
    }

    #[test]
    fn frames_of_every_length_form_come_back_whole_and_never_from_a_part() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; length];
            let mut wire = Vec::new();
            put_unmasked(&mut wire, &payload);
            assert_eq!(next(&wire), Next::Frame(Frame::Text(&payload), wire.len()));
            for cut in [0, 1, 2, 3, 5, 9, wire.len() - 1] {
                if cut < wire.len() {
                    assert_eq!(next(&wire[..cut]), Next::Partial, "{length} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn a_masked_frame_unmasks_to_its_payload() {
        for length in [0, 5, 126, 66_000] {
            let payload: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
            let mut wire = Vec::new();
            put(&mut wire, TEXT, 0xa1b2_c3d4, &payload);
            assert!(wire[1] & 0x80 != 0);
            let start = wire.len() - payload.len();
            let mask = &wire[start - 4..start];
            assert_eq!(mask, [0xa1, 0xb2, 0xc3, 0xd4]);
            let back: Vec<u8> =
                wire[start..].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(back, payload);
        }
    }

    #[test]
    fn the_rfc_sample_hello_is_read() {
        let wire = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0xff];
        assert_eq!(next(&wire), Next::Frame(Frame::Text(b"Hello"), 7));
    }

    #[test]
    fn control_frames_are_told_apart() {
        assert_eq!(next(&[0x88, 2, 0x0f, 0xac]), Next::Frame(Frame::Close(4012), 4));
        assert_eq!(next(&[0x88, 0]), Next::Frame(Frame::Close(1005), 2));
        assert_eq!(next(&[0x89, 1, b'p']), Next::Frame(Frame::Ping(b"p"), 3));
        assert_eq!(next(&[0x8a, 0]), Next::Frame(Frame::Pong, 2));
    }

    #[test]
    fn what_a_server_must_not_send_is_broken() {
        for wire in [[0x81, 0x80], [0x01, 0x00], [0xc1, 0x00], [0x82, 0x00]] {
            assert!(matches!(next(&wire), Next::Broken(_)), "{wire:x?}");
        }
    }

    #[test]
    fn a_refusal_tells_its_status_and_how_long_to_wait() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\n{}";
        assert_eq!(refusal(answer), (503, Some(Duration::from_secs(7))));
        assert_eq!(refusal("HTTP/1.1 429 x\r\n\r\n"), (429, None));
    }

    #[test]
    fn an_upgrade_is_whole_with_its_empty_line_and_refused_unless_101_for_our_key() {
        let good =
            format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n");
        assert_eq!(upgraded(good.as_bytes()), Ok(Some(good.len())));
        assert_eq!(upgraded(&good.as_bytes()[..good.len() - 1]), Ok(None));
        assert!(upgraded(b"HTTP/1.1 401 Unauthorized\r\n\r\n{}").unwrap_err().contains("401"));
        assert!(upgraded(b"HTTP/1.1 101 x\r\n\r\n").is_err());
    }
}
