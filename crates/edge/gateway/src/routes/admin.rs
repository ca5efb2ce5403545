//! Running the server: accounts and the audit log.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use klatch_domain::Rejection;
use klatch_domain::audit::By;
use klatch_domain::permission::ServerAction;
use klatch_ports::api::ServiceError;
use klatch_protocol::problem::ProblemDocument;
use klatch_protocol::rest::admin::{AccountBody, AccountPatch, AuditBody, ResetLink, RotateKeys};
use klatch_protocol::rest::page::PageBody;

use crate::body::Json;
use crate::caller::{Steward, StewardPerson};
use crate::edge::Shared;
use crate::fault::Fault;
use crate::params::Params;
use crate::paths::OfUser;
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/admin/users", get(users))
        .route("/admin/users/{userId}", get(user).patch(change))
        .route("/admin/users/{userId}/reset", post(reset))
        .route("/admin/audit", get(audit))
        .route("/admin/keys/rotate", post(rotate))
}

/// All accounts, oldest first; or those whose name begins with `q`, or is `login`
#[utoipa::path(
    get, path = "/api/v1/admin/users", tag = "admin",
    params(
        ("q" = Option<String>, Query, description = "As of `GET users`"),
        ("login" = Option<String>, Query, description = "A whole user name or address instead"),
        ("bot" = Option<bool>, Query, description = "Only bots, or only people; without `login`"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1–200, default 50"),
    ),
    responses(
        (status = 200, description = "A page", body = PageBody<AccountBody>),
        (status = 403, description = "`admin_only`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn users(
    State(edge): State<Shared>,
    steward: Steward,
    params: Params,
) -> Result<Response, Fault> {
    steward.by.check(ServerAction::ManageAccounts)?;
    let (page, bot, accounts) = (params.page()?, params.flag("bot")?, &edge.services.accounts);
    if let Some(login) = params.one("login")? {
        let found = match accounts.account_named(steward.by, login).await {
            Ok(account) => vec![AccountBody::from(account)],
            Err(ServiceError::Rejected(Rejection::UserNotFound)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        return reply::json(StatusCode::OK, &PageBody { items: found, next_cursor: None });
    }
    let prefix = params.one("q")?.unwrap_or_default().trim();
    // On the machine accounts are listed and named; names are looked through by users.
    let actor = match steward.by {
        By::User(actor) if !prefix.is_empty() => actor,
        by => {
            let found = accounts.accounts(by, page, bot).await?;
            return reply::json(StatusCode::OK, &PageBody::of(found, AccountBody::from));
        }
    };
    let found = edge.services.queries.users(actor, prefix, page, &[]).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for view in found.items.into_iter().filter(|it| bot.is_none_or(|bot| it.user.bot == bot)) {
        match accounts.account(steward.by, view.user.id).await {
            Ok(account) => items.push(AccountBody::from(account)),
            // Erased a moment ago.
            Err(ServiceError::Rejected(Rejection::UserNotFound)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    reply::json(StatusCode::OK, &PageBody { items, next_cursor: found.next })
}

/// An account
#[utoipa::path(
    get, path = "/api/v1/admin/users/{userId}", tag = "admin",
    params(("userId" = String, Path)),
    responses(
        (status = 200, description = "The account", body = AccountBody),
        (status = 403, description = "`admin_only`", body = ProblemDocument),
        (status = 404, description = "`user_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn user(
    State(edge): State<Shared>,
    steward: Steward,
    OfUser(user): OfUser,
) -> Result<Response, Fault> {
    let view = edge.services.accounts.account(steward.by, user).await?;
    reply::json(StatusCode::OK, &AccountBody::from(view))
}

/// Change a user's role, lock them out, or let them in again
///
/// It counts at once, and on open connections within a second. Locking out ends all sessions.
#[utoipa::path(
    patch, path = "/api/v1/admin/users/{userId}", tag = "admin",
    params(("userId" = String, Path)),
    request_body = AccountPatch,
    responses(
        (status = 200, description = "Changed", body = AccountBody),
        (status = 403, description = "`admin_only`", body = ProblemDocument),
        (status = 404, description = "`user_not_found`", body = ProblemDocument),
        (status = 409, description = "`last_admin`, `not_yourself`", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn change(
    State(edge): State<Shared>,
    steward: Steward,
    OfUser(user): OfUser,
    Json(body): Json<AccountPatch>,
) -> Result<Response, Fault> {
    let wish = body.into_wish()?;
    let view = edge.services.accounts.change_account(steward.by, user, wish).await?;
    reply::json(StatusCode::OK, &AccountBody::from(view))
}

/// Make a link that sets a user's password
///
/// For someone who cannot get mail. An earlier link works no more.
#[utoipa::path(
    post, path = "/api/v1/admin/users/{userId}/reset", tag = "admin",
    params(("userId" = String, Path)),
    responses(
        (status = 201, description = "Made", body = ResetLink),
        (status = 403, description = "`admin_only`, `session_needed`", body = ProblemDocument),
        (status = 404, description = "`user_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn reset(
    State(edge): State<Shared>,
    steward: StewardPerson,
    OfUser(user): OfUser,
) -> Result<Response, Fault> {
    let token = edge.services.accounts.reset_token(steward.by, user).await?;
    reply::json(StatusCode::CREATED, &ResetLink::from(token))
}

/// What was done to the server, newest first
#[utoipa::path(
    get, path = "/api/v1/admin/audit", tag = "admin",
    params(
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1–200, default 50"),
    ),
    responses(
        (status = 200, description = "A page", body = PageBody<AuditBody>),
        (status = 403, description = "`admin_only`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn audit(
    State(edge): State<Shared>,
    steward: Steward,
    params: Params,
) -> Result<Response, Fault> {
    steward.by.check(ServerAction::ReadAudit)?;
    let found = edge.services.audit.audit(params.page()?).await?;
    reply::json(StatusCode::OK, &PageBody::of(found, AuditBody::from))
}

/// Let a fresh key sign access tokens
///
/// What older keys signed stays good until it ends. With `forgetOld`, for a key that got out, they
/// are gone at once and everyone signs in again.
#[utoipa::path(
    post, path = "/api/v1/admin/keys/rotate", tag = "admin",
    request_body = RotateKeys,
    responses(
        (status = 204, description = "Done, durable"),
        (status = 403, description = "`admin_only`, `session_needed`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn rotate(
    State(edge): State<Shared>,
    steward: StewardPerson,
    Json(body): Json<RotateKeys>,
) -> Result<Response, Fault> {
    edge.services.accounts.rotate_keys(steward.by, body.forget_old).await?;
    Ok(reply::no_content())
}
