//! Who makes a request.

use axum::extract::{FromRequestParts, MatchedPath};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use klatch_domain::SessionId;
use klatch_domain::audit::By;
use klatch_domain::permission::Actor;
use klatch_domain::scope::Scope;
use klatch_limits::Action;
use klatch_ports::api::auth::{Credential, Identity};
use klatch_protocol::problem::{Code, Problem};

use crate::edge::Shared;
use crate::fault::Fault;
use crate::{cookies, limits};

/// Questions that are too long for an address.
const READS_BY_POST: [&str; 1] = ["/api/v1/presence/query"];
/// Below it the server is run.
const ADMIN: &str = "/api/v1/admin/";

/// Whoever the request's token stands for: `Authorization: Bearer …`, or else the cookie. A
/// program's token has the scope that the route needs.
pub(crate) struct Caller {
    pub(crate) actor: Actor,
}

/// A [`Caller`] who signed in: what has to do with passwords, sessions and tokens is not for
/// programs, so that a token that was stolen cannot make itself another.
pub(crate) struct Person {
    pub(crate) actor: Actor,
    /// `None` for tokens of other issuers.
    pub(crate) session: Option<SessionId>,
}

impl Person {
    pub(crate) fn by(&self) -> By {
        By::User(self.actor)
    }
}

/// Stands beside each request that came from whoever has the machine, which the way it came in by
/// has made sure of. Nothing that is sent over any way in can put it there.
#[derive(Clone, Copy, Debug)]
pub struct Operator;

/// Who runs the server: a [`Caller`], or the [`Operator`].
pub(crate) struct Steward {
    pub(crate) by: By,
}

/// A [`Steward`] who is no program.
pub(crate) struct StewardPerson {
    pub(crate) by: By,
}

fn operator(parts: &Parts) -> Option<By> {
    parts.extensions.get::<Operator>().map(|Operator| By::Operator)
}

impl FromRequestParts<Shared> for Steward {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, edge: &Shared) -> Result<Self, Fault> {
        let by = match operator(parts) {
            Some(by) => by,
            None => By::User(Caller::from_request_parts(parts, edge).await?.actor),
        };
        Ok(Self { by })
    }
}

impl FromRequestParts<Shared> for StewardPerson {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, edge: &Shared) -> Result<Self, Fault> {
        let by = match operator(parts) {
            Some(by) => by,
            None => Person::from_request_parts(parts, edge).await?.by(),
        };
        Ok(Self { by })
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, edge: &Shared) -> Result<Self, Fault> {
        let identity = identity(parts, edge).await?;
        let needed = scope_of(parts);
        if !identity.scopes.has(needed) {
            let detail = format!("it was made without the scope {}", needed.as_str());
            return Err(Problem::new(Code::InsufficientScope).detail(detail).into());
        }
        Ok(Self { actor: identity.actor })
    }
}

impl FromRequestParts<Shared> for Person {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, edge: &Shared) -> Result<Self, Fault> {
        let identity = identity(parts, edge).await?;
        match identity.credential {
            Credential::ApiToken(_) => Err(Code::SessionNeeded.into()),
            Credential::Session(_) | Credential::Issuer => {
                Ok(Self { actor: identity.actor, session: identity.session() })
            }
        }
    }
}

async fn identity(parts: &Parts, edge: &Shared) -> Result<Identity, Fault> {
    let token = if let Some(token) = bearer(&parts.headers)? {
        token
    } else {
        let cookie = cookies::read(&parts.headers, cookies::ACCESS);
        let token = cookie.ok_or(Code::Unauthorized)?;
        cookies::check_csrf(&parts.method, &parts.headers)?;
        token
    };
    let identity = match edge.services.auth.verify(token).await {
        Ok(identity) => identity,
        Err(error) => {
            // Nobody tries tokens faster than that.
            limits::of_address(edge, parts, Action::Other).await?;
            return Err(error.into());
        }
    };
    limits::of_caller(edge, parts, &identity).await?;
    Ok(identity)
}

/// The scope that a route needs, by where it is and what its method says.
fn scope_of(parts: &Parts) -> Scope {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if path.starts_with(ADMIN) {
        Scope::Admin
    } else if parts.method.is_safe() || READS_BY_POST.contains(&path) {
        Scope::Read
    } else {
        Scope::Write
    }
}

/// The bearer token of a request, if it has one.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = || Problem::new(Code::Unauthorized).detail("send one Authorization: Bearer …");
    let text = value.to_str().map_err(|_| refused())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(refused)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused());
    }
    Ok(Some(token.trim()))
}
