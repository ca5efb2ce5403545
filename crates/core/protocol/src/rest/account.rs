//! Registering, signing in, sessions.

use klatch_ports::api::auth::{Register, SessionView, SignedIn};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::user::UserBody;

/// A wish to register.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewAccount {
    /// 2–32 of `a-z 0-9 . _ -`, beginning with a letter or digit.
    pub username: String,
    /// Address.
    pub email: String,
    /// 10 characters to 1,000 bytes.
    pub password: String,
    /// Shown name, 1–100 characters; the user name when absent.
    pub display_name: Option<String>,
    /// The one-time token that makes the first administrator.
    pub setup_token: Option<String>,
    /// The token of an invitation: its role counts, and its room is entered.
    pub invitation: Option<String>,
    /// Whether to put the tokens into cookies instead of the answer.
    #[serde(default)]
    pub cookie: bool,
}

impl NewAccount {
    /// As the service takes it, and whether cookies are wanted.
    pub fn into_wish(self, device: String) -> (Register, bool) {
        let Self { username, email, password, display_name, setup_token, invitation, cookie } =
            self;
        let wish =
            Register { username, email, password, display_name, setup_token, invitation, device };
        (wish, cookie)
    }
}

/// A wish to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// User name or e-mail address.
    pub login: String,
    /// Password.
    pub password: String,
    /// Whether to put the tokens into cookies instead of the answer.
    #[serde(default)]
    pub cookie: bool,
}

/// A wish for a new pair of tokens.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token; left out when it is in a cookie.
    pub refresh_token: Option<String>,
    /// Whether to put the tokens into cookies instead of the answer.
    #[serde(default)]
    pub cookie: bool,
}

/// A wish to end the session.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Logout {
    /// Accepted and not needed: cookies are always cleared.
    #[serde(default)]
    pub cookie: bool,
    /// Whether all of one's sessions are to end.
    #[serde(default)]
    pub everywhere: bool,
}

/// A wish for another password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePassword {
    /// The password now.
    pub current_password: String,
    /// 10 characters to 1,000 bytes.
    pub new_password: String,
}

/// A wish for a link that sets a new password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestReset {
    /// User name or e-mail address.
    pub login: String,
}

/// A new password by such a link.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetPassword {
    /// What the link ends with.
    pub token: String,
    /// 10 characters to 1,000 bytes.
    pub new_password: String,
}

/// A person who is signed in now.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedInBody {
    /// Who.
    pub user: UserBody,
    /// Send it as `Authorization: Bearer …`; absent in cookie mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// Works once; absent in cookie mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Life of the access token in seconds.
    pub expires_in: u64,
    /// Which session this is; `GET auth/sessions` lists it.
    pub session_id: String,
    /// Where the account's first event landed, at registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "u0-5f3a9c21.17")]
    pub position: Option<String>,
    /// The room that the invitation led to, which was entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<String>,
}

impl SignedInBody {
    /// The answer; with `cookie` without the tokens.
    pub fn of(signed_in: &SignedIn, cookie: bool) -> Self {
        let SignedIn { access_token, refresh_token, expires_in, session, .. } = signed_in;
        let SignedIn { position, welcome, .. } = signed_in;
        let shown = |token: &String| (!cookie).then(|| token.clone());
        Self {
            user: UserBody::of_signed_in(signed_in),
            access_token: shown(access_token),
            refresh_token: shown(refresh_token),
            expires_in: *expires_in,
            session_id: session.to_string(),
            position: position.as_ref().map(ToString::to_string),
            room_id: welcome.map(|welcome| welcome.room.to_string()),
        }
    }
}

/// A signed-in device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
pub struct SessionBody {
    /// Identity.
    pub session_id: String,
    /// What the client called itself.
    pub device: String,
    /// When it began.
    pub created_at: String,
    /// When its tokens were refreshed last.
    pub used_at: String,
    /// When it ends unless it is used again.
    pub expires_at: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl SessionBody {
    /// `view`, asked for by a request of session `asker`.
    pub fn of(view: SessionView, asker: Option<klatch_domain::SessionId>) -> Self {
        let SessionView { id, device, created_at, used_at, expires_at } = view;
        Self {
            session_id: id.to_string(),
            device,
            created_at: created_at.to_string(),
            used_at: used_at.to_string(),
            expires_at: expires_at.to_string(),
            current: asker == Some(id),
        }
    }
}
