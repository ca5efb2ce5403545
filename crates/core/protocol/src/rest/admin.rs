//! Accounts and acts as those who run the server see them.

use klatch_domain::audit::AuditEntry;
use klatch_domain::user::{Profile, ServerRole};
use klatch_ports::api::accounts::{AccountChange, AccountView, Told};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decode::word;
use crate::problem::Problem;

/// An account.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Account)]
pub struct AccountBody {
    /// Whose.
    pub user_id: String,
    /// Unique name; empty once the person was erased.
    pub username: String,
    /// Shown name.
    pub display_name: String,
    /// Address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// `guest`, `member` or `admin`, on this server.
    pub role: &'static str,
    /// Whether a program acts under it.
    pub bot: bool,
    /// Locked out by an administrator.
    pub banned: bool,
    /// Whether one can sign in to it with a password.
    pub has_password: bool,
    /// When it began.
    pub created_at: String,
}

impl From<AccountView> for AccountBody {
    fn from(view: AccountView) -> Self {
        let AccountView { user, profile, role, bot, banned, has_password, created_at } = view;
        let (username, display_name, email) = profile.map_or_else(Default::default, |profile| {
            let Profile { username, display_name, email, avatar: _ } = profile;
            (username, display_name, email)
        });
        Self {
            user_id: user.to_string(),
            username,
            display_name,
            email,
            role: role.as_str(),
            bot,
            banned,
            has_password,
            created_at: created_at.to_string(),
        }
    }
}

/// What is to change of an account; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountPatch {
    /// `guest`, `member` or `admin`.
    pub role: Option<String>,
    /// `true` locks the user out and ends all their sessions, `false` lets them in again.
    pub banned: Option<bool>,
}

impl AccountPatch {
    /// As the service takes it.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_wish(self) -> Result<AccountChange, Problem> {
        let Self { role, banned } = self;
        let role = role.map(|role| word(&role, "role", ServerRole::parse)).transpose()?;
        Ok(AccountChange { role, banned })
    }
}

/// What sets a new password, once.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetLink {
    /// For `POST auth/reset`. The web client opens `/#/reset/{token}`.
    pub token: String,
    /// Its life in seconds.
    pub expires_in: u64,
}

impl From<Told> for ResetLink {
    fn from(Told(token): Told) -> Self {
        Self { token, expires_in: 30 * 60 }
    }
}

/// A wish for a fresh signing key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateKeys {
    /// Whether older keys are to be gone at once, and all sessions with them.
    #[serde(default)]
    pub forget_old: bool,
}

/// Something that was done to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub struct AuditBody {
    /// When.
    pub at: String,
    /// Who; absent when it was done on the machine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What, such as `role_changed`.
    pub act: &'static str,
    /// To whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<String>,
    /// The invitation or token it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    /// The role that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
}

impl From<AuditEntry> for AuditBody {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { at, by, act, user, room, object, role } = entry;
        Self {
            at: at.to_string(),
            by: by.map(|user| user.to_string()),
            act: act.as_str(),
            user_id: user.map(|user| user.to_string()),
            room_id: room.map(|room| room.to_string()),
            // All objects have ids of one form.
            object_id: object.map(|id| klatch_domain::InvitationId::from_bits(id).to_string()),
            role: role.map(ServerRole::as_str),
        }
    }
}
