//! New passwords.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::StatusCode;
use http::request::Parts;
use klatch_ports::api::accounts::PasswordChange;
use klatch_protocol::problem::ProblemDocument;
use klatch_protocol::rest::account::{ChangePassword, RequestReset, ResetPassword};

use crate::body::Json;
use crate::caller::Person;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::{address, reply};

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users/me/password", post(change))
        .route("/auth/reset/request", post(request))
        .route("/auth/reset", post(reset))
}

/// Change your password
///
/// All other sessions end; this one goes on. Wrong attempts slow the next ones down.
#[utoipa::path(
    post, path = "/api/v1/users/me/password", tag = "users",
    request_body = ChangePassword,
    responses(
        (status = 204, description = "Changed"),
        (status = 403, description = "`wrong_password`, `session_needed`", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
        (status = 429, description = "`locked_out`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn change(
    State(edge): State<Shared>,
    person: Person,
    parts: Parts,
    Json(body): Json<ChangePassword>,
) -> Result<Response, Fault> {
    let change = PasswordChange {
        user: person.actor.user,
        keep: person.session,
        current: body.current_password,
        new: body.new_password,
        address: address::of(&parts).to_string(),
    };
    edge.services.accounts.change_password(change).await?;
    Ok(reply::no_content())
}

/// Ask for a link that sets a new password
///
/// It is sent to the account's address if the server can send mail; it works for 30 minutes. The
/// answer is the same whether or not there is such an account.
#[utoipa::path(
    post, path = "/api/v1/auth/reset/request", tag = "auth",
    request_body = RequestReset,
    responses(
        (status = 202, description = "Asked for"),
        (status = 429, description = "`locked_out`", body = ProblemDocument),
    )
)]
pub(crate) async fn request(
    State(edge): State<Shared>,
    parts: Parts,
    Json(body): Json<RequestReset>,
) -> Result<Response, Fault> {
    let address = address::of(&parts).to_string();
    edge.services.accounts.request_reset(&body.login, &address).await?;
    let mut response = reply::no_content();
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Set a new password with the token of a link
///
/// The token works once. All sessions end: sign in with the new password.
#[utoipa::path(
    post, path = "/api/v1/auth/reset", tag = "auth",
    request_body = ResetPassword,
    responses(
        (status = 204, description = "Set"),
        (status = 403, description = "`invalid_reset_token`", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    )
)]
pub(crate) async fn reset(
    State(edge): State<Shared>,
    Json(body): Json<ResetPassword>,
) -> Result<Response, Fault> {
    edge.services.accounts.reset_password(&body.token, body.new_password).await?;
    Ok(reply::no_content())
}
