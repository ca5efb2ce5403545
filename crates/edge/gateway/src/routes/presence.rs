//! Who is there, and who is typing.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use klatch_protocol::problem::ProblemDocument;
use klatch_protocol::rest::presence::{
    ChoosePresence, OwnPresenceBody, PresenceList, PresenceQuery, TypingWord,
};

use crate::body::{Json, MaybeJson};
use crate::caller::Caller;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::paths::InRoom;
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users/me/presence", get(own).put(choose))
        .route("/presence/query", post(query))
        .route("/rooms/{roomId}/typing", post(typing))
}

/// Your presence
#[utoipa::path(
    get, path = "/api/v1/users/me/presence", tag = "presence",
    responses((status = 200, description = "As others see it, and why", body = OwnPresenceBody)),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn own(State(edge): State<Shared>, caller: Caller) -> Result<Response, Fault> {
    let own = edge.services.people.own_presence(caller.actor).await?;
    reply::json(StatusCode::OK, &OwnPresenceBody::from(own))
}

/// Choose what others see of you
///
/// Replaces all you chose before; an empty object goes back to what your devices say. Not durable.
#[utoipa::path(
    put, path = "/api/v1/users/me/presence", tag = "presence",
    request_body = ChoosePresence,
    responses(
        (status = 204, description = "Chosen"),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
        (status = 429, description = "`rate_limited`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn choose(
    State(edge): State<Shared>,
    caller: Caller,
    Json(body): Json<ChoosePresence>,
) -> Result<Response, Fault> {
    edge.services.people.choose(caller.actor, body.into_choice()?).await?;
    Ok(reply::no_content())
}

/// The presence of up to 1,000 people
///
/// Guests see those in whose rooms they are; everyone else is offline to them.
#[utoipa::path(
    post, path = "/api/v1/presence/query", tag = "presence",
    request_body = PresenceQuery,
    responses(
        (status = 200, description = "In the order asked", body = PresenceList),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn query(
    State(edge): State<Shared>,
    caller: Caller,
    Json(body): Json<PresenceQuery>,
) -> Result<Response, Fault> {
    let found = edge.services.people.presence_for(caller.actor, &body.into_users()?).await;
    let found = found.map_err(klatch_ports::api::ServiceError::from)?;
    reply::json(StatusCode::OK, &PresenceList::from(found))
}

/// Say that you type in a room, or have stopped
///
/// Told to members who asked for it, at most once in three seconds; not in rooms of more than 500.
#[utoipa::path(
    post, path = "/api/v1/rooms/{roomId}/typing", tag = "presence",
    params(("roomId" = String, Path)),
    request_body(content = TypingWord, description = "May be left out: you type"),
    responses(
        (status = 204, description = "Told, or not worth telling"),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
        (status = 409, description = "`room_archived`", body = ProblemDocument),
        (status = 429, description = "`rate_limited`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn typing(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    MaybeJson(TypingWord { is_typing }): MaybeJson<TypingWord>,
) -> Result<Response, Fault> {
    edge.services.people.typing(caller.actor, room, is_typing.unwrap_or(true)).await?;
    Ok(reply::no_content())
}
