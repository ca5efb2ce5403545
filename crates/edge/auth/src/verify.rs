//! Checking tokens: the signature once, the session and the account at least once a second.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::permission::Actor;
use klatch_domain::scope::Scopes;
use klatch_domain::user::ServerRole;
use klatch_domain::{ApiTokenId, SessionId, Timestamp, UserId};
use klatch_ports::accounts::Account;
use klatch_ports::api::auth::{Credential, Identity, TokenError, TokenVerifier};
use klatch_ports::{PortError, PortResult};
use klatch_recent::{Era, Recent};
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Auth;
use crate::jwt::{self, ACCESS_TYPE, Access, Unproven};
use crate::one_time::{self, API_PREFIX};

/// How old what is known of an account or a session may be: bans, roles and ended sessions count
/// within a second, on every instance.
const FRESH: Duration = Duration::from_secs(1);
/// How far ahead another clock may be.
pub(crate) const LEEWAY_MS: u64 = 30_000;
/// Most tokens remembered in each generation, about 100 bytes each.
const TOKENS_MAX: usize = 32_768;
/// Most accounts and sessions remembered in each generation.
const STANDINGS_MAX: usize = 32_768;

/// A token whose signature and claims are proven.
#[derive(Clone, Copy)]
pub(crate) struct Proven {
    pub(crate) user: UserId,
    pub(crate) credential: Credential,
    pub(crate) scopes: Scopes,
    pub(crate) expires_at: Timestamp,
}

impl Proven {
    /// What an access token of this server proves.
    pub(crate) fn own(access: &Access<'_>) -> Self {
        let Access { user, session, expires_at, .. } = *access;
        let credential = Credential::Session(session);
        Self { user, credential, scopes: Scopes::ALL, expires_at }
    }
}

#[derive(Clone, Copy)]
struct Standing {
    role: ServerRole,
    bot: bool,
    banned: bool,
    seen: Instant,
}

/// What was found out lately.
pub(crate) struct Verifier {
    /// By digest of the token.
    tokens: Recent<[u8; 32], Proven>,
    accounts: Recent<UserId, Standing>,
    /// When a session was seen to be alive.
    sessions: Recent<SessionId, Instant>,
    /// When a program's token was seen to be there.
    programs: Recent<ApiTokenId, Instant>,
    /// What ended while tokens and connections of it may still be about.
    gone: RwLock<Gone>,
    /// Told after something ended or changed.
    changed: Notify,
}

#[derive(Default)]
struct Gone {
    /// Sessions ended by this process, each until its last access token has ended too.
    sessions: HashMap<SessionId, Timestamp>,
    /// Users locked by this process.
    users: HashSet<UserId>,
    /// Programs' tokens ended by this process; few, for they are ended by hand.
    programs: HashSet<ApiTokenId>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            tokens: Recent::new(TOKENS_MAX),
            accounts: Recent::new(STANDINGS_MAX),
            sessions: Recent::new(STANDINGS_MAX),
            programs: Recent::new(STANDINGS_MAX),
            gone: RwLock::default(),
            changed: Notify::new(),
        }
    }
}

impl Verifier {
    /// Forgets what nobody asked for since the last call; it would be found out anew.
    pub(crate) fn forget_idle(&self) {
        self.tokens.turn();
        self.accounts.turn();
        self.sessions.turn();
        self.programs.turn();
    }

    /// The session was ended; its tokens do not live longer than until `until`.
    pub(crate) fn end_session(&self, session: SessionId, now: Timestamp, until: Timestamp) {
        let mut gone = self.gone.write();
        gone.sessions.retain(|_, until| *until > now);
        gone.sessions.insert(session, until);
        drop(gone);
        self.sessions.remove(&session);
        self.changed.notify_one();
    }

    /// Keys were forgotten: whatever they had proven has to be proven again, also what is being
    /// proven at this moment. Call it when the keys are out of reach.
    pub(crate) fn forget_proofs(&self) {
        self.tokens.clear();
    }

