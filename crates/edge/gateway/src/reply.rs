//! Answers that went well.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use klatch_ports::position::Position;
use klatch_protocol::problem::Code;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::conditions::POSITION;
use crate::fault::Fault;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `value` as the body of an answer.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response, Fault> {
    Ok(with_type(status, JSON, text(value)?))
}

/// JSON that was made already.
pub(crate) fn encoded(text: serde_json::Result<Vec<u8>>) -> Result<Response, Fault> {
    Ok(with_type(StatusCode::OK, JSON, written(text)?))
}

/// An accepted command: 202, and its position in body and header.
pub(crate) fn accepted<T: Serialize>(value: &T, position: Position) -> Result<Response, Fault> {
    let mut response = json(StatusCode::ACCEPTED, value)?;
    set_position(&mut response, position);
    Ok(response)
}

/// A single resource: `ETag`, and 304 when the client has it as it is. The tag is a hash of the
/// body, so nothing that is shown can change without it.
pub(crate) fn tagged<T: Serialize>(headers: &HeaderMap, value: &T) -> Result<Response, Fault> {
    let text = text(value)?;
    let digest = Sha256::digest(&text);
    let tag = format!("\"{}\"", BASE64.encode(digest.get(..12).unwrap_or_default()));
    let mut response = if is_known(headers, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        with_type(StatusCode::OK, JSON, text)
    };
    set(&mut response, ETAG, tag);
    Ok(response)
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

/// Nothing to say.
pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A body of some other type.
pub(crate) fn with_type(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(crate) fn set_position(response: &mut Response, position: Position) {
    set(response, POSITION, position.to_string());
}

pub(crate) fn set_location(response: &mut Response, path: String) {
    set(response, LOCATION, path);
}

pub(crate) fn set(response: &mut Response, name: HeaderName, value: String) {
    // Ids, positions and tags are visible ASCII.
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

fn text<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    written(serde_json::to_vec(value))
}

fn written(text: serde_json::Result<Vec<u8>>) -> Result<Vec<u8>, Fault> {
    text.map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Code::Internal.into()
    })
}
