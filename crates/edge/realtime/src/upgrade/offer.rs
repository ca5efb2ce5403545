//! What a client offers in `Sec-WebSocket-Extensions`, and what of it is taken.

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

use super::handshake::words;

/// The widest look-back that RFC 7692 knows, in bits.
const WINDOW_BITS_MAX: u8 = 15;

/// permessage-deflate as it was agreed on; never with context takeover, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deflate {
    /// How far, in bits, compressed messages to the client may look back.
    pub(super) window_bits: u8,
    /// Whether the client asked for that.
    asked: bool,
}

impl Deflate {
    /// The first offer that can be honoured.
    pub(super) fn agree(headers: &HeaderMap) -> Option<Self> {
        words(headers, &SEC_WEBSOCKET_EXTENSIONS).find_map(Self::read)
    }

    /// An offer; `None` when it is of something else, or says what RFC 7692 §7.1 does not allow.
    fn read(offer: &str) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
            return None;
        }
        let mut agreed = Self { window_bits: WINDOW_BITS_MAX, asked: false };
        let mut seen = Vec::new();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (part, None),
            };
            let name = name.to_ascii_lowercase();
            match (name.as_str(), value) {
                // Done in any case; and whatever window the client uses can be inflated.
                (
                    "server_no_context_takeover"
                    | "client_no_context_takeover"
                    | "client_max_window_bits",
                    None,
                ) => {}
                ("client_max_window_bits", Some(value)) => {
                    window_bits(value)?;
                }
                ("server_max_window_bits", Some(value)) => {
                    agreed = Self { window_bits: window_bits(value)?, asked: true };
                }
                _ => return None,
            }
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
        }
        Some(agreed)
    }

    /// The answer's header.
    pub(super) fn header(self) -> HeaderValue {
        const ANSWER: &str =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let plain = HeaderValue::from_static(ANSWER);
        if !self.asked {
            return plain;
        }
        let bits = format!("{ANSWER}; server_max_window_bits={}", self.window_bits);
        HeaderValue::try_from(bits).unwrap_or(plain)
    }
}

/// 8 to 15, without leading zeros, perhaps in quotes.
fn window_bits(value: &str) -> Option<u8> {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = inner.unwrap_or(value);
    if value.starts_with(['0', '+']) {
        return None;
    }
    value.parse().ok().filter(|bits| (8..=WINDOW_BITS_MAX).contains(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(offers: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        }
        let header = Deflate::agree(&headers)?.header();
        Some(header.to_str().unwrap().to_owned())
    }

    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn lawful_offers_are_taken_without_context_takeover() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "Permessage-Deflate ;Client_Max_Window_Bits=10; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits=\"9\"; client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(PLAIN), "{offer}");
        }
    }

    #[test]
    fn a_narrow_window_is_promised() {
        for bits in 8..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let agreed = Deflate::read(&offer).unwrap();
            assert_eq!(agreed.window_bits, bits);
            let expected = format!("{PLAIN}; server_max_window_bits={bits}");
            assert_eq!(agreed.header(), expected.as_str());
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_declined_and_the_next_offer_is_looked_at() {
        for offer in [
            "",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; client_max_window_bits=0",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            "permessage-deflate; unknown",
            "permessage-deflate;",
            "permessage-bzip2",
            "deflate",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
            assert_eq!(answer(&[offer, "permessage-deflate"]).as_deref(), Some(PLAIN));
        }
    }
}
