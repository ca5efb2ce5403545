//! Invitations: to the server, and to one of its rooms.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::StatusCode;
use klatch_domain::member::MemberRole;
use klatch_domain::permission::{self, Action, Actor};
use klatch_domain::{Rejection, RoomId, UserId};
use klatch_ports::api::accounts::Welcome;
use klatch_ports::api::commands::Changed;
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::invitations::Invitation;
use klatch_protocol::problem::{Problem, ProblemDocument};
use klatch_protocol::rest::invitation::{
    InvitationBody, InvitationPreview, InvitationToken, NewInvitationBody,
};
use klatch_protocol::rest::member::MemberChanged;
use klatch_protocol::rest::page::PageBody;

use crate::body::Json;
use crate::caller::Caller;
use crate::edge::{Edge, Shared};
use crate::fault::Fault;
use crate::params::Params;
use crate::paths::OfInvitation;
use crate::reply;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/invitations", get(list).post(make))
        .route("/invitations/{invitationId}", delete(take_back))
        .route("/invitations/look", post(look))
        .route("/invitations/accept", post(accept))
}

/// Make an invitation
///
/// To a room (`roomId`) for its owners and admins who are no guests of the server, to the server
/// for administrators. On a server with closed registration only administrators may invite with
/// `role: member`. The answer tells the `token`, this once.
#[utoipa::path(
    post, path = "/api/v1/invitations", tag = "invitations",
    request_body = NewInvitationBody,
    responses(
        (status = 201, description = "Made", body = InvitationBody),
        (status = 403, description = "`forbidden`, `admin_only`", body = ProblemDocument),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
        (status = 409, description = "`wrong_room_type`, `room_archived`", body = ProblemDocument),
        (status = 422, description = "`invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn make(
    State(edge): State<Shared>,
    caller: Caller,
    Json(body): Json<NewInvitationBody>,
) -> Result<Response, Fault> {
    let wish = body.into_wish(edge.services.clock.now())?;
    if let Some(room) = wish.room {
        check_room(&edge, caller.actor, room).await?;
    }
    let (invitation, token) = edge.services.invitations.invite(caller.actor, wish).await?;
    reply::json(StatusCode::CREATED, &InvitationBody::of(&invitation, Some(token)))
}

/// Invitations, newest first: those to a room, or all
#[utoipa::path(
    get, path = "/api/v1/invitations", tag = "invitations",
    params(
        ("roomId" = Option<String>, Query, description = "Only for administrators without it"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1–200, default 50"),
    ),
    responses(
        (status = 200, description = "A page", body = PageBody<InvitationBody>),
        (status = 403, description = "`forbidden`, `admin_only`", body = ProblemDocument),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn list(
    State(edge): State<Shared>,
    caller: Caller,
    params: Params,
) -> Result<Response, Fault> {
    let room = match params.one("roomId")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Problem::invalid_parameter("roomId"))?),
    };
    let page = params.page()?;
    if let Some(room) = room {
        check_room(&edge, caller.actor, room).await?;
    }
    let found = edge.services.invitations.invitations(caller.actor, room, page).await?;
    let show = |invitation| InvitationBody::of(&invitation, None);
    reply::json(StatusCode::OK, &PageBody::of(found, show))
}

/// Take an invitation back
///
/// Whoever came in by it stays.
#[utoipa::path(
    delete, path = "/api/v1/invitations/{invitationId}", tag = "invitations",
    params(("invitationId" = String, Path)),
    responses(
        (status = 204, description = "Nobody comes in by it any more"),
        (status = 404, description = "`invitation_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn take_back(
    State(edge): State<Shared>,
    caller: Caller,
    OfInvitation(id): OfInvitation,
) -> Result<Response, Fault> {
    let invitation = edge.services.invitations.invitation(id).await?;
    check_in_charge(&edge, caller.actor, &invitation).await?;
    edge.services.invitations.revoke_invitation(caller.actor, id).await?;
    Ok(reply::no_content())
}

/// What an invitation leads to, for whoever has its token
#[utoipa::path(
    post, path = "/api/v1/invitations/look", tag = "invitations",
    request_body = InvitationToken,
    responses(
        (status = 200, description = "It lets people in", body = InvitationPreview),
        (status = 403, description = "`invalid_invitation`", body = ProblemDocument),
        (status = 410, body = ProblemDocument,
         description = "`invitation_expired`, `invitation_used_up`, `invitation_revoked`"),
    )
)]
pub(crate) async fn look(
    State(edge): State<Shared>,
    Json(body): Json<InvitationToken>,
) -> Result<Response, Fault> {
    let (invitation, inviter) = edge.services.invitations.look_at_invitation(&body.token).await?;
    let name = match invitation.room {
        None => None,
        Some(room) => match edge.services.queries.room(inviter, room, &[]).await {
            Ok(view) => view.room.texts.name,
            Err(ServiceError::Rejected(_)) => return Err(Rejection::InvitationInvalid.into()),
            Err(error) => return Err(error.into()),
        },
    };
    reply::json(StatusCode::OK, &InvitationPreview::of(&invitation, name))
}

