//! Export and erasure of people, for administrators.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use futures::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use klatch_domain::audit::By;
use klatch_ports::api::compliance::Export;
use klatch_protocol::problem::ProblemDocument;
use klatch_protocol::rest::compliance::ErasedBody;

use crate::caller::Caller;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::paths::OfUser;
use crate::reply;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const DOWNLOAD: HeaderValue = HeaderValue::from_static("attachment; filename=\"export.ndjson\"");

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/admin/users/{userId}/export", get(export))
        .route("/admin/users/{userId}/erase", post(erase))
}

/// Everything the server holds of a user
///
/// One JSON object per line, by `type`: `export`, `account`, `session`, `membership`; then, in the
/// order of the log, `profile`, `message`, `edit` and whatever else they did or was done with them;
/// `end` at last. Without `end` it was cut short. Words of others are left out.
#[utoipa::path(
    get, path = "/api/v1/admin/users/{userId}/export", tag = "admin",
    params(("userId" = String, Path)),
    responses(
        (status = 200, description = "Lines of JSON", body = String,
            content_type = "application/x-ndjson"),
        (status = 403, description = "`admin_only`", body = ProblemDocument),
        (status = 404, description = "`user_not_found`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn export(
    State(edge): State<Shared>,
    caller: Caller,
    OfUser(user): OfUser,
) -> Result<Response, Fault> {
    let export = edge.services.compliance.export(By::User(caller.actor), user).await?;
    let lines = stream::unfold(Some(export), async |export| {
        let mut export: Box<dyn Export> = export?;
        match export.next().await {
            Ok(Some(lines)) => Some((Ok(lines), Some(export))),
            Ok(None) => None,
            // Breaks the answer off: a part must not be taken for the whole.
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, NDJSON);
    response.headers_mut().insert(CONTENT_DISPOSITION, DOWNLOAD);
    Ok(response)
}

/// Erase a user for good
///
/// Destroys their key, so that nothing they ever wrote can be read, in any copy; removes account,
/// names and sessions; shows them as a deleted user. It cannot be undone. Repeating it does no harm
/// and finishes what was cut short. Answers what was found in each store; `readable` is 0 when all
/// went well. Takes as long as reading the whole log.
#[utoipa::path(
    post, path = "/api/v1/admin/users/{userId}/erase", tag = "admin",
    params(("userId" = String, Path)),
    responses(
        (status = 200, description = "What was checked", body = ErasedBody),
        (status = 403, description = "`admin_only`", body = ProblemDocument),
        (status = 404, description = "`user_not_found`", body = ProblemDocument),
        (status = 409, description = "`last_admin`", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn erase(
    State(edge): State<Shared>,
    caller: Caller,
    OfUser(user): OfUser,
) -> Result<Response, Fault> {
    let erased = edge.services.compliance.erase(By::User(caller.actor), user).await?;
    reply::json(StatusCode::OK, &ErasedBody::from(erased))
}
