//! Users.

use klatch_domain::user::{Profile, User};
use klatch_domain::{Timestamp, UserId};
use klatch_ports::api::auth::SignedIn;
use klatch_ports::api::queries::UserView;
use serde::Serialize;
use utoipa::ToSchema;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub struct UserBody {
    /// Identity.
    pub user_id: String,
    /// Unique name; empty once the person was erased.
    pub username: String,
    /// Shown name; `deleted user` once the person was erased.
    pub display_name: String,
    /// Address; told to the user alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Address of a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// When the account began.
    pub created_at: String,
    /// `guest`, `member` or `admin`, on this server.
    pub role: &'static str,
    /// Whether a program acts under this name.
    pub bot: bool,
}

impl UserBody {
    /// `view` as `asker` sees it.
    pub fn of(view: UserView, asker: UserId) -> Self {
        let UserView { user, profile } = view;
        let User { id, bot, role, created_at, profile: _sealed } = user;
        Self::new(id, profile, role.as_str(), created_at, bot, id == asker)
    }

    /// The person who just signed in, as they see themselves.
    pub fn of_signed_in(signed_in: &SignedIn) -> Self {
        let SignedIn { user, profile, role, created_at, .. } = signed_in;
        Self::new(*user, profile.clone(), role.as_str(), *created_at, false, true)
    }

    fn new(
        id: UserId,
        profile: Profile,
        role: &'static str,
        created_at: Timestamp,
        bot: bool,
        own: bool,
    ) -> Self {
        let Profile { username, display_name, email, avatar } = profile;
        Self {
            user_id: id.to_string(),
            username,
            display_name,
            email: email.filter(|_| own),
            avatar,
            created_at: created_at.to_string(),
            role,
            bot,
        }
    }
}
