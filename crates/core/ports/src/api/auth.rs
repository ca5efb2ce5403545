//! Accounts, sessions and tokens.

use async_trait::async_trait;
use klatch_domain::permission::Actor;
use klatch_domain::scope::Scopes;
use klatch_domain::user::{Profile, ServerRole};
use klatch_domain::{ApiTokenId, Rejection, SessionId, Timestamp, UserId};

use super::ServiceResult;
use super::accounts::Welcome;
use crate::position::Position;

/// What a token is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A device that signed in.
    Session(SessionId),
    /// A trusted issuer.
    Issuer,
    /// A program.
    ApiToken(ApiTokenId),
}

/// Who a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user, with the role the server knows now.
    pub actor: Actor,
    /// What the token is of.
    pub credential: Credential,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// Whether a program acts under the user; it has limits of its own.
    pub bot: bool,
}

impl Identity {
    /// The session the token belongs to, if to one.
    pub fn session(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(session) => Some(session),
            Credential::Issuer | Credential::ApiToken(_) => None,
        }
    }
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of this server or of an issuer it trusts.
    #[error("the token is not valid")]
    Invalid,
    /// It was one, until a moment ago.
    #[error("the token has expired")]
    Expired,
    /// Its session was ended, or its user locked out.
    #[error("the session was ended")]
    Revoked,
    /// Could not be checked now.
    #[error("tokens cannot be checked at the moment")]
    Unavailable,
}

/// Checks tokens. The usual case costs a signature check or a cache look-up, no disk.
#[async_trait]
pub trait TokenVerifier: Send + Sync {
    /// Who `token` stands for.
    async fn verify(&self, token: &str) -> Result<Identity, TokenError>;

    /// Whether what [`TokenVerifier::verify`] found still holds, apart from time: the actor with
    /// the role the server knows now, or [`TokenError::Revoked`] once the session was ended or the
    /// user locked out. At most a second late. Memory look-ups only: called every second for every
    /// open connection.
    ///
    /// # Errors
    /// [`TokenError::Revoked`]; [`TokenError::Unavailable`] changes nothing for the connection.
    fn recheck(&self, identity: &Identity) -> Result<Actor, TokenError>;

    /// Returns soon after something ended or changed here: then a recheck need not wait for its
    /// second. For one waiter. It may never return: nothing may depend on it but speed.
    async fn changed(&self) {
        std::future::pending::<()>().await;
    }
}

/// A wish to register.
#[derive(Clone, PartialEq, Eq)]
pub struct Register {
    /// Wanted name.
    pub username: String,
    /// Address.
    pub email: String,
    /// Password as typed; at least 10 characters.
    pub password: String,
    /// Shown name; the user name when absent.
    pub display_name: Option<String>,
    /// The one-time token that makes the first administrator.
    pub setup_token: Option<String>,
    /// The token of an invitation.
    pub invitation: Option<String>,
    /// What the client calls itself.
    pub device: String,
}

// Secrets never get into a log by way of `{:?}`.
impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Register").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A person who is signed in now.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub user: UserId,
    /// What they tell about themselves.
    pub profile: Profile,
    /// Role on the server.
    pub role: ServerRole,
    /// When the account began.
    pub created_at: Timestamp,
    /// Which session.
    pub session: SessionId,
    /// JWT.
    pub access_token: String,
    /// Opaque; works once.
    pub refresh_token: String,
    /// Life of the access token in seconds.
    pub expires_in: u64,
    /// Where the account's first event landed, at registration.
    pub position: Option<Position>,
    /// The room that an invitation used at registration leads to.
    pub welcome: Option<Welcome>,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { user, session, .. } = self;
        let mut out = f.debug_struct("SignedIn");
        out.field("user", user).field("session", session).finish_non_exhaustive()
    }
}

/// Why signing in failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Name or password is wrong; the two are not told apart.
    #[error("the name or the password is wrong")]
    WrongCredentials,
    /// Too many failures: wait.
    #[error("too many attempts")]
    TooManyAttempts {
        /// How long to wait.
        retry_after_seconds: u64,
    },
    /// The refresh token is not valid (any more).
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// The setup token is wrong or used.
    #[error("registration is not possible with this token")]
    SetupRefused,
    /// The server takes no new accounts.
    #[error("registration is closed")]
    RegistrationClosed,
    /// The password is right, but an administrator locked the account.
    #[error("the account is locked")]
    AccountLocked,
    /// The password that is valid now was not the one given.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The token of a link to set a new password is not valid (any more).
    #[error("the link is not valid any more")]
    InvalidResetToken,
    /// Anything else.
    #[error(transparent)]
    Service(#[from] super::ServiceError),
}

/// Signs people up, in and out.
#[async_trait]
pub trait AuthApi: TokenVerifier {
    /// Makes an account and signs in.
    async fn register(&self, wish: Register) -> Result<SignedIn, SignInError>;

    /// Signs in by name or e-mail. `address` is where the attempt comes from, for lockout.
    async fn login(
        &self,
        login: &str,
        password: &str,
        device: &str,
        address: &str,
    ) -> Result<SignedIn, SignInError>;

    /// A new pair of tokens for a refresh token, which is used up.
    async fn refresh(&self, refresh_token: &str) -> Result<SignedIn, SignInError>;

    /// Ends the session.
    async fn logout(&self, session: SessionId) -> ServiceResult<()>;

    /// The user's sessions, newest first.
    async fn sessions(&self, user: UserId) -> ServiceResult<Vec<SessionView>>;

    /// Ends a session of `user`. Whether there was one.
    async fn end_session(&self, user: UserId, session: SessionId) -> ServiceResult<bool>;
}

/// A signed-in device as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Which.
    pub id: SessionId,
    /// What the client called itself.
    pub device: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When its tokens were refreshed last.
    pub used_at: Timestamp,
    /// When it ends unless it is used again.
    pub expires_at: Timestamp,
}

/// A user to be made by the server itself: imported, a bot, or of a trusted issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// Wanted name; made to fit the rules and distinct by a suffix.
    pub username: String,
    /// Shown name.
    pub display_name: String,
    /// Address.
    pub email: Option<String>,
    /// Whether a program acts under it.
    pub bot: bool,
    /// When the account began.
    pub created_at: Timestamp,
    /// Hash of the external id.
    pub external: Option<u128>,
}

/// Makes users without passwords.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// Makes all of `users`, in order; a few syncs for the whole call. Returns when their events
    /// are durable on the log.
    async fn provision(
        &self,
        users: Vec<NewUser>,
    ) -> ServiceResult<Vec<Result<(UserId, Position), Rejection>>>;
}
