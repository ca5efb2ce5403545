//! Programs: bots, their tokens, and accounts made for others.

use klatch_domain::Timestamp;
use klatch_domain::scope::Scopes;
use klatch_domain::user::ServerRole;
use klatch_ports::api::accounts::{NewAccount, NewToken, Told};
use klatch_ports::api_tokens::ApiToken;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::admin::AccountBody;
use super::decode::{parse_option, word};
use crate::problem::Problem;

/// A wish for a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTokenBody {
    /// What it is for, 1–100 characters.
    pub name: String,
    /// Some of `read`, `write`, `admin`; at least one.
    pub scopes: Vec<String>,
    /// When it ends; never when absent.
    pub expires_at: Option<String>,
}

impl NewTokenBody {
    /// As the service takes it.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_wish(self) -> Result<NewToken, Problem> {
        let Self { name, scopes, expires_at } = self;
        let scopes = Scopes::parse(scopes.iter().map(String::as_str))?;
        let expires_at = parse_option::<Timestamp>(expires_at.as_deref(), "expiresAt")?;
        Ok(NewToken { name, scopes, expires_at })
    }
}

/// A program's token.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiToken)]
pub struct TokenBody {
    /// Identity.
    pub token_id: String,
    /// In whose name.
    pub user_id: String,
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<&'static str>,
    /// When it was made.
    pub created_at: String,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Who made it, when that was not the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// `kla_…`, in the answer that makes it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl TokenBody {
    /// The token as it is listed, and its text when it was just made.
    pub fn of(token: ApiToken, told: Option<Told>) -> Self {
        let ApiToken { id, user, hash: _, name, scopes, expires_at, made_by } = token;
        Self {
            token_id: id.to_string(),
            user_id: user.to_string(),
            name,
            scopes: scopes.words().collect(),
            created_at: id.time().to_string(),
            expires_at: expires_at.map(|at| at.to_string()),
            made_by: made_by.map(|user| user.to_string()),
            token: told.map(|Told(text)| text),
        }
    }
}

/// A wish for a bot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewBot {
    /// 2–32 of `a-z 0-9 . _ -`, beginning with a letter or digit.
    pub username: String,
    /// Shown name, 1–100 characters; the user name when absent.
    pub display_name: Option<String>,
    /// `member` (default) or `guest`.
    pub role: Option<String>,
}

impl NewBot {
    /// As the service takes it.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_wish(self) -> Result<NewAccount, Problem> {
        let Self { username, display_name, role } = self;
        let role = read_role(role)?;
        Ok(NewAccount { username, display_name, email: None, role, bot: true })
    }
}

/// A wish for an account of another person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewUserBody {
    /// 2–32 of `a-z 0-9 . _ -`, beginning with a letter or digit.
    pub username: String,
    /// Address.
    pub email: Option<String>,
    /// Shown name, 1–100 characters; the user name when absent.
    pub display_name: Option<String>,
    /// `guest`, `member` (default) or `admin`.
    pub role: Option<String>,
}

impl NewUserBody {
    /// As the service takes it.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_wish(self) -> Result<NewAccount, Problem> {
        let Self { username, email, display_name, role } = self;
        let role = read_role(role)?;
        Ok(NewAccount { username, display_name, email, role, bot: false })
    }
}

fn read_role(role: Option<String>) -> Result<ServerRole, Problem> {
    role.map_or(Ok(ServerRole::Member), |role| word(&role, "role", ServerRole::parse))
}

/// An account that was just made for another person.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeUser {
    /// The account.
    pub user: AccountBody,
    /// Sets its first password: for `POST auth/reset`, or `/#/reset/{token}` in the web client.
    pub reset_token: String,
    /// Life of that token in seconds.
    pub expires_in: u64,
}
