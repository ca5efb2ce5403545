//! Members of rooms.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, patch, post};
use http::StatusCode;
use klatch_domain::UserId;
use klatch_domain::member::MemberRole;
use klatch_ports::api::commands::Changed;
use klatch_protocol::problem::ProblemDocument;
use klatch_protocol::rest::member::{AddMember, ChangeMember, MemberBody, MemberChanged};
use klatch_protocol::rest::page::PageBody;

use crate::body::Json;
use crate::caller::Caller;
use crate::conditions::AtLeast;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::params::Params;
use crate::paths::{InRoom, OfUser};
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/rooms/{roomId}/members", get(list).post(add))
        .route("/rooms/{roomId}/members/{userId}", patch(change).delete(remove))
        .route("/rooms/{roomId}/join", post(join))
        .route("/rooms/{roomId}/leave", post(leave))
}

/// Members of a room
#[utoipa::path(
    get, path = "/api/v1/rooms/{roomId}/members", tag = "members",
    params(
        ("roomId" = String, Path),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1–200, default 50"),
        ("X-Klatch-Position" = Option<String>, Header, description = "Positions to have reached"),
    ),
    responses(
        (status = 200, description = "A page", body = PageBody<MemberBody>),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn list(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    params: Params,
    at_least: AtLeast,
) -> Result<Response, Fault> {
    let page = params.page()?;
    let found = edge.services.queries.members(caller.actor, room, page, &at_least.0).await?;
    reply::json(StatusCode::OK, &PageBody::of(found, MemberBody::from))
}

/// Bring a user in
#[utoipa::path(
    post, path = "/api/v1/rooms/{roomId}/members", tag = "members",
    params(("roomId" = String, Path)),
    request_body = AddMember,
    responses(
        (status = 202, description = "In, durable", body = MemberChanged),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, description = "`room_not_found`, `user_not_found`", body = ProblemDocument),
        (status = 409, body = ProblemDocument,
         description = "`already_member`, `room_full`, `room_archived`, `wrong_room_type`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn add(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    Json(body): Json<AddMember>,
) -> Result<Response, Fault> {
    let (user, role) = body.into_wish()?;
    let changed = edge.services.commands.add_member(caller.actor, room, user, role).await?;
    answer(&changed, user, Some(role))
}

/// Change a member's role
#[utoipa::path(
    patch, path = "/api/v1/rooms/{roomId}/members/{userId}", tag = "members",
    params(("roomId" = String, Path), ("userId" = String, Path)),
    request_body = ChangeMember,
    responses(
        (status = 202, description = "Changed, durable", body = MemberChanged),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, body = ProblemDocument,
         description = "`room_not_found`, `member_not_found`"),
        (status = 409, body = ProblemDocument,
         description = "`last_owner`, `room_archived`, `wrong_room_type`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn change(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    OfUser(user): OfUser,
    Json(body): Json<ChangeMember>,
) -> Result<Response, Fault> {
    let role = body.into_role()?;
    let changed = edge.services.commands.change_role(caller.actor, room, user, role).await?;
    answer(&changed, user, Some(role))
}

/// Take a member out
#[utoipa::path(
    delete, path = "/api/v1/rooms/{roomId}/members/{userId}", tag = "members",
    params(("roomId" = String, Path), ("userId" = String, Path)),
    responses(
        (status = 202, description = "Out, durable", body = MemberChanged),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, body = ProblemDocument,
         description = "`room_not_found`, `member_not_found`"),
        (status = 409, description = "`last_owner`, `wrong_room_type`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn remove(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    OfUser(user): OfUser,
) -> Result<Response, Fault> {
    let changed = edge.services.commands.remove_member(caller.actor, room, user).await?;
    answer(&changed, user, None)
}

/// Come into a public channel
#[utoipa::path(
    post, path = "/api/v1/rooms/{roomId}/join", tag = "members",
    params(("roomId" = String, Path)),
    responses(
        (status = 202, description = "In, durable", body = MemberChanged),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
        (status = 409, body = ProblemDocument,
         description = "`already_member`, `room_full`, `room_archived`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn join(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
) -> Result<Response, Fault> {
    let changed = edge.services.commands.join(caller.actor, room).await?;
    answer(&changed, caller.actor.user, Some(MemberRole::Member))
}

/// Go
#[utoipa::path(
    post, path = "/api/v1/rooms/{roomId}/leave", tag = "members",
    params(("roomId" = String, Path)),
    responses(
        (status = 202, description = "Out, durable", body = MemberChanged),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
        (status = 409, description = "`last_owner`, `wrong_room_type`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn leave(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
) -> Result<Response, Fault> {
    let changed = edge.services.commands.leave(caller.actor, room).await?;
    answer(&changed, caller.actor.user, None)
}

fn answer(changed: &Changed, user: UserId, role: Option<MemberRole>) -> Result<Response, Fault> {
    reply::accepted(&MemberChanged::of(changed, user, role), changed.position)
}
