//! Registering, signing in and out.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use klatch_ports::api::auth::SignedIn;
use klatch_protocol::problem::{Code, Problem, ProblemDocument};
use klatch_protocol::rest::account::{Login, Logout, NewAccount, Refresh, SignedInBody};

use crate::body::{Json, MaybeJson};
use crate::caller::Person;
use crate::edge::{Edge, Shared};
use crate::fault::Fault;
use crate::routes::invitations;
use crate::{address, cookies, reply};

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/auth/register", post(register))
        .route("/auth/login", post(login))
        .route("/auth/refresh", post(refresh))
        .route("/auth/logout", post(logout))
}

/// Make an account and sign in
///
/// The answer's `position` lets reads see the account at once. With an `invitation` this works on a
/// closed server too; the room it leads to is entered (`roomId`), unless whoever invited may not
/// bring people there any more.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth",
    request_body = NewAccount,
    responses(
        (status = 201, description = "Made", body = SignedInBody),
        (status = 403, body = ProblemDocument,
         description = "`registration_closed`, `invalid_setup_token`, `invalid_invitation`"),
        (status = 409, description = "`username_taken`, `email_taken`", body = ProblemDocument),
        (status = 410, body = ProblemDocument,
         description = "`invitation_expired`, `invitation_used_up`, `invitation_revoked`"),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    )
)]
pub(crate) async fn register(
    State(edge): State<Shared>,
    parts: Parts,
    Json(body): Json<NewAccount>,
) -> Result<Response, Fault> {
    let (wish, cookie) = body.into_wish(device(&parts.headers));
    let mut signed_in = edge.services.auth.register(wish).await?;
    if let Some(welcome) = signed_in.welcome {
        // The account is there whatever becomes of the room; the link can be opened again.
        match invitations::enter(&edge, signed_in.user, welcome).await {
            Ok(_) => {}
            Err(_) => signed_in.welcome = None,
        }
    }
    answer(&edge, StatusCode::CREATED, &signed_in, cookie)
}

/// Sign in with a name or an e-mail address
///
/// Failures slow the next attempts down, by account and by address.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth",
    request_body = Login,
    responses(
        (status = 200, description = "Signed in", body = SignedInBody),
        (status = 401, description = "`invalid_credentials`", body = ProblemDocument),
        (status = 403, description = "`account_locked`", body = ProblemDocument),
        (status = 429, description = "`locked_out`", body = ProblemDocument),
    )
)]
pub(crate) async fn login(
    State(edge): State<Shared>,
    parts: Parts,
    Json(body): Json<Login>,
) -> Result<Response, Fault> {
    let Login { login, password, cookie } = body;
    let address = address::of(&parts).to_string();
    let device = device(&parts.headers);
    let signed_in = edge.services.auth.login(&login, &password, &device, &address).await?;
    answer(&edge, StatusCode::OK, &signed_in, cookie)
}

/// A new pair of tokens
///
/// The refresh token is used up. Repeating the identical request within ten seconds answers with
/// the same new one; using it later ends the session, because then two hold it. In cookie mode
/// leave `refreshToken` out and send `X-Klatch-CSRF`.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth",
    request_body = Refresh,
    responses(
        (status = 200, description = "Refreshed", body = SignedInBody),
        (status = 401, description = "`invalid_refresh_token`", body = ProblemDocument),
        (status = 403, description = "`csrf_failed`, `account_locked`", body = ProblemDocument),
    )
)]
pub(crate) async fn refresh(
    State(edge): State<Shared>,
    parts: Parts,
    MaybeJson(body): MaybeJson<Refresh>,
) -> Result<Response, Fault> {
    let Refresh { refresh_token, cookie } = body;
    if let Some(token) = refresh_token {
        let signed_in = edge.services.auth.refresh(&token).await?;
        return answer(&edge, StatusCode::OK, &signed_in, cookie);
    }
    let missing = || Problem::new(Code::MissingField).at("/refreshToken");
    let token = cookies::read(&parts.headers, cookies::REFRESH).ok_or_else(missing)?;
    cookies::check_csrf(&parts.method, &parts.headers)?;
    match edge.services.auth.refresh(token).await {
        Ok(signed_in) => answer(&edge, StatusCode::OK, &signed_in, true),
        Err(error) => {
            let fault = Fault::from(error);
            let is_over = matches!(fault.code(), Code::InvalidRefreshToken | Code::AccountLocked);
            let mut response = fault.into_response();
            if is_over {
                cookies::clear(response.headers_mut(), &edge);
            }
            Ok(response)
        }
    }
}

/// End this session, or with `everywhere` all of them
///
/// Its tokens stop working at once, its WebSocket connections close within a second.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth",
    request_body = Option<Logout>,
    responses((status = 204, description = "Ended")),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn logout(
    State(edge): State<Shared>,
    person: Person,
    MaybeJson(Logout { cookie: _, everywhere }): MaybeJson<Logout>,
) -> Result<Response, Fault> {
    if everywhere {
        edge.services.accounts.end_sessions(person.actor.user).await?;
    } else if let Some(session) = person.session {
        edge.services.auth.logout(session).await?;
    }
    let mut response = reply::no_content();
    cookies::clear(response.headers_mut(), &edge);
    Ok(response)
}

fn answer(
    edge: &Edge,
    status: StatusCode,
    signed_in: &SignedIn,
    cookie: bool,
) -> Result<Response, Fault> {
    let mut response = reply::json(status, &SignedInBody::of(signed_in, cookie))?;
    if cookie {
        cookies::set(response.headers_mut(), signed_in, edge);
    }
    if let Some(position) = signed_in.position {
        reply::set_position(&mut response, position);
    }
    Ok(response)
}

/// What the client calls itself.
fn device(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    agent.unwrap_or_default().to_owned()
}
