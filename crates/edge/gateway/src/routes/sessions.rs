//! Signed-in devices.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get};
use http::StatusCode;
use klatch_protocol::problem::{Code, ProblemDocument};
use klatch_protocol::rest::account::SessionBody;
use klatch_protocol::rest::page::PageBody;

use crate::caller::Caller;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::paths::OfSession;
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/auth/sessions", get(list))
        .route("/auth/sessions/{sessionId}", delete(end))
}

/// Your sessions, newest first
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", tag = "auth",
    responses((status = 200, description = "All of them", body = PageBody<SessionBody>)),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn list(State(edge): State<Shared>, caller: Caller) -> Result<Response, Fault> {
    let sessions = edge.services.auth.sessions(caller.actor.user).await?;
    let show = |view| SessionBody::of(view, caller.session);
    let items = sessions.into_iter().map(show).collect();
    reply::json(StatusCode::OK, &PageBody { items, next_cursor: None })
}

/// End one of your sessions
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{sessionId}", tag = "auth",
    params(("sessionId" = String, Path)),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "`session_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn end(
    State(edge): State<Shared>,
    caller: Caller,
    OfSession(session): OfSession,
) -> Result<Response, Fault> {
    let ended = edge.services.auth.end_session(caller.actor.user, session).await?;
    if ended { Ok(reply::no_content()) } else { Err(Code::SessionNotFound.into()) }
}