    /// Remembers a token that was just signed, if there is room: whoever got it is about to come
    /// with it. `era` is of before the keys were read.
    pub(crate) fn know(&self, era: Era, token: &str, proven: Proven) {
        self.tokens.offer_of(era, digest(token), proven);
    }

    #[cfg(test)]
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.tokens.get(&digest(token)).is_some()
    }

    /// Read it before the keys that something is signed or proven with.
    pub(crate) fn era(&self) -> Era {
        self.tokens.era()
    }

    /// The program's token was ended.
    pub(crate) fn end_program(&self, token: ApiTokenId) {
        self.gone.write().programs.insert(token);
        self.programs.remove(&token);
        self.changed.notify_one();
    }

    /// The user's account is gone.
    pub(crate) fn lock_out(&self, user: UserId) {
        self.gone.write().users.insert(user);
        self.accounts.remove(&user);
        self.changed.notify_one();
    }

    /// The user has another role, was locked out, or let in again.
    pub(crate) fn set_standing(&self, account: &Account) {
        let Account { user, role, bot, banned, .. } = *account;
        let mut gone = self.gone.write();
        if banned {
            gone.users.insert(user);
        } else {
            gone.users.remove(&user);
        }
        drop(gone);
        self.accounts.put(user, Standing { role, bot, banned, seen: Instant::now() });
        self.changed.notify_one();
    }
}

