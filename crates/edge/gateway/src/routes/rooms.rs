//! Rooms.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use klatch_ports::api::commands::RoomMade;
use klatch_ports::api::queries::RoomScope;
use klatch_protocol::problem::{Problem, ProblemDocument};
use klatch_protocol::rest::page::PageBody;
use klatch_protocol::rest::room::{
    NewRoom, RoomBody, RoomChange, RoomChanged, RoomMadeBody, RoomPatch,
};

use crate::body::Json;
use crate::caller::Caller;
use crate::conditions::AtLeast;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::params::Params;
use crate::paths::InRoom;
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/rooms", get(list).post(create))
        .route("/rooms/{roomId}", get(one).patch(update).delete(remove))
}

/// Rooms: those you are in by latest activity, or the public channels
#[utoipa::path(
    get, path = "/api/v1/rooms", tag = "rooms",
    params(
        ("scope" = Option<String>, Query, description = "`joined` (default) or `public`"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1–200, default 50"),
        ("X-Klatch-Position" = Option<String>, Header, description = "Positions to have reached"),
    ),
    responses(
        (status = 200, description = "A page", body = PageBody<RoomBody>),
        (status = 400, body = ProblemDocument,
         description = "`invalid_parameter`, `invalid_cursor`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn list(
    State(edge): State<Shared>,
    caller: Caller,
    params: Params,
    at_least: AtLeast,
) -> Result<Response, Fault> {
    let scope = match params.one("scope")? {
        None | Some("joined") => RoomScope::Joined,
        Some("public") => RoomScope::Public,
        Some(_) => return Err(Problem::invalid_parameter("scope").into()),
    };
    let page = params.page()?;
    let found = edge.services.queries.rooms(caller.actor, scope, page, &at_least.0).await?;
    reply::json(StatusCode::OK, &PageBody::of(found, RoomBody::from))
}

/// Make a room
///
/// A direct room is unique per pair: making it again answers 200 with the one there is.
#[utoipa::path(
    post, path = "/api/v1/rooms", tag = "rooms",
    request_body = NewRoom,
    responses(
        (status = 202, description = "Made, durable", body = RoomMadeBody),
        (status = 200, description = "The direct room was there", body = RoomMadeBody),
        (status = 404, description = "`user_not_found`", body = ProblemDocument),
        (status = 409, description = "`name_taken`", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn create(
    State(edge): State<Shared>,
    caller: Caller,
    Json(body): Json<NewRoom>,
) -> Result<Response, Fault> {
    let RoomMade { room, position } =
        edge.services.commands.create_room(caller.actor, body.into_wish()?).await?;
    let location = format!("/api/v1/rooms/{}", room.id);
    let mut response = if let Some(position) = position {
        let body = RoomMadeBody::of(RoomBody::just_made(room), Some(position));
        reply::accepted(&body, position)?
    } else {
        // As it is now, with what was said in it since.
        let view = edge.services.queries.room(caller.actor, room.id, &[]).await?;
        reply::json(StatusCode::OK, &RoomMadeBody::of(view.into(), None))?
    };
    reply::set_location(&mut response, location);
    Ok(response)
}

/// A room
#[utoipa::path(
    get, path = "/api/v1/rooms/{roomId}", tag = "rooms",
    params(
        ("roomId" = String, Path),
        ("X-Klatch-Position" = Option<String>, Header, description = "Positions to have reached"),
        ("If-None-Match" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The room", body = RoomBody),
        (status = 304, description = "As you have it"),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn one(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    at_least: AtLeast,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let view = edge.services.queries.room(caller.actor, room, &at_least.0).await?;
    reply::tagged(&headers, &RoomBody::from(view))
}

/// Change a room's texts or visibility, or archive it
#[utoipa::path(
    patch, path = "/api/v1/rooms/{roomId}", tag = "rooms",
    params(("roomId" = String, Path)),
    request_body = RoomPatch,
    responses(
        (status = 202, description = "Changed, durable", body = RoomChanged),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
        (status = 409, body = ProblemDocument,
         description = "`room_archived`, `name_taken`, `wrong_room_type`"),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn update(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    Json(body): Json<RoomPatch>,
) -> Result<Response, Fault> {
    let commands = &edge.services.commands;
    let changed = match body.into_change()? {
        RoomChange::Update(texts, visibility) => {
            commands.update_room(caller.actor, room, texts, visibility).await?
        }
        RoomChange::Archive(archived) => {
            commands.archive_room(caller.actor, room, archived).await?
        }
    };
    reply::accepted(&RoomChanged::from(&changed), changed.position)
}

/// Remove a room
#[utoipa::path(
    delete, path = "/api/v1/rooms/{roomId}", tag = "rooms",
    params(("roomId" = String, Path)),
    responses(
        (status = 202, description = "Removed, durable", body = RoomChanged),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
        (status = 409, description = "`wrong_room_type`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn remove(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
) -> Result<Response, Fault> {
    let changed = edge.services.commands.delete_room(caller.actor, room).await?;
    reply::accepted(&RoomChanged::from(&changed), changed.position)
}
