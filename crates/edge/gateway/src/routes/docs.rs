//! The `OpenAPI` document, and pages for people.

use std::sync::LazyLock;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use klatch_protocol::problem::Code;

use crate::edge::Shared;
use crate::fault::Fault;
use crate::paths::OfCode;
use crate::{openapi, pages, reply};

static DOCUMENT: LazyLock<serde_json::Value> = LazyLock::new(openapi::document);
static REFERENCE: LazyLock<Bytes> = LazyLock::new(|| pages::reference(&DOCUMENT).into());

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(reference))
        .route("/docs/style.css", get(style))
        .route("/problems", get(problems))
        .route("/problems/{code}", get(problem))
}

/// This document
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json"))
)]
pub(crate) async fn document(headers: HeaderMap) -> Result<Response, Fault> {
    reply::tagged(&headers, &*DOCUMENT)
}

/// This document as a page
#[utoipa::path(
    get, path = "/api/v1/docs", tag = "server",
    responses((status = 200, description = "HTML", content_type = "text/html"))
)]
pub(crate) async fn reference() -> Response {
    page(REFERENCE.clone())
}

/// All problem codes as a page
#[utoipa::path(
    get, path = "/api/v1/problems", tag = "server",
    responses((status = 200, description = "HTML", content_type = "text/html"))
)]
pub(crate) async fn problems() -> Response {
    page(pages::problems(Code::ALL))
}

/// One problem code as a page: what `type` of a problem document leads to
#[utoipa::path(
    get, path = "/api/v1/problems/{code}", tag = "server",
    params(("code" = String, Path)),
    responses((status = 200, description = "HTML", content_type = "text/html"))
)]
pub(crate) async fn problem(OfCode(code): OfCode) -> Response {
    page(pages::problems(&[code]))
}

async fn style() -> Response {
    reply::with_type(StatusCode::OK, HeaderValue::from_static("text/css"), pages::STYLE)
}

fn page(html: impl Into<Bytes>) -> Response {
    pages::html(StatusCode::OK, html)
}
