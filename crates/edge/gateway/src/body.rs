//! Bodies: read up to a limit, in time, and then strictly.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use klatch_protocol::problem::{Code, Problem};
use klatch_protocol::rest::meta::BODY_BYTES_MAX;
use klatch_protocol::rest::{decode, decode_or_default};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

use crate::edge::Shared;
use crate::fault::Fault;

/// How much of a body that is too large is taken off the line, so that its sender gets to read the
/// answer.
const DRAINED_BYTES_MAX: usize = 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A JSON body of at most `MAX` bytes.
pub(crate) struct Json<T, const MAX: usize = BODY_BYTES_MAX>(pub(crate) T);

impl<T: DeserializeOwned, const MAX: usize> FromRequest<Shared> for Json<T, MAX> {
    type Rejection = Fault;

    async fn from_request(request: Request, edge: &Shared) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers, &["application/json"])?;
        let bytes = read(&parts.headers, body, MAX, edge.config.body_timeout).await?;
        Ok(Self(decode(&bytes)?))
    }
}

/// A JSON body that may be left out.
pub(crate) struct MaybeJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Shared> for MaybeJson<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, edge: &Shared) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let timeout = edge.config.body_timeout;
        let bytes = read(&parts.headers, body, BODY_BYTES_MAX, timeout).await?;
        if !bytes.is_empty() {
            check_type(&parts.headers, &["application/json"])?;
        }
        Ok(Self(decode_or_default(&bytes)?))
    }
}

/// Refuses bodies of other types than `allowed`, and compressed ones.
pub(crate) fn check_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let charset = parameters.trim().to_ascii_lowercase();
    let is_utf8 = !charset.starts_with("charset=") || charset.contains("utf-8");
    let is_plain = headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if allowed.contains(&kind.as_str()) && is_utf8 && is_plain {
        return Ok(());
    }
    let wanted = allowed.first().copied().unwrap_or_default();
    Err(Problem::new(Code::UnsupportedMediaType)
        .detail(format!("send {wanted} in UTF-8, not compressed")))
}

async fn read(
    headers: &HeaderMap,
    body: Body,
    max: usize,
    time: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("a body here has at most {max} bytes");
        Problem::new(Code::BodyTooLarge).detail(detail)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.is_some_and(|text| text.parse().is_ok_and(|length: usize| length > max)) {
        drain(body).await;
        return Err(too_large());
    }
    // One byte more tells whether there is more.
    let limited = Limited::new(body, max);
    match timeout(time, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            Err(Problem::new(Code::MalformedJson).detail("the body ended before its time"))
        }
        Err(_) => Err(Problem::new(Code::RequestTimeout)),
    }
}

async fn drain(body: Body) {
    let mut pieces = body.into_data_stream();
    let all = async {
        let mut left = DRAINED_BYTES_MAX;
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    };
    // Whoever sends slowly has to do without the answer.
    let _ = timeout(DRAIN_TIMEOUT, all).await;
}
