//! Ids in paths. A text that is no id names nothing, so it is answered like an id of nothing.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use klatch_domain::{ApiTokenId, InvitationId, MessageId, RoomId, SessionId, UserId};
use klatch_protocol::problem::Code;

use crate::fault::Fault;

/// The part of the path called `name`.
async fn part<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<Option<String>, Fault> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    // Percent signs that make no text.
    let params = params.map_err(|_| Code::NotFound)?;
    Ok(params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $extractor:ident($id:ty) = $name:literal, $missing:ident;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $extractor(pub(crate) $id);

        impl<S: Send + Sync> FromRequestParts<S> for $extractor {
            type Rejection = Fault;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
                let text = part(parts, state, $name).await?.unwrap_or_default();
                text.parse().map(Self).map_err(|_| Code::$missing.into())
            }
        }
    )+};
}

ids! {
    /// `{roomId}`.
    InRoom(RoomId) = "roomId", RoomNotFound;
    /// `{messageId}`.
    OfMessage(MessageId) = "messageId", MessageNotFound;
    /// `{userId}`.
    OfUser(UserId) = "userId", UserNotFound;
    /// `{sessionId}`.
    OfSession(SessionId) = "sessionId", SessionNotFound;
    /// `{tokenId}`.
    OfApiToken(ApiTokenId) = "tokenId", TokenNotFound;
    /// `{invitationId}`.
    OfInvitation(InvitationId) = "invitationId", InvitationNotFound;
}

/// `{code}` of a problem's page.
pub(crate) struct OfCode(pub(crate) Code);

impl<S: Send + Sync> FromRequestParts<S> for OfCode {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let text = part(parts, state, "code").await?.unwrap_or_default();
        Code::parse(&text).map(Self).ok_or_else(|| Code::NotFound.into())
    }
}
