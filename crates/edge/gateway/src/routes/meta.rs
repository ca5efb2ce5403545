//! What the server says about itself.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use klatch_protocol::rest::meta::Meta;

use crate::edge::Shared;
use crate::fault::Fault;
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/meta", get(meta))
}

/// Version, feature level and limits
#[utoipa::path(
    get, path = "/api/v1/meta", tag = "server",
    responses((status = 200, description = "The server in a few words", body = Meta))
)]
pub(crate) async fn meta(State(edge): State<Shared>) -> Result<Response, Fault> {
    reply::json(StatusCode::OK, &Meta::of(&edge.config.version, edge.config.durability))
}
