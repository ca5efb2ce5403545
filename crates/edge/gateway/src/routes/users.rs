//! Users.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use klatch_domain::UserId;
use klatch_protocol::problem::{Problem, ProblemDocument};
use klatch_protocol::rest::page::PageBody;
use klatch_protocol::rest::user::UserBody;

use crate::caller::Caller;
use crate::conditions::AtLeast;
use crate::edge::{Edge, Shared};
use crate::fault::Fault;
use crate::params::Params;
use crate::paths::OfUser;
use crate::reply;

/// Longer texts are no beginnings of names.
const PREFIX_CHARS_MAX: usize = 100;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users", get(find))
        .route("/users/me", get(me))
        .route("/users/{userId}", get(one))
}

/// Yourself
#[utoipa::path(
    get, path = "/api/v1/users/me", tag = "users",
    params(
        ("X-Klatch-Position" = Option<String>, Header, description = "Positions to have reached"),
        ("If-None-Match" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "With your address", body = UserBody),
        (status = 304, description = "As you have it"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn me(
    State(edge): State<Shared>,
    caller: Caller,
    at_least: AtLeast,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let user = caller.actor.user;
    show(&edge, &caller, user, &at_least, &headers).await
}

/// A user
#[utoipa::path(
    get, path = "/api/v1/users/{userId}", tag = "users",
    params(
        ("userId" = String, Path),
        ("X-Klatch-Position" = Option<String>, Header, description = "Positions to have reached"),
        ("If-None-Match" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The user", body = UserBody),
        (status = 304, description = "As you have it"),
        (status = 404, description = "`user_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn one(
    State(edge): State<Shared>,
    caller: Caller,
    OfUser(user): OfUser,
    at_least: AtLeast,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    show(&edge, &caller, user, &at_least, &headers).await
}

async fn show(
    edge: &Edge,
    caller: &Caller,
    user: UserId,
    at_least: &AtLeast,
    headers: &HeaderMap,
) -> Result<Response, Fault> {
    let view = edge.services.queries.user(caller.actor, user, &at_least.0).await?;
    reply::tagged(headers, &UserBody::of(view, caller.actor.user))
}

/// Users whose user name or shown name begins with `q`
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users",
    params(
        ("q" = Option<String>, Query, description = "At most 100 characters; without it all users"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1–200, default 50"),
        ("X-Klatch-Position" = Option<String>, Header, description = "Positions to have reached"),
    ),
    responses(
        (status = 200, description = "A page", body = PageBody<UserBody>),
        (status = 400, body = ProblemDocument,
         description = "`invalid_parameter`, `invalid_cursor`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn find(
    State(edge): State<Shared>,
    caller: Caller,
    params: Params,
    at_least: AtLeast,
) -> Result<Response, Fault> {
    let prefix = params.one("q")?.unwrap_or_default().trim();
    if prefix.chars().count() > PREFIX_CHARS_MAX {
        return Err(Problem::invalid_parameter("q").into());
    }
    let page = params.page()?;
    let found = edge.services.queries.users(caller.actor, prefix, page, &at_least.0).await?;
    let show = |view| UserBody::of(view, caller.actor.user);
    reply::json(StatusCode::OK, &PageBody::of(found, show))
}
