//! What the bare server does for a connection: reads an upgrade, checks its token, says hello.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::identity::{self, BARE_SECRET};

/// What RFC 6455 §1.3 appends to the client's key.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// No request of the load is longer.
const HEAD_BYTES_MAX: usize = 4096;
/// About as long as a real one.
const HELLO: &str = concat!(
    r#"{"type":"hello","payload":{"connectionId":"00000000-0000-7000-8000-000000000000","#,
    r#""user":{"userId":"00000000-0000-7000-8000-000000000000","username":"bench-u0","#,
    r#""displayName":"bench-u0"},"heartbeatMs":30000,"positions":["m0-0.0"],"limits":"#,
    r#"{"maxFrameBytes":65536,"maxContentChars":40000,"maxSubscriptions":1000}}}"#
);

/// What is to be said to a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The request is not whole yet.
    Wait,
    Welcome(Vec<u8>),
    Refuse,
}

/// Whether these bytes begin an upgrade rather than words of the bench's own.
pub(crate) fn is_request(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GET ")
}

/// Reads a request from its start.
pub(crate) fn answer(bytes: &[u8], unix_seconds: u64) -> Answer {
    if !bytes.ends_with(b"\r\n\r\n") {
        return if bytes.len() < HEAD_BYTES_MAX { Answer::Wait } else { Answer::Refuse };
    }
    welcome(bytes, unix_seconds).map_or(Answer::Refuse, Answer::Welcome)
}

fn welcome(bytes: &[u8], unix_seconds: u64) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(bytes).ok()?;
    let value = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let token = value("authorization")?.strip_prefix("Bearer ")?;
    identity::check(BARE_SECRET, token, unix_seconds).ok()?;
    let digest = Sha1::new().chain_update(value("sec-websocket-key")?).chain_update(MAGIC);
    let accept = STANDARD.encode(digest.finalize());
    let mut out = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: klatch.v1\r\n\r\n"
    )
    .into_bytes();
    // A text frame whose length takes two more bytes.
    let length = u16::try_from(HELLO.len()).ok()?;
    out.extend_from_slice(&[0x81, 126]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(HELLO.as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Issuer;
    use crate::ws;

    #[test]
    fn a_good_token_is_welcomed_with_101_and_hello_and_no_other_is() {
        let token = Issuer::with_secret(1_000, BARE_SECRET).token("u1").unwrap();
        let request = ws::upgrade("h", "/ws", Some(&token));
        assert_eq!(answer(&request[..request.len() - 1], 1_000), Answer::Wait);
        let Answer::Welcome(bytes) = answer(&request, 1_000) else { panic!("refused") };
        let length = ws::upgraded(&bytes).unwrap().unwrap();
        let ws::Next::Frame(ws::Frame::Text(text), _) = ws::next(&bytes[length..]) else {
            panic!("no hello")
        };
        assert_eq!(crate::scan::frame(text), crate::scan::Said::Hello);
        assert_eq!(answer(&request, 1_000_000), Answer::Refuse, "the token has ended");
        let forged = ws::upgrade("h", "/ws", Some(&format!("{token}x")));
        assert_eq!(answer(&forged, 1_000), Answer::Refuse);
        assert_eq!(answer(&ws::upgrade("h", "/ws", None), 1_000), Answer::Refuse);
    }
}
