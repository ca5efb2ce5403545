//! Headers that put conditions on a request.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use klatch_ports::position::Position;
use klatch_protocol::problem::{Code, Problem};

use crate::edge::Shared;
use crate::fault::Fault;

pub(crate) const POSITION: HeaderName = HeaderName::from_static("x-klatch-position");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// More partitions than a client ever has positions of.
const POSITIONS_MAX: usize = 64;
/// Longest time to wait for a stored message.
const WAIT_SECONDS_MAX: u64 = 10;

/// `X-Klatch-Position`: positions that a read must have reached; several headers, or several
/// positions in one.
pub(crate) struct AtLeast(pub(crate) Vec<Position>);

impl FromRequestParts<Shared> for AtLeast {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _edge: &Shared) -> Result<Self, Fault> {
        let refused = || Problem::new(Code::InvalidPosition).detail("X-Klatch-Position");
        let mut positions = Vec::new();
        for value in parts.headers.get_all(POSITION) {
            let text = value.to_str().map_err(|_| refused())?;
            for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                positions.push(part.parse().map_err(|_| refused())?);
                if positions.len() > POSITIONS_MAX {
                    return Err(refused().into());
                }
            }
        }
        Ok(Self(positions))
    }
}

/// `Idempotency-Key`, with or without quotation marks.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl FromRequestParts<Shared> for IdempotencyKey {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _edge: &Shared) -> Result<Self, Fault> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let refused = || Problem::new(Code::InvalidHeader).detail("Idempotency-Key is not valid");
        let text = value.to_str().map_err(|_| refused())?.trim();
        let unquoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let key = unquoted.unwrap_or(text);
        if values.next().is_some() || !(1..=64).contains(&key.len()) {
            return Err(refused().into());
        }
        Ok(Self(Some(key.to_owned())))
    }
}

/// `Prefer: wait=N` (RFC 7240): how long the client would wait for the whole result.
pub(crate) struct PreferWait(pub(crate) Option<Duration>);

impl FromRequestParts<Shared> for PreferWait {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _edge: &Shared) -> Result<Self, Fault> {
        Ok(Self(wait(&parts.headers)))
    }
}

/// Preferences that cannot be read are left alone, as the RFC asks.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|text| text.split([',', ';']));
    let seconds: u64 = preferences.find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').parse().ok()).flatten()
    })?;
    (seconds > 0).then(|| Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_wait_is_read_and_bounded() {
        for (text, seconds) in [
            ("wait=3", Some(3)),
            ("respond-async, wait=5", Some(5)),
            ("Wait = \"7\"", Some(7)),
            ("wait=99999", Some(10)),
            ("wait=0", None),
            ("wait=-1", None),
            ("wait", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(PREFER, text.parse().unwrap())]);
            assert_eq!(wait(&headers), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