/// Come into the room that an invitation leads to
///
/// An invitation lets the same person in once. `already_member` uses nothing up.
#[utoipa::path(
    post, path = "/api/v1/invitations/accept", tag = "invitations",
    request_body = InvitationToken,
    responses(
        (status = 202, description = "In, durable", body = MemberChanged),
        (status = 403, description = "`invalid_invitation`", body = ProblemDocument),
        (status = 409, body = ProblemDocument,
         description = "`already_member` (also of the server, when it leads to no room), \
            `room_full`, `room_archived`"),
        (status = 410, body = ProblemDocument,
         description = "`invitation_expired`, `invitation_used_up`, `invitation_revoked`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn accept(
    State(edge): State<Shared>,
    caller: Caller,
    Json(body): Json<InvitationToken>,
) -> Result<Response, Fault> {
    let user = caller.actor.user;
    if is_in_already(&edge, caller.actor, &body.token).await? {
        return Err(Rejection::AlreadyMember.into());
    }
    let welcome = edge.services.invitations.redeem(caller.actor, &body.token).await?;
    let changed = enter(&edge, user, welcome).await?;
    let body = MemberChanged::of(&changed, user, Some(MemberRole::Member));
    reply::accepted(&body, changed.position)
}

/// Whether the one who holds the token is where it leads to.
async fn is_in_already(edge: &Edge, actor: Actor, token: &str) -> ServiceResult<bool> {
    let (invitation, _) = match edge.services.invitations.look_at_invitation(token).await {
        Ok(found) => found,
        // By the asker, it may be, who has not come in yet.
        Err(ServiceError::Rejected(Rejection::InvitationUsedUp)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let Some(room) = invitation.room else { return Ok(true) };
    match edge.services.queries.room(actor, room, &[]).await {
        Ok(view) => Ok(view.membership.is_some()),
        Err(ServiceError::Rejected(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Brings someone whose use was counted into the room, in the inviter's name: so whoever may not
/// bring people in any more has links that let nobody in. A use that brings nobody in is given
/// back, unless what became of it is not known.
pub(crate) async fn enter(edge: &Edge, user: UserId, welcome: Welcome) -> ServiceResult<Changed> {
    let Welcome { room, inviter, .. } = welcome;
    let entered = edge.services.commands.add_member(inviter, room, user, MemberRole::Member).await;
    let done = match &entered {
        // A member already: by this very use, before a crash.
        Ok(_) | Err(ServiceError::Rejected(Rejection::AlreadyMember)) => Some(true),
        Err(ServiceError::Rejected(_)) => Some(false),
        Err(_) => None,
    };
    if let Some(done) = done {
        edge.services.invitations.redeemed(user, welcome, done).await?;
    }
    match entered {
        // Of a room that the asker may not see they learn nothing but that the link is of no use.
        Err(ServiceError::Rejected(Rejection::RoomNotFound | Rejection::Forbidden)) => {
            Err(Rejection::InvitationInvalid.into())
        }
        entered => entered,
    }
}

/// Refuses who does not run the room; they may not see its invitations either.
async fn check_room(edge: &Edge, actor: Actor, room: RoomId) -> ServiceResult<()> {
    let view = edge.services.queries.room(actor, room, &[]).await?;
    permission::check(actor, &view.room, view.membership.as_ref(), Action::InviteByLink)?;
    Ok(())
}

/// Refuses who could not have made the invitation, as if it were not there.
async fn check_in_charge(edge: &Edge, actor: Actor, invitation: &Invitation) -> ServiceResult<()> {
    use klatch_domain::permission::ServerAction::InviteToServer;
    if permission::check_server(actor, InviteToServer).is_ok() {
        return Ok(());
    }
    let Some(room) = invitation.room else { return Err(Rejection::InvitationNotFound.into()) };
    match check_room(edge, actor, room).await {
        // A closed room's links can still be taken back.
        Ok(()) | Err(ServiceError::Rejected(Rejection::RoomArchived)) => Ok(()),
        Err(ServiceError::Rejected(_)) => Err(Rejection::InvitationNotFound.into()),
        Err(error) => Err(error),
    }
}
