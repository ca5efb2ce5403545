//! Who makes a request.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use klatch_domain::SessionId;
use klatch_domain::permission::Actor;
use klatch_ports::api::auth::Identity;
use klatch_protocol::problem::{Code, Problem};

use crate::cookies;
use crate::edge::Shared;
use crate::fault::Fault;

/// Whoever the request's token stands for: `Authorization: Bearer …`, or else the cookie.
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    pub(crate) session: Option<SessionId>,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, edge: &Shared) -> Result<Self, Fault> {
        let token = if let Some(token) = bearer(parts)? {
            token
        } else {
            let cookie = cookies::read(&parts.headers, cookies::ACCESS);
            let token = cookie.ok_or(Code::Unauthorized)?;
            cookies::check_csrf(&parts.method, &parts.headers)?;
            token
        };
        let Identity { actor, session, expires_at: _ } = edge.services.auth.verify(token).await?;
        Ok(Self { actor, session })
    }
}

fn bearer(parts: &Parts) -> Result<Option<&str>, Problem> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = || Problem::new(Code::Unauthorized).detail("send one Authorization: Bearer …");
    let text = value.to_str().map_err(|_| refused())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(refused)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused());
    }
    Ok(Some(token.trim()))
}
