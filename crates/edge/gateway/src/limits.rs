//! How often a caller may come: which window a route counts in, and the headers that tell of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use klatch_limits::{Action, Caller, Standing};
use klatch_ports::api::auth::Identity;
use klatch_protocol::problem::{Code, Problem};

use crate::address;
use crate::edge::Shared;
use crate::fault::Fault;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET_AFTER: HeaderName = HeaderName::from_static("x-ratelimit-reset-after");
const X_BUCKET: HeaderName = HeaderName::from_static("x-ratelimit-bucket");
/// What pages of other origins may read.
pub(crate) const HEADERS: [HeaderName; 6] =
    [POLICY, LIMIT, X_LIMIT, X_REMAINING, X_RESET_AFTER, X_BUCKET];

/// Where the caller of a request stands; lies beside it until its answer is made.
#[derive(Clone, Default)]
pub(crate) struct Noted(Arc<OnceLock<Standing>>);

/// Whose bucket a request takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Nobody's.
    Free,
    /// The address': the route asks for no token.
    Address(Action),
    /// The caller's, once they are known.
    Caller(Action),
}

fn rule(method: &Method, route: &str) -> Rule {
    let Some(route) = route.strip_prefix("/api/v1/") else { return Rule::Free };
    let reads = method == Method::GET || method == Method::HEAD;
    match (route, reads) {
        ("auth/login" | "auth/reset" | "auth/reset/request" | "invitations/look", _) => {
            Rule::Address(Action::Login)
        }
        ("auth/register", _) => Rule::Address(Action::Register),
        (
            "auth/refresh" | "meta" | "openapi.json" | "docs" | "docs/style.css" | "problems"
            | "problems/{code}",
            _,
        ) => Rule::Address(Action::Other),
        // For administrators, and one at a time.
        ("admin/import", _) => Rule::Free,
        ("rooms", false) => Rule::Caller(Action::CreateRoom),
        ("rooms/{roomId}/messages", false) => Rule::Caller(Action::Send),
        ("media/uploads", false) => Rule::Caller(Action::Upload),
        ("presence/query", _) | (_, true) => Rule::Caller(Action::Read),
        _ => Rule::Caller(Action::Other),
    }
}

/// Counts requests of routes that ask for no token, before anything of them is read.
pub(crate) async fn by_address(
    State(edge): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    if let Rule::Address(action) = rule_of(&parts) {
        of_address(&edge, &parts, action).await?;
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Counts a request by where it comes from.
pub(crate) async fn of_address(edge: &Shared, parts: &Parts, action: Action) -> Result<(), Fault> {
    take(edge, parts, Caller::Address(address::of(parts)), action).await
}

/// Counts a request by who makes it.
pub(crate) async fn of_caller(
    edge: &Shared,
    parts: &Parts,
    identity: &Identity,
) -> Result<(), Fault> {
    match rule_of(parts) {
        Rule::Caller(action) => take(edge, parts, identity.into(), action).await,
        Rule::Free | Rule::Address(_) => Ok(()),
    }
}

fn rule_of(parts: &Parts) -> Rule {
    let route = parts.extensions.get::<MatchedPath>();
    route.map_or(Rule::Free, |route| rule(&parts.method, route.as_str()))
}

async fn take(edge: &Shared, parts: &Parts, caller: Caller, action: Action) -> Result<(), Fault> {
    let Some(standing) = edge.services.limits.take(caller, action).await else { return Ok(()) };
    if let Some(Noted(noted)) = parts.extensions.get() {
        let _ = noted.set(standing);
    }
    match standing.refused {
        None => Ok(()),
        Some(wait) => {
            let problem = Problem { retry_after: Some(wait), ..Code::RateLimited.into() };
            Err(problem.into())
        }
    }
}

impl Noted {
    /// Tells the client, in the words of the IETF's draft and in those clients knew before.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Some(standing) = self.0.get() else { return };
        let Standing { action, window, remaining, full_after, .. } = standing;
        let (name, count) = (action.name(), window.count);
        let per = seconds(window.per);
        let full_after = seconds(*full_after);
        let values = [
            format!("\"{name}\";q={count};w={per}"),
            format!("\"{name}\";r={remaining};t={full_after}"),
            count.to_string(),
            remaining.to_string(),
            full_after.to_string(),
            name.to_owned(),
        ];
        for (header, value) in HEADERS.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(header, value);
            }
        }
    }
}

/// Rounded up: whoever waits that long has waited long enough.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_counts_where_it_belongs() {
        for (method, route, expected) in [
            (Method::POST, "/api/v1/auth/login", Rule::Address(Action::Login)),
            (Method::POST, "/api/v1/auth/reset", Rule::Address(Action::Login)),
            (Method::POST, "/api/v1/auth/register", Rule::Address(Action::Register)),
            (Method::POST, "/api/v1/auth/refresh", Rule::Address(Action::Other)),
            (Method::POST, "/api/v1/auth/logout", Rule::Caller(Action::Other)),
            (Method::POST, "/api/v1/rooms", Rule::Caller(Action::CreateRoom)),
            (Method::GET, "/api/v1/rooms", Rule::Caller(Action::Read)),
            (Method::POST, "/api/v1/rooms/{roomId}/messages", Rule::Caller(Action::Send)),
            (Method::HEAD, "/api/v1/rooms/{roomId}/messages", Rule::Caller(Action::Read)),
            (Method::POST, "/api/v1/presence/query", Rule::Caller(Action::Read)),
            (Method::PATCH, "/api/v1/rooms/{roomId}", Rule::Caller(Action::Other)),
            (Method::POST, "/api/v1/admin/import", Rule::Free),
            (Method::GET, "/healthz", Rule::Free),
        ] {
            assert_eq!(rule(&method, route), expected, "{method} {route}");
        }
    }
}
