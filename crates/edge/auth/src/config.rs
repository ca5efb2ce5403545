//! Settings of the role.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::PublishedKeys;

/// Settings of the role.
#[derive(Clone, Debug)]
pub struct Config {
    /// `iss` of the server's own tokens.
    pub issuer: String,
    /// Where people find the server: for links in letters.
    pub public_url: String,
    /// Life of an access token.
    pub access_life: Duration,
    /// Life of a session after its last use.
    pub session_life: Duration,
    /// How long the identical refresh may be repeated.
    pub refresh_grace: Duration,
    /// Whether anyone may register.
    pub open_registration: bool,
    /// The token that makes the first administrator, for installations without a person at the
    /// terminal; random when absent.
    pub setup_token: Option<String>,
    /// Issuers whose tokens are accepted besides the server's own.
    pub trusted: Vec<TrustedIssuer>,
    /// What a password hash costs.
    pub hash: HashCost,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: "klatch".to_owned(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            access_life: Duration::from_mins(15),
            session_life: Duration::from_hours(30 * 24),
            refresh_grace: Duration::from_secs(10),
            open_registration: true,
            setup_token: None,
            trusted: Vec::new(),
            hash: HashCost::default(),
        }
    }
}

/// An issuer whose tokens are accepted.
#[derive(Clone)]
pub struct TrustedIssuer {
    /// Its `iss`.
    pub issuer: String,
    /// What its tokens are signed with.
    pub keys: TrustedKeys,
    /// What `aud` must hold, if set. An issuer that publishes its keys has many customers, so there
    /// it must be set.
    pub audience: Option<String>,
    /// Whether a subject that names no user becomes one.
    pub provision: bool,
}

/// What an issuer's tokens are signed with.
#[derive(Clone)]
pub enum TrustedKeys {
    /// HS256 with a shared secret of at least 32 bytes.
    Secret(Vec<u8>),
    /// RS256, ES256 or `EdDSA` with keys that it publishes.
    Published(PublishedKeys),
}

impl TrustedKeys {
    pub(crate) fn published(&self) -> Option<&PublishedKeys> {
        match self {
            Self::Secret(_) => None,
            Self::Published(keys) => Some(keys),
        }
    }
}

impl std::fmt::Debug for TrustedIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrustedIssuer({:?}, provision: {})", self.issuer, self.provision)
    }
}

/// What one Argon2id hash costs.
#[derive(Clone, Copy, Debug)]
pub struct HashCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// How many may run at the same time.
    pub at_once: usize,
    /// How many may wait; more are told to come again.
    pub waiting_max: usize,
}

impl Default for HashCost {
    /// OWASP's minimum for Argon2id: 19 MiB, two passes.
    fn default() -> Self {
        // Half of the processors at most: sign-ins must not stop those who are in.
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let at_once = (cores / 2).clamp(1, 16);
        Self { memory_kib: 19 * 1024, passes: 2, at_once, waiting_max: 64 }
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The secret of an issuer is too short for HS256.
    #[error("the secret of the trusted issuer {0:?} has less than 32 bytes")]
    ShortSecret(String),
    /// Whoever has an account at the issuer would get in.
    #[error("the trusted issuer {0:?} publishes its keys, so it needs an audience")]
    NoAudience(String),
    /// Two issuers have one name, or one has the server's own.
    #[error("the issuer {0:?} is named twice")]
    IssuerTwice(String),
    /// Argon2 does not take these costs.
    #[error("the costs of a password hash are out of range")]
    HashCost,
    /// A life of zero, or one too long for its kind.
    #[error("{0} is out of range")]
    Life(&'static str),
}

impl Config {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let mut issuers = HashSet::from([self.issuer.as_str()]);
        for trusted in &self.trusted {
            if !issuers.insert(&trusted.issuer) {
                return Err(ConfigError::IssuerTwice(trusted.issuer.clone()));
            }
            match &trusted.keys {
                TrustedKeys::Secret(secret) if secret.len() < 32 => {
                    return Err(ConfigError::ShortSecret(trusted.issuer.clone()));
                }
                TrustedKeys::Published(_) if trusted.audience.is_none() => {
                    return Err(ConfigError::NoAudience(trusted.issuer.clone()));
                }
                TrustedKeys::Secret(_) | TrustedKeys::Published(_) => {}
            }
        }
        let in_range = |life: Duration, most: u64| (1..=most).contains(&life.as_secs());
        if !in_range(self.access_life, 24 * 3_600) {
            return Err(ConfigError::Life("the life of access tokens"));
        }
        if !in_range(self.session_life, 400 * 24 * 3_600) {
            return Err(ConfigError::Life("the life of sessions"));
        }
        Ok(())
    }
}

/// Milliseconds of a duration that [`Config::validate`] has bounded.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
