//! Where an upgrade request carries its token.

use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use klatch_protocol::problem::{Code, Problem};

use super::handshake::words;

/// The cookie that holds the access token.
const ACCESS_COOKIE: &str = "klatch_access";
/// What a subprotocol that is a token begins with.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// The token: of `Authorization`, of the subprotocols, or of the cookie. A cookie is sent by every
/// page that asks for a connection, so it counts only from this server's pages and allowed ones.
pub(super) fn find<'a>(headers: &'a HeaderMap, allowed: &[String]) -> Result<&'a str, Problem> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, token) = text.split_once(' ').unwrap_or_default();
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        return is_bearer.then_some(token.trim()).ok_or_else(|| Code::Unauthorized.into());
    }
    let mut subprotocols = words(headers, &SEC_WEBSOCKET_PROTOCOL);
    if let Some(token) = subprotocols.find_map(|word| word.strip_prefix(BEARER_SUBPROTOCOL)) {
        return Ok(token);
    }
    let Some(token) = cookie(headers) else { return Err(Code::Unauthorized.into()) };
    if is_from_own_page(headers, allowed) { Ok(token) } else { Err(Code::OriginNotAllowed.into()) }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let mut ours = pairs.filter(|(name, _)| name.trim() == ACCESS_COOKIE);
    ours.next().map(|(_, value)| value.trim())
}

fn is_from_own_page(headers: &HeaderMap, allowed: &[String]) -> bool {
    let text = |name: HeaderName| headers.get(name).map(HeaderValue::to_str).and_then(Result::ok);
    let Some(origin) = text(ORIGIN) else { return false };
    if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    match (authority, text(HOST)) {
        (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&'static str, &'static str)]) -> Result<String, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let allowed = ["https://app.example.org".to_owned()];
        find(&headers, &allowed).map(str::to_owned).map_err(|problem| problem.code)
    }

    #[test]
    fn a_token_is_found_in_all_three_places_in_their_order() {
        assert_eq!(found(&[("authorization", "Bearer abc")]).as_deref(), Ok("abc"));
        let offered = ("sec-websocket-protocol", "klatch.v1, bearer.x.y.z");
        assert_eq!(found(&[offered]).as_deref(), Ok("x.y.z"));
        let own = [("host", "chat.example.org"), ("origin", "https://chat.example.org")];
        let cookie = ("cookie", "a=b; klatch_access=tok; c=d");
        assert_eq!(found(&[own[0], own[1], cookie]).as_deref(), Ok("tok"));
        assert_eq!(found(&[("authorization", "bearer first"), offered]).as_deref(), Ok("first"));
    }

    #[test]
    fn a_cookie_counts_only_from_own_or_allowed_pages() {
        let cookie = ("cookie", "klatch_access=tok");
        let host = ("host", "chat.example.org");
        for origin in [
            "https://evil.example",
            "https://chat.example.org.evil.example",
            "https://chat.example.org:8443",
            "null",
            "ftp://chat.example.org",
        ] {
            let answer = found(&[host, cookie, ("origin", origin)]);
            assert_eq!(answer, Err(Code::OriginNotAllowed), "{origin}");
        }
        assert_eq!(found(&[host, cookie]), Err(Code::OriginNotAllowed));
        let allowed = ("origin", "https://app.example.org");
        assert_eq!(found(&[host, cookie, allowed]).as_deref(), Ok("tok"));
    }

    #[test]
    fn without_a_token_one_is_asked_to_sign_in() {
        assert_eq!(found(&[]), Err(Code::Unauthorized));
        assert_eq!(found(&[("authorization", "Basic abc")]), Err(Code::Unauthorized));
        assert_eq!(found(&[("cookie", "other=1")]), Err(Code::Unauthorized));
    }
}
