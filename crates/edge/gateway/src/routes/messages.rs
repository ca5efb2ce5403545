//! Messages.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderName, StatusCode};
use klatch_domain::Seq;
use klatch_domain::permission::Actor;
use klatch_ports::api::commands::Sent;
use klatch_ports::api::queries::HistoryFrom;
use klatch_ports::messages::Range;
use klatch_protocol::problem::{Code, Problem, ProblemDocument};
use klatch_protocol::rest::message::{
    MessageBody, MessageChanged, MessagePatch, NewMessage, SentBody,
};
use klatch_protocol::rest::meta::MESSAGE_BODY_BYTES_MAX;
use klatch_protocol::rest::page::PageBody;
use klatch_protocol::rest::shown::page_json;
use tokio::time::timeout;

use crate::body::Json;
use crate::caller::Caller;
use crate::conditions::{AtLeast, IdempotencyKey, PreferWait};
use crate::edge::{Edge, Shared};
use crate::fault::Fault;
use crate::params::Params;
use crate::paths::{InRoom, OfMessage};
use crate::reply;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/rooms/{roomId}/messages", get(history).post(send))
        .route("/rooms/{roomId}/messages/{messageId}", get(one).patch(edit).delete(remove))
}

/// A page of a room's history, always newest first
///
/// Without `before`, `after` and `cursor` the newest messages. `before=n`: the newest with a seq
/// below n; `after=n`: the oldest with a seq above n. All digits are a seq, anything else a cursor.
#[utoipa::path(
    get, path = "/api/v1/rooms/{roomId}/messages", tag = "messages",
    params(
        ("roomId" = String, Path),
        ("before" = Option<String>, Query, description = "A seq or a cursor"),
        ("after" = Option<String>, Query, description = "A seq or a cursor"),
        ("cursor" = Option<String>, Query,
         description = "`nextCursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1–200, default 50"),
        ("X-Klatch-Position" = Option<String>, Header, description = "Positions to have reached"),
    ),
    responses(
        (status = 200, description = "A page", body = PageBody<MessageBody>),
        (status = 400, body = ProblemDocument,
         description = "`invalid_cursor`, `conflicting_parameters`, `invalid_position`"),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
        (status = 503, description = "`read_model_behind`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn history(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    params: Params,
    at_least: AtLeast,
) -> Result<Response, Fault> {
    let (name, from) = place(&params)?;
    let limit = params.limit()?;
    let found = edge.services.queries.history(caller.actor, room, from, limit, &at_least.0).await;
    let page = found.map_err(|error| match Problem::from(&error).code {
        Code::InvalidCursor => invalid_cursor(name).into(),
        _ => Fault::from(error),
    })?;
    reply::encoded(page_json(&page))
}

/// Where to read, and the parameter that says so.
fn place(params: &Params) -> Result<(&'static str, HistoryFrom), Problem> {
    let names = ["before", "after", "cursor"];
    let mut given = Vec::new();
    for name in names {
        if let Some(text) = params.cursor(name)? {
            given.push((name, text));
        }
    }
    let conflict = given.iter().fold(Problem::new(Code::ConflictingParameters), |problem, it| {
        problem.at(format!("?{}", it.0))
    });
    let mut given = given.into_iter();
    let Some((name, text)) = given.next() else {
        return Ok(("cursor", HistoryFrom::Range(Range::Latest)));
    };
    if given.next().is_some() {
        return Err(conflict);
    }
    let is_seq = name != "cursor" && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_seq {
        return Ok((name, HistoryFrom::Cursor(text)));
    }
    let seq = Seq(text.parse().map_err(|_| invalid_cursor(name))?);
    let range = if name == "before" { Range::Before(seq) } else { Range::After(seq) };
    Ok((name, HistoryFrom::Range(range)))
}

fn invalid_cursor(name: &str) -> Problem {
    Problem::new(Code::InvalidCursor).at(format!("?{name}"))
}

/// Send a message
///
/// With `Prefer: wait=N` (at most 10 seconds) the answer is 201 with the stored message if it could
/// be read in time. `Idempotency-Key` and `clientMessageId` are one key: repeating it within 24
/// hours creates nothing and answers as the first time, with `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/api/v1/rooms/{roomId}/messages", tag = "messages",
    params(
        ("roomId" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1–64 characters"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
    ),
    request_body = NewMessage,
    responses(
        (status = 202, description = "Accepted, durable", body = SentBody),
        (status = 201, description = "Accepted and stored", body = MessageBody),
        (status = 400, description = "`idempotency_key_conflict`", body = ProblemDocument),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, description = "`room_not_found`", body = ProblemDocument),
        (status = 409, description = "`room_archived`, `still_running`", body = ProblemDocument),
        (status = 422, body = ProblemDocument,
         description = "`content_too_long`, `idempotency_mismatch`, `invalid_field`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn send(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    IdempotencyKey(key): IdempotencyKey,
    PreferWait(wait): PreferWait,
    Json(body): Json<NewMessage, MESSAGE_BODY_BYTES_MAX>,
) -> Result<Response, Fault> {
    let wish = body.into_wish(key)?;
    let key = wish.client_key.clone();
    let sent = edge.services.commands.send_message(caller.actor, room, wish).await?;
    let stored = match wait {
        Some(wait) => stored(&edge, caller.actor, &sent, wait).await,
        None => None,
    };
    let mut response = match (&stored, wait) {
        (Some(message), Some(wait)) => {
            let mut response = reply::json(StatusCode::CREATED, message)?;
            let applied = format!("wait={}", wait.as_secs());
            reply::set(&mut response, PREFERENCE_APPLIED, applied);
            reply::set_position(&mut response, sent.position);
            response
        }
        _ => reply::accepted(&SentBody::of(&sent, key), sent.position)?,
    };
    reply::set_location(&mut response, format!("/api/v1/rooms/{room}/messages/{}", sent.message));
    if sent.replayed {
        reply::set(&mut response, REPLAYED, "true".to_owned());
    }
    Ok(response)
}

/// The message as it is stored, if it can be read in time. It was accepted in any case, so nothing
/// that goes wrong here is the send's failure.
async fn stored(edge: &Edge, actor: Actor, sent: &Sent, wait: Duration) -> Option<MessageBody> {
    let Sent { message, room, position, .. } = *sent;
    let at_least = [position];
    let read = edge.services.queries.message(actor, room, message, &at_least);
    timeout(wait, read).await.ok()?.ok().map(MessageBody::from)
}

/// A message
#[utoipa::path(
    get, path = "/api/v1/rooms/{roomId}/messages/{messageId}", tag = "messages",
    params(
        ("roomId" = String, Path), ("messageId" = String, Path),
        ("X-Klatch-Position" = Option<String>, Header, description = "Positions to have reached"),
        ("If-None-Match" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The message", body = MessageBody),
        (status = 304, description = "As you have it"),
        (status = 404, body = ProblemDocument,
         description = "`room_not_found`, `message_not_found`"),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn one(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    OfMessage(message): OfMessage,
    at_least: AtLeast,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let queries = &edge.services.queries;
    let view = queries.message(caller.actor, room, message, &at_least.0).await?;
    reply::tagged(&headers, &MessageBody::from(view))
}

/// Give one's own message new words
#[utoipa::path(
    patch, path = "/api/v1/rooms/{roomId}/messages/{messageId}", tag = "messages",
    params(("roomId" = String, Path), ("messageId" = String, Path)),
    request_body = MessagePatch,
    responses(
        (status = 202, description = "Changed, durable", body = MessageChanged),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, body = ProblemDocument,
         description = "`room_not_found`, `message_not_found`"),
        (status = 409, description = "`message_deleted`, `room_archived`", body = ProblemDocument),
        (status = 422, description = "`content_too_long`, `invalid_field`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn edit(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    OfMessage(message): OfMessage,
    Json(MessagePatch { content }): Json<MessagePatch, MESSAGE_BODY_BYTES_MAX>,
) -> Result<Response, Fault> {
    let commands = &edge.services.commands;
    let changed = commands.edit_message(caller.actor, room, message, content).await?;
    reply::accepted(&MessageChanged::of(&changed, message), changed.position)
}

/// Take a message back
#[utoipa::path(
    delete, path = "/api/v1/rooms/{roomId}/messages/{messageId}", tag = "messages",
    params(("roomId" = String, Path), ("messageId" = String, Path)),
    responses(
        (status = 202, description = "Taken back, durable", body = MessageChanged),
        (status = 403, description = "`forbidden`", body = ProblemDocument),
        (status = 404, body = ProblemDocument,
         description = "`room_not_found`, `message_not_found`"),
        (status = 409, description = "`message_deleted`, `room_archived`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn remove(
    State(edge): State<Shared>,
    caller: Caller,
    InRoom(room): InRoom,
    OfMessage(message): OfMessage,
) -> Result<Response, Fault> {
    let changed = edge.services.commands.delete_message(caller.actor, room, message).await?;
    reply::accepted(&MessageChanged::of(&changed, message), changed.position)
}
