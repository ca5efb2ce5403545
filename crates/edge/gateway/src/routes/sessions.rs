//! Signed-in devices.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get};
use http::StatusCode;
use klatch_protocol::problem::{Code, ProblemDocument};
use klatch_protocol::rest::account::SessionBody;
use klatch_protocol::rest::page::PageBody;

use crate::caller::Person;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::paths::OfSession;
use crate::{cookies, reply};

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/auth/sessions", get(list).delete(end_all))
        .route("/auth/sessions/{sessionId}", delete(end))
}

/// Your sessions, newest first
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", tag = "auth",
    responses((status = 200, description = "All of them", body = PageBody<SessionBody>)),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn list(State(edge): State<Shared>, person: Person) -> Result<Response, Fault> {
    let sessions = edge.services.auth.sessions(person.actor.user).await?;
    let show = |view| SessionBody::of(view, person.session);
    let items = sessions.into_iter().map(show).collect();
    reply::json(StatusCode::OK, &PageBody { items, next_cursor: None })
}

/// End all your sessions, this one too
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions", tag = "auth",
    responses((status = 204, description = "Ended; connections close within a second")),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn end_all(State(edge): State<Shared>, person: Person) -> Result<Response, Fault> {
    edge.services.accounts.end_sessions(person.actor.user).await?;
    let mut response = reply::no_content();
    cookies::clear(response.headers_mut(), &edge);
    Ok(response)
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
    person: Person,
    OfSession(session): OfSession,
) -> Result<Response, Fault> {
    let ended = edge.services.auth.end_session(person.actor.user, session).await?;
    if ended { Ok(reply::no_content()) } else { Err(Code::SessionNotFound.into()) }
}
