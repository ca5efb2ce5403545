//! Owns accounts, passwords, sessions and tokens: who someone is, and how they prove it.
//! Must not contain: HTTP, cookies, rooms or messages, and any decision on what a user may do.
#![warn(missing_docs)]

mod accounts;
mod announce;
mod config;
mod foreign;
mod jwt;
mod lockout;
mod login;
mod names;
mod password;
mod provision;
mod recent;
mod refresh_token;
mod register;
mod sessions;
mod signing;
mod verify;

use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::{Clock, Entropy, SessionId, UserId};
use klatch_ports::accounts::{AccountStore, Claims, SessionStore};
use klatch_ports::api::ServiceResult;
use klatch_ports::api::auth::{AuthApi, Register, SessionView, SignInError, SignedIn};
use klatch_ports::keys::KeyWriter;
use klatch_ports::log::EventAppender;
use klatch_protocol::sealed::KeyRing;
use tokio::sync::Mutex;

pub use config::{Config, ConfigError, HashCost, TrustedIssuer};
pub use signing::SigningKeys;

use lockout::Lockout;
use password::PasswordPool;
use verify::Verifier;

/// Everything the role may touch. It writes accounts, sessions, claims and keys, and appends
/// events; it reads no read model.
#[derive(Clone)]
pub struct Parts {
    /// Accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Unique names.
    pub claims: Arc<dyn Claims>,
    /// Makes data keys.
    pub keys: Arc<dyn KeyWriter>,
    /// Opens and seals profiles.
    pub ring: Arc<KeyRing>,
    /// Appends the accounts' first events.
    pub log: Arc<dyn EventAppender>,
    /// Time of day, for tokens.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids, salts and tokens.
    pub entropy: Arc<dyn Entropy>,
}

/// The auth role.
pub struct Auth {
    parts: Parts,
    config: Config,
    keys: SigningKeys,
    passwords: PasswordPool,
    lockout: Lockout,
    verifier: Verifier,
    /// The token that makes the first administrator, once it was asked for. Held while it is
    /// being used, so that it makes one.
    setup: Mutex<Option<String>>,
    /// Held while users of trusted issuers are provisioned at first sight.
    first_sight: Mutex<()>,
}

impl Auth {
    /// The role over its parts. `keys` sign access tokens; whoever holds them is the server.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot work.
    pub fn new(parts: Parts, config: Config, keys: SigningKeys) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            passwords: PasswordPool::new(config.hash, &*parts.entropy)?,
            lockout: Lockout::default(),
            verifier: Verifier::default(),
            setup: Mutex::default(),
            first_sight: Mutex::default(),
            parts,
            config,
            keys,
        })
    }
}

#[async_trait]
impl AuthApi for Auth {
    async fn register(&self, wish: Register) -> Result<SignedIn, SignInError> {
        self.register_account(wish).await
    }

    async fn login(
        &self,
        login: &str,
        password: &str,
        device: &str,
        address: &str,
    ) -> Result<SignedIn, SignInError> {
        self.sign_in(login, password, device, address).await
    }

    async fn refresh(&self, refresh_token: &str) -> Result<SignedIn, SignInError> {
        self.refresh_session(refresh_token).await
    }

    async fn logout(&self, session: SessionId) -> ServiceResult<()> {
        self.revoke(session).await?;
        Ok(())
    }

    async fn sessions(&self, user: UserId) -> ServiceResult<Vec<SessionView>> {
        self.list_sessions(user).await
    }

    async fn end_session(&self, user: UserId, session: SessionId) -> ServiceResult<bool> {
        self.revoke_own(user, session).await
    }
}

#[cfg(test)]
mod tests;
