//! Invitations.

use klatch_domain::user::ServerRole;
use klatch_domain::{RoomId, Timestamp};
use klatch_ports::api::accounts::{NewInvitation, Told};
use klatch_ports::invitations::Invitation;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decode::{parse_option, word};
use crate::problem::Problem;

/// How long an invitation lives when nothing is said.
const LIFE_MS: u64 = 7 * 24 * 3_600_000;

/// A wish to invite.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewInvitationBody {
    /// The room it leads to; without one it only makes accounts.
    pub room_id: Option<String>,
    /// What an account made with it is on the server: `member` (default) or `guest`.
    pub role: Option<String>,
    /// How many people may use it, 1–10,000; 1 when absent.
    pub max_uses: Option<u32>,
    /// When it ends, at most a year ahead; in seven days when absent.
    pub expires_at: Option<String>,
}

impl NewInvitationBody {
    /// As the service takes it.
    ///
    /// # Errors
    /// `invalid_field`; an id of no room is refused by who looks for it.
    pub fn into_wish(self, now: Timestamp) -> Result<NewInvitation, Problem> {
        let Self { room_id, role, max_uses, expires_at } = self;
        let room = parse_option::<RoomId>(room_id.as_deref(), "roomId")?;
        let role =
            role.map_or(Ok(ServerRole::Member), |role| word(&role, "role", ServerRole::parse))?;
        let expires_at = parse_option::<Timestamp>(expires_at.as_deref(), "expiresAt")?;
        let expires_at = expires_at.unwrap_or_else(|| now.plus_ms(LIFE_MS));
        Ok(NewInvitation { room, role, uses_max: max_uses.unwrap_or(1), expires_at })
    }
}

/// An invitation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invitation)]
pub struct InvitationBody {
    /// Identity.
    pub invitation_id: String,
    /// The room it leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<String>,
    /// What an account made with it is on the server.
    pub role: &'static str,
    /// How many people may use it.
    pub max_uses: u32,
    /// How many have.
    pub uses: u32,
    /// When it ends by itself.
    pub expires_at: String,
    /// Taken back.
    pub revoked: bool,
    /// In whose name people come in.
    pub created_by: String,
    /// When it was made.
    pub created_at: String,
    /// What lets people in, in the answer that makes it and never again. The web client opens
    /// `/#/invite/{token}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl InvitationBody {
    /// The invitation, and its token when it was just made.
    pub fn of(invitation: &Invitation, token: Option<Told>) -> Self {
        let Invitation { id, room, role, uses_max, uses, .. } = invitation;
        let Invitation { expires_at, revoked, created_by, hash: _, .. } = invitation;
        Self {
            invitation_id: id.to_string(),
            room_id: room.map(|room| room.to_string()),
            role: role.as_str(),
            max_uses: *uses_max,
            uses: *uses,
            expires_at: expires_at.to_string(),
            revoked: *revoked,
            created_by: created_by.to_string(),
            created_at: id.time().to_string(),
            token: token.map(|Told(token)| token),
        }
    }
}

/// The token of an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvitationToken {
    /// What the link ends with.
    pub token: String,
}

/// What an invitation leads to.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationPreview {
    /// The room it leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<String>,
    /// What the room is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_name: Option<String>,
    /// What an account made with it is on the server.
    pub role: &'static str,
    /// When it ends by itself.
    pub expires_at: String,
}

impl InvitationPreview {
    /// The invitation, with the name of its room if it has one.
    pub fn of(invitation: &Invitation, room_name: Option<String>) -> Self {
        Self {
            room_id: invitation.room.map(|room| room.to_string()),
            room_name,
            role: invitation.role.as_str(),
            expires_at: invitation.expires_at.to_string(),
        }
    }
}
