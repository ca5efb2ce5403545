//! Programs: tokens of one's own, bots and theirs.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::StatusCode;
use klatch_domain::UserId;
use klatch_domain::audit::By;
use klatch_domain::permission::ServerAction;
use klatch_protocol::problem::ProblemDocument;
use klatch_protocol::rest::admin::{AccountBody, ResetLink};
use klatch_protocol::rest::page::PageBody;
use klatch_protocol::rest::token::{MadeUser, NewBot, NewTokenBody, NewUserBody, TokenBody};

use crate::body::Json;
use crate::caller::{Person, StewardPerson};
use crate::edge::{Edge, Shared};
use crate::fault::Fault;
use crate::paths::{OfApiToken, OfUser};
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users/me/tokens", get(own).post(make_own))
        .route("/users/me/tokens/{tokenId}", delete(end_own))
        .route("/admin/users", post(make_user))
        .route("/admin/bots", post(make_bot))
        .route("/admin/bots/{userId}/tokens", get(of_bot).post(make_of_bot))
        .route("/admin/bots/{userId}/tokens/{tokenId}", delete(end_of_bot))
}

/// Your programs' tokens, newest first
#[utoipa::path(
    get, path = "/api/v1/users/me/tokens", tag = "users",
    responses(
        (status = 200, description = "All of them", body = PageBody<TokenBody>),
        (status = 403, description = "`session_needed`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn own(State(edge): State<Shared>, person: Person) -> Result<Response, Fault> {
    list(&edge, person.by(), person.actor.user).await
}

/// Make a token for a program that acts in your name
///
/// The answer tells it, this once. `read` sees what you see and gets events, `write` does what you
/// may do in rooms, `admin` is needed below `/api/v1/admin/`. Passwords, sessions and tokens are
/// not for programs.
#[utoipa::path(
    post, path = "/api/v1/users/me/tokens", tag = "users",
    request_body = NewTokenBody,
    responses(
        (status = 201, description = "Made", body = TokenBody),
        (status = 403, description = "`session_needed`", body = ProblemDocument),
        (status = 409, description = "`too_many`: a hundred", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn make_own(
    State(edge): State<Shared>,
    person: Person,
    Json(body): Json<NewTokenBody>,
) -> Result<Response, Fault> {
    make(&edge, person.by(), person.actor.user, body).await
}

/// End one of your programs' tokens
///
/// It works no more, and its connections close within a second.
#[utoipa::path(
    delete, path = "/api/v1/users/me/tokens/{tokenId}", tag = "users",
    params(("tokenId" = String, Path)),
    responses(
        (status = 204, description = "Ended"),
        (status = 403, description = "`session_needed`", body = ProblemDocument),
        (status = 404, description = "`token_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn end_own(
    State(edge): State<Shared>,
    person: Person,
    OfApiToken(token): OfApiToken,
) -> Result<Response, Fault> {
    edge.services.tokens.end_token(person.by(), person.actor.user, token).await?;
    Ok(reply::no_content())
}

/// Make an account for another person
///
/// It has no password: the answer's `resetToken` sets one.
#[utoipa::path(
    post, path = "/api/v1/admin/users", tag = "admin",
    request_body = NewUserBody,
    responses(
        (status = 201, description = "Made", body = MadeUser),
        (status = 403, description = "`admin_only`, `session_needed`", body = ProblemDocument),
        (status = 409, description = "`username_taken`, `email_taken`", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn make_user(
    State(edge): State<Shared>,
    steward: StewardPerson,
    Json(body): Json<NewUserBody>,
) -> Result<Response, Fault> {
    steward.by.check(ServerAction::ManageAccounts)?;
    let accounts = &edge.services.accounts;
    let view = accounts.make_account(steward.by, body.into_wish()?).await?;
    let token = accounts.reset_token(steward.by, view.user).await?;
    let ResetLink { token: reset_token, expires_in } = token.into();
    let made = MadeUser { user: AccountBody::from(view), reset_token, expires_in };
    reply::json(StatusCode::CREATED, &made)
}

/// Make a bot: a user under whose name a program acts
#[utoipa::path(
    post, path = "/api/v1/admin/bots", tag = "admin",
    request_body = NewBot,
    responses(
        (status = 201, description = "Made", body = AccountBody),
        (status = 403, description = "`admin_only`, `session_needed`", body = ProblemDocument),
        (status = 409, description = "`username_taken`", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn make_bot(
    State(edge): State<Shared>,
    steward: StewardPerson,
    Json(body): Json<NewBot>,
) -> Result<Response, Fault> {
    steward.by.check(ServerAction::ManageBots)?;
    let view = edge.services.accounts.make_account(steward.by, body.into_wish()?).await?;
    reply::json(StatusCode::CREATED, &AccountBody::from(view))
}

/// A bot's tokens, newest first
#[utoipa::path(
    get, path = "/api/v1/admin/bots/{userId}/tokens", tag = "admin",
    params(("userId" = String, Path)),
    responses(
        (status = 200, description = "All of them", body = PageBody<TokenBody>),
        (status = 403, description = "`admin_only`, `session_needed`", body = ProblemDocument),
        (status = 404, description = "`user_not_found`: no bot", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn of_bot(
    State(edge): State<Shared>,
    steward: StewardPerson,
    OfUser(bot): OfUser,
) -> Result<Response, Fault> {
    steward.by.check(ServerAction::ManageBots)?;
    list(&edge, steward.by, bot).await
}

/// Make a token for a bot
#[utoipa::path(
    post, path = "/api/v1/admin/bots/{userId}/tokens", tag = "admin",
    params(("userId" = String, Path)),
    request_body = NewTokenBody,
    responses(
        (status = 201, description = "Made", body = TokenBody),
        (status = 403, description = "`admin_only`, `session_needed`", body = ProblemDocument),
        (status = 404, description = "`user_not_found`: no bot", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn make_of_bot(
    State(edge): State<Shared>,
    steward: StewardPerson,
    OfUser(bot): OfUser,
    Json(body): Json<NewTokenBody>,
) -> Result<Response, Fault> {
    steward.by.check(ServerAction::ManageBots)?;
    make(&edge, steward.by, bot, body).await
}

/// End a bot's token
#[utoipa::path(
    delete, path = "/api/v1/admin/bots/{userId}/tokens/{tokenId}", tag = "admin",
    params(("userId" = String, Path), ("tokenId" = String, Path)),
    responses(
        (status = 204, description = "Ended"),
        (status = 403, description = "`admin_only`, `session_needed`", body = ProblemDocument),
        (status = 404, body = ProblemDocument,
         description = "`user_not_found`: no bot, `token_not_found`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn end_of_bot(
    State(edge): State<Shared>,
    steward: StewardPerson,
    OfUser(bot): OfUser,
    OfApiToken(token): OfApiToken,
) -> Result<Response, Fault> {
    steward.by.check(ServerAction::ManageBots)?;
    edge.services.tokens.end_token(steward.by, bot, token).await?;
    Ok(reply::no_content())
}

async fn list(edge: &Edge, by: By, user: UserId) -> Result<Response, Fault> {
    let tokens = edge.services.tokens.tokens(by, user).await?;
    let items = tokens.into_iter().map(|token| TokenBody::of(token, None)).collect();
    reply::json(StatusCode::OK, &PageBody { items, next_cursor: None })
}

async fn make(edge: &Edge, by: By, user: UserId, body: NewTokenBody) -> Result<Response, Fault> {
    let (token, told) = edge.services.tokens.make_token(by, user, body.into_wish()?).await?;
    reply::json(StatusCode::CREATED, &TokenBody::of(token, Some(told)))
}
