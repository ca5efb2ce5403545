//! From an HTTP request to a connection: the handshake, the token, the take-over of the socket.

mod door;
mod handshake;
mod offer;
mod take_over;
mod token;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, SEC_WEBSOCKET_VERSION};
use http::{HeaderValue, Request, Response, StatusCode};
use klatch_domain::scope::Scope;
use klatch_limits::{Action, Address, Caller, Class};
use klatch_meter::{Part, metered};
use klatch_ports::Position;
use klatch_ports::api::auth::Identity;
use klatch_protocol::problem::{Code, Problem};
use klatch_protocol::ws::client::RESUME_POSITIONS_MAX;

use crate::state::Shared;
pub(crate) use door::Door;

/// Answers an upgrade request.
pub(crate) async fn answer<B>(
    shared: &Arc<Shared>,
    mut request: Request<B>,
    request_id: &str,
) -> Response<Bytes> {
    // Taken out first: the rest of the request must not be held while the token is checked.
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let address = parts.extensions.get().copied().unwrap_or_default();
    let checked = async {
        let handshake = handshake::check(&parts, shared.config.deflate)?;
        let resume_from = positions(parts.uri.query().unwrap_or_default())?;
        if shared.is_leaving() || shared.stop.is_cancelled() {
            let detail = "the server is leaving";
            return Err(door::later(Code::Unavailable, detail, &*shared.deps.entropy));
        }
        let token = token::find(&parts.headers, &shared.config.allowed_origins)?;
        let turn = shared.door.turn(&*shared.deps.entropy).await?;
        let identity = identify(shared, token, address).await?;
        drop(turn);
        if !identity.scopes.has(Scope::Read) {
            return Err(Problem::new(Code::InsufficientScope));
        }
        let most = shared.deps.limits.connections(Class::from(&identity));
        let seat = Door::seat(shared, identity.actor.user, most).await?;
        Ok((handshake, identity, resume_from, seat))
    };
    match checked.await {
        Ok((handshake, identity, resume_from, seat)) => {
            let deflate = handshake.deflate;
            let newcomer =
                take_over::Upgrading { on_upgrade, identity, resume_from, deflate, seat };
            let welcome = take_over::welcome(Arc::clone(shared), newcomer);
            shared.tasks.spawn(metered(Part::Receiving, welcome));
            shared.stats.upgrade(true);
            handshake.accept()
        }
        Err(problem) => {
            shared.stats.upgrade(false);
            refuse(&problem, request_id)
        }
    }
}

/// Who `token` stands for, if they may connect now. Wrong tokens count against `address`.
async fn identify(shared: &Shared, token: &str, address: Address) -> Result<Identity, Problem> {
    let verified = shared.deps.tokens.verify(token).await;
    let (caller, action) = match &verified {
        Ok(identity) => (Caller::from(identity), Action::Connect),
        Err(_) => (Caller::Address(address), Action::Other),
    };
    let standing = shared.deps.limits.take(caller, action).await;
    if let Some(wait) = standing.and_then(|standing| standing.refused) {
        let problem = Problem::new(Code::RateLimited).detail("too many attempts to connect");
        return Err(Problem { retry_after: Some(wait), ..problem });
    }
    Ok(verified?)
}

/// Positions in the address (`?position=…&position=…`): a resume without asking for it first.
fn positions(query: &str) -> Result<Option<Vec<Position>>, Problem> {
    let mut found = Vec::new();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if name != "position" {
            continue;
        }
        let position = value
            .parse()
            .map_err(|_| Problem::new(Code::InvalidPosition).detail("position").at("?position"))?;
        found.push(position);
        if found.len() > RESUME_POSITIONS_MAX {
            return Err(Problem::invalid_parameter("position"));
        }
    }
    Ok((!found.is_empty()).then_some(found))
}

fn refuse(problem: &Problem, request_id: &str) -> Response<Bytes> {
    let document = problem.document(request_id);
    // A document of texts and numbers always serialises.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() =
        StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = problem.retry_after_seconds() {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.code == Code::UpgradeRequired {
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}
