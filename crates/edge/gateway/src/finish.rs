//! The outermost layer: every request gets an id and a span, every answer its headers, every
//! problem its document, and a panic ends one request.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use klatch_protocol::problem::Code;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::address;
use crate::edge::{Edge, Shared};
use crate::fault::Fault;
use crate::limits::Noted;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"klatch\"");
const BAD_TOKEN: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"klatch\", error=\"invalid_token\"");
/// For answers that are no pages: nothing may be loaded from them, nothing may frame them.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The id of a request, which lies beside it (as an extension) for routes that tell of it
/// themselves: answers in pieces, and the hooks' routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(pub String);

pub(crate) async fn finish(State(edge): State<Shared>, request: Request, next: Next) -> Response {
    let request_id = request_id(&edge, request.headers());
    let noted = Noted::default();
    let (mut parts, body) = request.into_parts();
    let address = address::client(&parts, &edge.config.trusted_proxies);
    parts.extensions.insert(address);
    parts.extensions.insert(noted.clone());
    parts.extensions.insert(RequestId(request_id.clone()));
    let request = Request::from_parts(parts, body);
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
    let span = tracing::debug_span!(
        "gateway.request",
        request.id = %request_id,
        http.method = %request.method(),
        http.route = route,
    );
    let answer = async {
        let begin = Instant::now();
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response = answer.unwrap_or_else(|_| {
            tracing::error!("a request panicked");
            Fault::from(Code::Internal).into_response()
        });
        let status = response.status().as_u16();
        let latency_us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(http.status = status, latency_us, "answered");
        response
    };
    let mut response = answer.instrument(span).await;
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        response = document(response, fault, &request_id);
    }
    let status = response.status();
    let headers = response.headers_mut();
    noted.tell(headers);
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.entry(WWW_AUTHENTICATE).or_insert(CHALLENGE);
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        secure(headers);
    }
    response
}

/// The client's own id if it is one that can be written into a log, else a new one.
fn request_id(edge: &Edge, headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits = |text: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match given.filter(fits) {
        Some(text) => text.to_owned(),
        None => format!("{:032x}", u128::from_be_bytes(edge.services.entropy.bytes16())),
    }
}

/// The problem document, with the headers the route had set.
fn document(response: Response, fault: Fault, request_id: &str) -> Response {
    let problem = fault.into_problem();
    let text = serde_json::to_vec(&problem.document(request_id)).unwrap_or_default();
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    if let Some(seconds) = problem.retry_after_seconds() {
        parts.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if matches!(problem.code, Code::InvalidToken | Code::TokenExpired | Code::SessionRevoked) {
        parts.headers.insert(WWW_AUTHENTICATE, BAD_TOKEN);
    }
    Response::from_parts(parts, Body::from(text))
}

/// What a route has not set itself.
fn secure(headers: &mut HeaderMap) {
    let defaults = [
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, NO_PAGE),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
}
