//! All routes in one router.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use axum::{Router, middleware};
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method};
use klatch_protocol::problem::Code;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::Config;
use crate::edge::{Edge, Hooks, Services, Shared};
use crate::fault::Fault;
use crate::finish::finish;
use crate::{limits, routes, web};

/// The whole interface: REST under `/api/v1`, health, metrics, the hooks' routes, and the web
/// client everywhere else.
pub fn router(services: Services, config: Config, hooks: Hooks) -> Router {
    let cors = cors(&config);
    let others = hooks.routes.clone().unwrap_or_default();
    let edge: Shared = Arc::new(Edge { services, config, hooks });
    let counted = middleware::from_fn_with_state(Arc::clone(&edge), limits::by_address);
    let mut router = Router::new()
        .nest("/api/v1", routes::api().route_layer(counted))
        .merge(routes::health::routes())
        .with_state(Arc::clone(&edge))
        .merge(others)
        .fallback(elsewhere)
        .method_not_allowed_fallback(async || Fault::from(Code::MethodNotAllowed));
    if let Some(cors) = cors {
        router = router.layer(cors);
    }
    router.layer(middleware::from_fn_with_state(edge, finish))
}

/// What no route takes: below `/api` nothing, elsewhere the web client.
async fn elsewhere(request: Request) -> Result<Response, Fault> {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return Err(Code::NotFound.into());
    }
    web::serve(request.method(), path, request.headers())
}

/// Pages of other origins may use tokens, never cookies.
fn cors(config: &Config) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        config.allowed_origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let header = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_NONE_MATCH,
            header("idempotency-key"),
            header("prefer"),
            header("x-klatch-position"),
            header("x-request-id"),
        ])
        .expose_headers(
            [
                ETAG,
                LOCATION,
                RETRY_AFTER,
                header("idempotency-replayed"),
                header("preference-applied"),
                header("x-klatch-position"),
                header("x-request-id"),
            ]
            .into_iter()
            .chain(limits::HEADERS)
            .collect::<Vec<_>>(),
        )
        .max_age(std::time::Duration::from_mins(10));
    Some(layer)
}
