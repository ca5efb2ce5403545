//! What people do with their own accounts, and those who run the server with others'.

use async_trait::async_trait;
use klatch_domain::audit::By;
use klatch_domain::permission::Actor;
use klatch_domain::scope::Scopes;
use klatch_domain::user::{Profile, ServerRole};
use klatch_domain::{ApiTokenId, InvitationId, RoomId, SessionId, Timestamp, UserId};

use super::ServiceResult;
use super::auth::SignInError;
use super::queries::{Page, PageRequest};
use crate::api_tokens::ApiToken;
use crate::invitations::Invitation;

/// A new password for someone who knows the present one.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordChange {
    /// Whose.
    pub user: UserId,
    /// The session that goes on; all others end.
    pub keep: Option<SessionId>,
    /// The password now.
    pub current: String,
    /// The password from now on; at least 10 characters.
    pub new: String,
    /// Where the request comes from, for lockout.
    pub address: String,
}

// Secrets never get into a log by way of `{:?}`.
impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordChange").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A secret that is told once, to whoever asked for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Told(pub String);

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

/// An account as those who run the server see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Whose.
    pub user: UserId,
    /// What they tell about themselves; `None` once they were erased.
    pub profile: Option<Profile>,
    /// Role on the server.
    pub role: ServerRole,
    /// Whether a program acts under it.
    pub bot: bool,
    /// Locked out by an administrator.
    pub banned: bool,
    /// Whether one can sign in to it with a password.
    pub has_password: bool,
    /// When it began.
    pub created_at: Timestamp,
}

/// What is to change of an account; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// Role on the server.
    pub role: Option<ServerRole>,
    /// Locked out, or let in again.
    pub banned: Option<bool>,
}

/// A wish to invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewInvitation {
    /// The room it leads to; the asker was found to run it.
    pub room: Option<RoomId>,
    /// What an account made with it is on the server: guest or member.
    pub role: ServerRole,
    /// How many people may use it: 1 to 10,000.
    pub uses_max: u32,
    /// When it ends; at most a year ahead.
    pub expires_at: Timestamp,
}

/// A use of an invitation that was counted: the room is to be entered in the inviter's name, and
/// the use finished or given back after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Which invitation.
    pub invitation: InvitationId,
    /// Where to.
    pub room: RoomId,
    /// Who invited, with the role the server knows now.
    pub inviter: Actor,
}

/// Own and others' accounts. Whoever may not do something is refused here.
#[async_trait]
pub trait AccountApi: Send + Sync {
    /// Sets a new password and ends all other sessions.
    async fn change_password(&self, change: PasswordChange) -> Result<(), SignInError>;

    /// Ends all sessions of `user`.
    async fn end_sessions(&self, user: UserId) -> ServiceResult<()>;

    /// Sends a link that sets a new password to the address of whoever signs in as `login`, if
    /// there is one and mail is configured. The answer and its time tell nothing of that.
    async fn request_reset(&self, login: &str, address: &str) -> Result<(), SignInError>;

    /// Sets a new password with the token of such a link, and ends all sessions.
    async fn reset_password(&self, token: &str, password: String) -> Result<(), SignInError>;

    /// The token of a link that sets a new password, for an administrator to hand over.
    async fn reset_token(&self, by: By, user: UserId) -> ServiceResult<Told>;

    /// Accounts by age, oldest first; with `bot` only those of programs, or only those of people.
    /// Such a page may be short, even empty, with more after it: a few thousand are looked at.
    async fn accounts(
        &self,
        by: By,
        page: PageRequest,
        bot: Option<bool>,
    ) -> ServiceResult<Page<AccountView>>;

    /// One account.
    async fn account(&self, by: By, user: UserId) -> ServiceResult<AccountView>;

    /// The account that signs in as `login`.
    async fn account_named(&self, by: By, login: &str) -> ServiceResult<AccountView>;

    /// Changes role and lock: decided at once and everywhere within a second.
    async fn change_account(
        &self,
        by: By,
        user: UserId,
        change: AccountChange,
    ) -> ServiceResult<AccountView>;

    /// Has a fresh key sign access tokens. With `forget` the older keys are gone at once, and all
    /// sessions with them; else what they signed stays good until it ends.
    async fn rotate_keys(&self, by: By, forget: bool) -> ServiceResult<()>;

    /// Makes an account for another, without a password.
    async fn make_account(&self, by: By, wish: NewAccount) -> ServiceResult<AccountView>;
}

/// An account for another person, or for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Unique name.
    pub username: String,
    /// Shown name; the user name when absent.
    pub display_name: Option<String>,
    /// Address.
    pub email: Option<String>,
    /// Role on the server; programs are never administrators themselves.
    pub role: ServerRole,
    /// Whether a program acts under it.
    pub bot: bool,
}

/// A wish for a program's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What its maker calls it, 1–100 characters.
    pub name: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// Tokens of programs: one's own, those of bots for administrators, and anyone's for whoever has
/// the machine.
#[async_trait]
pub trait TokenApi: Send + Sync {
    /// Makes a token of `user` and tells it.
    async fn make_token(
        &self,
        by: By,
        user: UserId,
        wish: NewToken,
    ) -> ServiceResult<(ApiToken, Told)>;

    /// The tokens of `user`, newest first.
    async fn tokens(&self, by: By, user: UserId) -> ServiceResult<Vec<ApiToken>>;

    /// Ends a token of `user`: it works no more, and its connections close within a second.
    async fn end_token(&self, by: By, user: UserId, id: ApiTokenId) -> ServiceResult<()>;
}

/// Invitations. Whether the asker runs a room is for the caller to find out.
#[async_trait]
pub trait InvitationApi: Send + Sync {
    /// Makes an invitation and tells its token.
    async fn invite(&self, actor: Actor, wish: NewInvitation) -> ServiceResult<(Invitation, Told)>;

    /// Invitations to `room`, which the asker was found to run, or all; newest first.
    async fn invitations(
        &self,
        actor: Actor,
        room: Option<RoomId>,
        page: PageRequest,
    ) -> ServiceResult<Page<Invitation>>;

    /// One invitation.
    async fn invitation(&self, id: InvitationId) -> ServiceResult<Invitation>;

    /// Takes an invitation back, which the asker was found to be in charge of.
    async fn revoke_invitation(&self, actor: Actor, id: InvitationId) -> ServiceResult<()>;

    /// What the token leads to and who invites, for whoever holds it; counts nothing.
    async fn look_at_invitation(&self, token: &str) -> ServiceResult<(Invitation, Actor)>;

    /// Counts a use by someone who has an account.
    async fn redeem(&self, actor: Actor, token: &str) -> ServiceResult<Welcome>;

    /// Ends a counted use: `entered` finishes it, else it is given back.
    async fn redeemed(&self, user: UserId, welcome: Welcome, entered: bool) -> ServiceResult<()>;
}
