//! Tokens that programs use in a user's name. Every write is durable when it returns.

use async_trait::async_trait;
use klatch_domain::scope::Scopes;
use klatch_domain::{ApiTokenId, Timestamp, UserId};

use crate::error::PortResult;

/// A program's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Identity; its time is when it was made.
    pub id: ApiTokenId,
    /// In whose name.
    pub user: UserId,
    /// SHA-256 of the token; the token itself is kept nowhere.
    pub hash: [u8; 32],
    /// What its maker calls it, at most 100 characters.
    pub name: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Who made it, when that was not the user.
    pub made_by: Option<UserId>,
}

/// API tokens.
#[async_trait]
pub trait ApiTokenStore: Send + Sync {
    /// Stores a new token.
    async fn create_token(&self, token: &ApiToken) -> PortResult<()>;

    /// The token with this id.
    async fn token(&self, id: ApiTokenId) -> PortResult<Option<ApiToken>>;

    /// All tokens of `user`, newest first.
    async fn tokens(&self, user: UserId) -> PortResult<Vec<ApiToken>>;

    /// Ends a token. Whether it was there.
    async fn revoke_token(&self, id: ApiTokenId) -> PortResult<bool>;
}
