//! The opening handshake of RFC 6455 §4.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use klatch_protocol::problem::{Code, Problem};
use klatch_protocol::ws::SUBPROTOCOL;
use sha1::{Digest, Sha1};

use super::offer::Deflate;

/// What RFC 6455 §1.3 appends to the client's key.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A lawful request's answer in the making.
#[derive(Debug)]
pub(super) struct Handshake {
    accept: HeaderValue,
    subprotocol: bool,
    /// How messages may be compressed.
    pub(super) deflate: Option<Deflate>,
}

/// Checks everything about a request but who sends it. `deflate`: whether messages may be
/// compressed.
pub(super) fn check(parts: &Parts, deflate: bool) -> Result<Handshake, Problem> {
    if parts.method != Method::GET {
        return Err(Code::MethodNotAllowed.into());
    }
    let asks = has_word(&parts.headers, &CONNECTION, "upgrade")
        && has_word(&parts.headers, &UPGRADE, "websocket");
    let version = parts.headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    if !asks || version != Some(b"13") || parts.version != Version::HTTP_11 {
        return Err(Code::UpgradeRequired.into());
    }
    let invalid = || Problem::new(Code::InvalidHeader).detail("Sec-WebSocket-Key");
    let mut keys = parts.headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else { return Err(invalid()) };
    if !STANDARD.decode(key.as_bytes()).is_ok_and(|key| key.len() == 16) {
        return Err(invalid());
    }
    let digest = Sha1::new().chain_update(key.as_bytes()).chain_update(MAGIC).finalize();
    let accept = HeaderValue::from_str(&STANDARD.encode(digest)).map_err(|_| invalid())?;
    let subprotocol = has_word(&parts.headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let deflate = if deflate { Deflate::agree(&parts.headers) } else { None };
    Ok(Handshake { accept, subprotocol, deflate })
}

impl Handshake {
    /// 101.
    pub(super) fn accept(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        if let Some(deflate) = self.deflate {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, deflate.header());
        }
        response
    }
}

/// The comma-separated words of all headers of that name.
pub(super) fn words<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name.clone()).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    words(headers, name).any(|found| found.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(change: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        let request = Request::builder()
            .uri("/ws")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket");
        change(request).body(()).unwrap().into_parts().0
    }

    fn lawful(request: http::request::Builder) -> http::request::Builder {
        let request = request.header("sec-websocket-version", "13");
        request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    #[test]
    fn the_example_of_rfc_6455_is_answered_as_it_says() {
        let offer = "chat, klatch.v1";
        let handshake =
            check(&parts(|r| lawful(r).header("sec-websocket-protocol", offer)), true).unwrap();
        let response = handshake.accept();
        assert_eq!(response.status(), 101);
        let accept = &response.headers()["sec-websocket-accept"];
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["sec-websocket-protocol"], "klatch.v1");
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
    }

    #[test]
    fn compression_is_agreed_on_unless_it_is_switched_off() {
        let request = parts(|r| lawful(r).header("sec-websocket-extensions", "permessage-deflate"));
        for deflate in [true, false] {
            let response = check(&request, deflate).unwrap().accept();
            assert_eq!(response.headers().contains_key("sec-websocket-extensions"), deflate);
        }
    }

    #[test]
    fn requests_that_are_no_handshake_are_refused_with_the_right_code() {
        let code = |parts: &Parts| check(parts, true).unwrap_err().code;
        assert_eq!(code(&parts(|r| lawful(r).method("POST"))), Code::MethodNotAllowed);
        assert_eq!(code(&parts(|r| r)), Code::UpgradeRequired);
        let old = parts(|r| r.header("sec-websocket-version", "8"));
        assert_eq!(code(&old), Code::UpgradeRequired);
        let plain = Request::builder().uri("/ws").body(()).unwrap().into_parts().0;
        assert_eq!(code(&plain), Code::UpgradeRequired);
        for key in ["", "c2hvcnQ=", "not base64 at all!!!!!!!!"] {
            let bad =
                parts(|r| r.header("sec-websocket-version", "13").header("sec-websocket-key", key));
            assert_eq!(code(&bad), Code::InvalidHeader, "{key:?}");
        }
        let twice = parts(|r| lawful(r).header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(code(&twice), Code::InvalidHeader);
    }
}
