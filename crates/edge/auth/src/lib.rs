//! Owns accounts, passwords, sessions and tokens: who someone is, and how they prove it.
//! Must not contain: HTTP, cookies, rooms or messages, and rules of its own on who may do what.
#![warn(missing_docs)]

mod accounts;
mod announce;
mod audit;
mod background;
mod config;
mod credentials;
mod foreign;
mod gone;
#[cfg(target_os = "linux")]
mod hops;
mod invitations;
mod jwks;
mod jwt;
mod known_key;
mod letters;
mod lockout;
mod login;
mod made;
mod manage;
mod names;
mod one_time;
mod password;
mod provision;
mod published;
mod refresh_token;
mod register;
mod rotate;
mod service;
mod sessions;
mod signing;
mod sweep;
mod verify;

use std::sync::Arc;

use klatch_domain::{Clock, Entropy};
use klatch_ports::accounts::{AccountStore, Claims, ResetStore, SessionStore};
use klatch_ports::api::audit::AuditApi;
use klatch_ports::api_tokens::ApiTokenStore;
use klatch_ports::invitations::InvitationStore;
use klatch_ports::keys::KeyWriter;
use klatch_ports::log::EventAppender;
use klatch_ports::mail::Mailer;
use klatch_protocol::sealed::KeyRing;
use parking_lot::RwLock;
use tokio::sync::Mutex;

pub use audit::AuditLog;
pub use config::{Config, ConfigError, HashCost, TrustedIssuer, TrustedKeys};
pub use letters::LetterStats;
pub use published::PublishedKeys;
pub use signing::SigningKeys;
pub use sweep::Removed;

use letters::Letters;
use lockout::Lockout;
use password::PasswordPool;
use verify::Verifier;

/// Writes down the secrets of the signing keys: all or, when it fails, none.
pub type KeepKeys = Arc<dyn Fn(&[[u8; 32]]) -> std::io::Result<()> + Send + Sync>;

/// What is kept of accounts; often one engine keeps it all.
#[derive(Clone)]
pub struct Stores {
    /// Accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Resets of passwords.
    pub resets: Arc<dyn ResetStore>,
    /// Invitations.
    pub invitations: Arc<dyn InvitationStore>,
    /// Programs' tokens.
    pub api_tokens: Arc<dyn ApiTokenStore>,
    /// Unique names.
    pub claims: Arc<dyn Claims>,
}

impl Stores {
    /// One engine for everything.
    pub fn of<T>(engine: &Arc<T>) -> Self
    where
        T: AccountStore + SessionStore + ResetStore + InvitationStore + ApiTokenStore + Claims,
        T: 'static,
    {
        Self {
            accounts: Arc::clone(engine) as _,
            sessions: Arc::clone(engine) as _,
            resets: Arc::clone(engine) as _,
            invitations: Arc::clone(engine) as _,
            api_tokens: Arc::clone(engine) as _,
            claims: Arc::clone(engine) as _,
        }
    }
}

/// Everything the role may touch. It writes accounts, sessions, claims and keys, and appends
/// events; it reads no read model.
#[derive(Clone)]
pub struct Parts {
    /// Accounts, and all that belongs to them.
    pub stores: Stores,
    /// Makes data keys.
    pub keys: Arc<dyn KeyWriter>,
    /// Opens and seals profiles.
    pub ring: Arc<KeyRing>,
    /// Appends the accounts' first events.
    pub log: Arc<dyn EventAppender>,
    /// Notes what those who run the server do.
    pub audit: Arc<dyn AuditApi>,
    /// Keeps the secrets of the signing keys for the next start, the current one first. May block.
    pub keep_keys: KeepKeys,
    /// Sends letters, if it is configured.
    pub mailer: Option<Arc<dyn Mailer>>,
    /// Time of day, for tokens.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids, salts and tokens.
    pub entropy: Arc<dyn Entropy>,
}

/// The auth role.
pub struct Auth {
    parts: Parts,
    config: Config,
    /// Replaced as a whole when keys are rotated.
    keys: RwLock<Arc<SigningKeys>>,
    /// Held while they are.
    rotating: Mutex<()>,
    passwords: PasswordPool,
    lockout: Lockout,
    letters: Letters,
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
            letters: Letters::default(),
            verifier: Verifier::default(),
            setup: Mutex::default(),
            first_sight: Mutex::default(),
            parts,
            config,
            keys: RwLock::new(Arc::new(keys)),
            rotating: Mutex::default(),
        })
    }

    /// Forgets tokens, sessions and accounts that nobody asked for since the last call. They are
    /// looked up anew when they come again.
    pub fn forget_idle(&self) {
        self.verifier.forget_idle();
    }
}

#[cfg(test)]
mod tests;
