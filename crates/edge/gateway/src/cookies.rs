//! Tokens in cookies, for browsers: scripts cannot read them.
//!
//! `klatch_access` and `klatch_refresh` are `HttpOnly`. `klatch_csrf` can be read by scripts of our
//! own pages, which send it back in `X-Klatch-CSRF`: another site's page makes the browser send
//! cookies, but can neither read this one nor set the header. It also says whose the cookies are,
//! so that a page left open sees that someone else came into this browser; to us it proves nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use klatch_ports::api::auth::SignedIn;
use klatch_protocol::problem::{Code, Problem};
use subtle::ConstantTimeEq as _;

use crate::edge::Edge;

pub(crate) const ACCESS: &str = "klatch_access";
pub(crate) const REFRESH: &str = "klatch_refresh";
const CSRF: &str = "klatch_csrf";
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-klatch-csrf");
/// The refresh token is only sent where it is used.
const REFRESH_PATH: &str = "/api/v1/auth";

/// The value of a cookie; of two with one name the first, which has the longer path.
pub(crate) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Refuses a change by cookie that another site's page could have made.
pub(crate) fn check_csrf(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    let from_elsewhere =
        headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes() == b"cross-site");
    let cookie = read(headers, CSRF).filter(|value| !value.is_empty());
    let header = headers.get(CSRF_HEADER);
    let fits = cookie
        .zip(header)
        .is_some_and(|(cookie, header)| bool::from(cookie.as_bytes().ct_eq(header.as_bytes())));
    if fits && !from_elsewhere { Ok(()) } else { Err(Problem::new(Code::CsrfFailed)) }
}

/// Puts the tokens of someone who signed in into cookies.
pub(crate) fn set(headers: &mut HeaderMap, signed_in: &SignedIn, edge: &Edge) {
    let secure = edge.config.secure_cookies;
    let session = edge.config.session_life;
    let access = Duration::from_secs(signed_in.expires_in);
    let csrf = format!("{}.{}", BASE64.encode(edge.services.entropy.bytes16()), signed_in.user);
    let hidden = "; HttpOnly";
    let cookies = [
        cookie(ACCESS, &signed_in.access_token, "/", access, secure) + hidden,
        cookie(REFRESH, &signed_in.refresh_token, REFRESH_PATH, session, secure) + hidden,
        cookie(CSRF, &csrf, "/", session, secure),
    ];
    append(headers, cookies);
}

/// Takes the cookies back.
pub(crate) fn clear(headers: &mut HeaderMap, edge: &Edge) {
    let gone = |name, path| cookie(name, "", path, Duration::ZERO, edge.config.secure_cookies);
    append(headers, [gone(ACCESS, "/"), gone(REFRESH, REFRESH_PATH), gone(CSRF, "/")]);
}

fn cookie(name: &str, value: &str, path: &str, life: Duration, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; Max-Age={}; SameSite=Lax{secure}", life.as_secs())
}

fn append(headers: &mut HeaderMap, cookies: [String; 3]) {
    for cookie in cookies {
        // Tokens are base64 and dots.
        if let Ok(value) = HeaderValue::try_from(cookie) {
            headers.append(SET_COOKIE, value);
        }
    }
}
