//! Credentials, sessions and claims of unique names: written directly, because uniqueness cannot
//! wait for a read model. Every write is durable when it returns.

use async_trait::async_trait;
use klatch_domain::user::ServerRole;
use klatch_domain::{Sealed, SessionId, Timestamp, UserId};

use crate::error::PortResult;

/// What can be claimed once on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ClaimKind {
    /// A user name.
    Username = 1,
    /// An e-mail address.
    Email = 2,
    /// A channel's name.
    ChannelName = 3,
    /// The pair of a direct room.
    DirectPair = 4,
    /// A subject of a trusted token issuer.
    Subject = 5,
}

/// A wish to hold a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What kind of name.
    pub kind: ClaimKind,
    /// The name, already normalised.
    pub name: String,
    /// The id of what it is for.
    pub holder: u128,
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is the caller's now, or was before with the same holder.
    Held,
    /// Another holds it.
    Taken {
        /// Who.
        holder: u128,
        /// Whether the holder's event is on the log.
        confirmed: bool,
    },
}

/// Claims of unique names.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Takes all of `claims` or none: at the first that another holds it stops and tells which.
    async fn claim(
        &self,
        claims: &[Claim],
        at: Timestamp,
    ) -> PortResult<Result<(), (usize, Claimed)>>;

    /// Marks claims as backed by an event on the log.
    async fn confirm(&self, claims: &[Claim]) -> PortResult<()>;

    /// Gives claims back, if held by the holder named.
    async fn release(&self, claims: &[Claim]) -> PortResult<()>;

    /// Who holds a name.
    async fn holder(&self, kind: ClaimKind, name: &str) -> PortResult<Option<u128>>;
}

/// An account: what signing in needs, and what its first event is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose.
    pub user: UserId,
    /// PHC text of the password hash; `None` for bots and provisioned users.
    pub password_hash: Option<String>,
    /// Role on the server; the one that counts.
    pub role: ServerRole,
    /// Whether a program acts under it.
    pub bot: bool,
    /// Locked out by an administrator.
    pub banned: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// The first profile, sealed, for the event.
    pub profile: Sealed,
    /// Hash of the external id, when imported.
    pub external: Option<u128>,
    /// Whether its first event is on the log; the sweeper appends it if not.
    pub announced: bool,
}

/// How a change of an account ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is stored.
    Done,
    /// The account is not as expected, or not there: read it again and decide anew.
    Changed,
    /// Nobody could run the server any more: nothing was changed.
    LastAdmin,
}

/// Accounts.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Stores new accounts, one sync for all. What is there is changed by
    /// [`AccountStore::replace`], so that two changes at once cannot undo each other.
    async fn put(&self, accounts: &[Account]) -> PortResult<()>;

    /// Stores `account` if the account of that user still is as `expected`. Refuses what would
    /// take away the last administrator who is not locked out; decided in one step.
    async fn replace(&self, account: &Account, expected: &Account) -> PortResult<Replaced>;

    /// Notes that the first events of these users are on the log; nothing else changes.
    async fn mark_announced(&self, users: &[UserId]) -> PortResult<()>;

    /// The account of `user`.
    async fn get(&self, user: UserId) -> PortResult<Option<Account>>;

    /// Up to `limit` accounts whose first event is not known to be on the log.
    async fn unannounced(&self, limit: usize) -> PortResult<Vec<Account>>;

    /// Accounts after `after` by id, up to `limit`.
    async fn page(&self, after: Option<UserId>, limit: usize) -> PortResult<Vec<Account>>;

    /// Whether any administrator exists who is not locked out.
    async fn has_admin(&self) -> PortResult<bool>;
}

/// A signed-in device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Identity; also the family of its refresh tokens.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// SHA-256 of the refresh token that is valid now.
    pub refresh_hash: [u8; 32],
    /// SHA-256 of the one before, and when it was replaced: for the identical retry, and to notice
    /// a stolen one.
    pub previous: Option<([u8; 32], Timestamp)>,
    /// What the client called itself, at most 200 characters.
    pub device: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was used last.
    pub used_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Sessions.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Stores a new session.
    async fn create(&self, session: &Session) -> PortResult<()>;

    /// Replaces a session if its valid refresh hash still is `expected`; else false.
    async fn rotate(&self, session: &Session, expected: [u8; 32]) -> PortResult<bool>;

    /// The session with this id.
    async fn get(&self, id: SessionId) -> PortResult<Option<Session>>;

    /// All sessions of `user`, newest first.
    async fn list(&self, user: UserId) -> PortResult<Vec<Session>>;

    /// Ends a session. Whether it was there.
    async fn revoke(&self, id: SessionId) -> PortResult<bool>;

    /// Looks at up to `limit` sessions after `after` by id, and removes those that ended by
    /// themselves before `ended_before`; one that is prolonged meanwhile stays. Cost: a look at so
    /// many sessions, and one write if any is removed.
    async fn sweep_sessions(
        &self,
        after: Option<SessionId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<SessionId>>;
}

/// A turn of removing what has ended, of sessions and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept<Id> {
    /// How many were removed.
    pub removed: usize,
    /// What the next turn goes on after; `None` when all were looked at.
    pub next: Option<Id>,
}

/// A wish to set a new password, which its one-time token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// SHA-256 of the token; the token itself is kept nowhere.
    pub hash: [u8; 32],
    /// Whose password.
    pub user: UserId,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Resets of passwords, at most one of each user.
#[async_trait]
pub trait ResetStore: Send + Sync {
    /// Stores a reset. An earlier one of the same user is gone.
    async fn put_reset(&self, reset: &Reset) -> PortResult<()>;

    /// The reset whose token has this hash, also when it has ended.
    async fn reset(&self, hash: [u8; 32]) -> PortResult<Option<Reset>>;

    /// Takes the reset out; of those who do so at once one gets it.
    async fn take_reset(&self, hash: [u8; 32]) -> PortResult<Option<Reset>>;

    /// Looks at the resets of up to `limit` users after `after` by id, and removes those that ended
    /// before `ended_before`. Cost as of [`SessionStore::sweep_sessions`].
    async fn sweep_resets(
        &self,
        after: Option<UserId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<UserId>>;
}