#[async_trait]
impl TokenVerifier for Auth {
    async fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        let now = self.parts.clock.now();
        let proven = self.prove(token, now).await?;
        let Proven { user, credential, scopes, expires_at } = proven;
        if expires_at <= now {
            return Err(TokenError::Expired);
        }
        let alive = match credential {
            Credential::Session(session) => self.is_alive(session, user).await,
            Credential::ApiToken(token) => self.is_kept(token).await,
            Credential::Issuer => Ok(true),
        };
        if !alive.map_err(|error| unavailable(&error))? {
            return Err(TokenError::Revoked);
        }
        match self.standing(user).await.map_err(|error| unavailable(&error))? {
            Some(Standing { role, bot, banned: false, .. }) => {
                Ok(Identity { actor: Actor { user, role }, credential, scopes, expires_at, bot })
            }
            Some(Standing { banned: true, .. }) | None => Err(TokenError::Revoked),
        }
    }

    async fn changed(&self) {
        self.verifier.changed.notified().await;
    }

    fn recheck(&self, identity: &Identity) -> Result<Actor, TokenError> {
        let Identity { actor: Actor { user, role }, credential, .. } = *identity;
        let gone = self.verifier.gone.read();
        let ended = match credential {
            Credential::Session(session) => gone.sessions.contains_key(&session),
            Credential::ApiToken(token) => gone.programs.contains(&token),
            Credential::Issuer => false,
        };
        if ended || gone.users.contains(&user) {
            return Err(TokenError::Revoked);
        }
        drop(gone);
        match self.verifier.accounts.get(&user) {
            Some(Standing { banned: true, .. }) => Err(TokenError::Revoked),
            Some(Standing { role, .. }) => Ok(Actor { user, role }),
            None => Ok(Actor { user, role }),
        }
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn unavailable(error: &PortError) -> TokenError {
    tracing::warn!(%error, "a token could not be checked");
    TokenError::Unavailable
}

impl Auth {
    async fn prove(&self, token: &str, now: Timestamp) -> Result<Proven, TokenError> {
        if token.len() > jwt::TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let digest = digest(token);
        if let Some(proven) = self.verifier.tokens.get(&digest) {
            return Ok(proven);
        }
        let era = self.verifier.era();
        let proven = self.prove_anew(token, now).await?;
        self.verifier.tokens.put_of(era, digest, proven);
        Ok(proven)
    }

    async fn prove_anew(&self, token: &str, now: Timestamp) -> Result<Proven, TokenError> {
        if token.starts_with(API_PREFIX) {
            return self.prove_program(token).await;
        }
        let unproven = jwt::take_apart(token).ok_or(TokenError::Invalid)?;
        if unproven.claims.iss == self.config.issuer {
            self.prove_own(&unproven, now)
        } else {
            self.prove_foreign(&unproven, now).await
        }
    }

    /// A token that says it is the server's own: `EdDSA` by one of its keys, nothing else.
    fn prove_own(&self, token: &Unproven<'_>, now: Timestamp) -> Result<Proven, TokenError> {
        let Unproven { header, claims, signed, signature } = token;
        let right_kind = header.alg == "EdDSA" && header.typ.as_deref() == Some(ACCESS_TYPE);
        let Some(kid) = header.kid.as_deref().filter(|_| right_kind) else {
            return Err(TokenError::Invalid);
        };
        if !self.keys().verifies(kid, signed, signature) {
            return Err(TokenError::Invalid);
        }
        check_begin(token, now)?;
        let session = claims.sid.as_deref().and_then(|sid| sid.parse().ok());
        let (Ok(user), Some(session)) = (claims.sub.parse(), session) else {
            return Err(TokenError::Invalid);
        };
        let expires_at = jwt::time(claims.exp);
        if expires_at <= now {
            return Err(TokenError::Expired);
        }
        let (credential, scopes) = (Credential::Session(session), Scopes::ALL);
        Ok(Proven { user, credential, scopes, expires_at })
    }

    /// A program's token: looked up by its id, compared by the hash of its secret.
    async fn prove_program(&self, token: &str) -> Result<Proven, TokenError> {
        let (id, hash) = one_time::read_api_token(token).ok_or(TokenError::Invalid)?;
        let stored = self.parts.stores.api_tokens.token(id).await;
        let stored = stored.map_err(|error| unavailable(&error))?.ok_or(TokenError::Invalid)?;
        if !bool::from(stored.hash.ct_eq(&hash)) {
            return Err(TokenError::Invalid);
        }
        Ok(Proven {
            user: stored.user,
            credential: Credential::ApiToken(id),
            scopes: stored.scopes,
            expires_at: stored.expires_at.unwrap_or(Timestamp::MAX),
        })
    }

    async fn is_kept(&self, token: ApiTokenId) -> PortResult<bool> {
        if self.verifier.gone.read().programs.contains(&token) {
            return Ok(false);
        }
        if self.verifier.programs.get(&token).is_some_and(|seen| seen.elapsed() < FRESH) {
            return Ok(true);
        }
        let asked = Instant::now();
        let kept = self.parts.stores.api_tokens.token(token).await?.is_some();
        if kept {
            self.verifier.programs.put(token, asked);
        }
        Ok(kept)
    }

    async fn is_alive(&self, session: SessionId, user: UserId) -> PortResult<bool> {
        if self.verifier.gone.read().sessions.contains_key(&session) {
            return Ok(false);
        }
        if self.verifier.sessions.get(&session).is_some_and(|seen| seen.elapsed() < FRESH) {
            return Ok(true);
        }
        let asked = Instant::now();
        let found = self.parts.stores.sessions.get(session).await?;
        let now = self.parts.clock.now();
        let alive = found.is_some_and(|found| found.user == user && found.expires_at > now);
        if alive {
            self.verifier.sessions.put(session, asked);
        }
        Ok(alive)
    }

    async fn standing(&self, user: UserId) -> PortResult<Option<Standing>> {
        if let Some(standing) = self.verifier.accounts.get(&user)
            && standing.seen.elapsed() < FRESH
        {
            return Ok(Some(standing));
        }
        let seen = Instant::now();
        let Some(account) = self.parts.stores.accounts.get(user).await? else { return Ok(None) };
        let (role, bot, banned) = (account.role, account.bot, account.banned);
        let standing = Standing { role, bot, banned, seen };
        self.verifier.accounts.put(user, standing);
        Ok(Some(standing))
    }
}

/// `nbf` and `iat` must not lie ahead, but for a little.
pub(crate) fn check_begin(token: &Unproven<'_>, now: Timestamp) -> Result<(), TokenError> {
    let latest = now.plus_ms(LEEWAY_MS);
    let begins = [token.claims.nbf, token.claims.iat];
    let ahead = begins.into_iter().flatten().any(|begin| jwt::time(begin) > latest);
    if ahead { Err(TokenError::Invalid) } else { Ok(()) }
}
