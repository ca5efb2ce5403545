//! Health, for whoever watches the process.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode};
use klatch_protocol::problem::Code;
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use crate::caller;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the process can serve.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyAnswer {
    /// Whether all is well.
    ready: bool,
    /// Each thing looked at: `ok`, or what is wrong with it. Some of it may be wrong and the
    /// process ready all the same: a certificate that ends soon.
    checks: BTreeMap<String, String>,
    /// What an acknowledgement is worth: `fsync`, or `volatile` when a loss of power takes what
    /// was acknowledged with it.
    durability: &'static str,
}

/// Whether the process lives
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses((status = 200, description = "It does", body = Health))
)]
pub(crate) async fn healthz() -> Result<Response, Fault> {
    reply::json(StatusCode::OK, &Health { status: "ok" })
}

/// Whether the process can serve
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    responses(
        (status = 200, description = "It can", body = ReadyAnswer),
        (status = 503, description = "It cannot, and why", body = ReadyAnswer),
    )
)]
pub(crate) async fn readyz(State(edge): State<Shared>) -> Result<Response, Fault> {
    let readiness = (edge.hooks.ready)().await;
    let ready = readiness.is_ready();
    let checks = readiness.checks.into_iter().chain(readiness.notes);
    let checks =
        checks.map(|(name, wrong)| (name, wrong.unwrap_or_else(|| "ok".to_owned()))).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, &ReadyAnswer { ready, checks, durability: edge.config.durability })
}

/// Metrics in Prometheus' text format
///
/// With the bearer token of the configuration (`telemetry.metrics_token`), if there is one.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(
    State(edge): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    if let Some(wanted) = &edge.config.metrics_token {
        let shown = caller::bearer(&headers)?.ok_or(Code::Unauthorized)?;
        if !bool::from(shown.as_bytes().ct_eq(wanted.as_bytes())) {
            return Err(Code::InvalidToken.into());
        }
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(reply::with_type(StatusCode::OK, kind, (edge.hooks.metrics)()))
}
