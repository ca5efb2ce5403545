//! What was missed.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use klatch_ports::Position;
use klatch_protocol::problem::{Code, Problem, ProblemDocument};
use klatch_protocol::rest::sync::SyncBody;

use crate::caller::Caller;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::params::Params;
use crate::reply;

/// More than a server has partitions.
const POSITIONS_MAX: usize = 64;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/sync", get(sync))
}

/// What happened in your rooms since positions
///
/// In one of three tiers, as a WebSocket's `resume` is answered: `replay` with every missed event
/// (up to 1,000), `delta` with each room that changed and its newest events, `snapshot` with the
/// rooms that were active last. `invalid` names a reason: the positions mean nothing here. The cost
/// follows what happened, not how many rooms you are in.
#[utoipa::path(
    get, path = "/api/v1/sync", tag = "sync",
    params(
        ("position" = Option<Vec<String>>, Query,
         description = "The newest position you have, one for each part before the dot"),
    ),
    responses(
        (status = 200, description = "What was missed", body = SyncBody),
        (status = 400, description = "`invalid_position`", body = ProblemDocument),
        (status = 503, description = "`read_model_behind`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn sync(
    State(edge): State<Shared>,
    caller: Caller,
    params: Params,
) -> Result<Response, Fault> {
    let known = positions(&params)?;
    let missed = edge.services.queries.sync(caller.actor, &known).await?;
    reply::json(StatusCode::OK, &SyncBody::from(missed))
}

fn positions(params: &Params) -> Result<Vec<Position>, Problem> {
    let refused = || Problem::new(Code::InvalidPosition).at("?position".to_owned());
    let named: Vec<&str> = params.all("position").collect();
    if named.len() > POSITIONS_MAX {
        return Err(refused());
    }
    named.into_iter().map(|text| text.parse().map_err(|_| refused())).collect()
}
