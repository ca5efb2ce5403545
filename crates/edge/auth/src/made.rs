//! Accounts that those who run the server make for others, and tokens of programs.

use klatch_domain::audit::{Act, AuditEntry, By};
use klatch_domain::permission::{Actor, ServerAction};
use klatch_domain::user::{self, Profile, ServerRole};
use klatch_domain::{ApiTokenId, Rejection, UserId};
use klatch_ports::accounts::Account;
use klatch_ports::api::ServiceResult;
use klatch_ports::api::accounts::{AccountView, NewAccount, NewToken, Told};
use klatch_ports::api_tokens::ApiToken;

use crate::register::Beginning;
use crate::{Auth, one_time};

/// Most tokens of one user.
const TOKENS_MAX: usize = 100;
/// Most characters of a token's name.
const NAME_CHARS_MAX: usize = 100;

impl Auth {
    /// An account without a password; a person's is set by a link, a bot has none.
    pub(crate) async fn make_for_another(
        &self,
        by: By,
        wish: NewAccount,
    ) -> ServiceResult<AccountView> {
        let NewAccount { username, display_name, email, role, bot } = wish;
        let needed = if bot { ServerAction::ManageBots } else { ServerAction::ManageAccounts };
        by.check(needed)?;
        if bot && role == ServerRole::Admin {
            return Err(Rejection::InvalidField("role").into());
        }
        let username = user::username(&username)?;
        let display_name =
            display_name.as_deref().map_or(Ok(username.clone()), user::display_name)?;
        let email = email.as_deref().map(user::email).transpose()?;
        let profile = Profile { username, display_name, email, avatar: None };
        let beginning = Beginning { profile: &profile, password: None, role, bot };
        let account = self.make_account(beginning, None).await?;
        self.announce(vec![account.clone()]).await?;
        // After it: the name is claimed with the account, and who comes second is refused.
        let act = if bot { Act::BotMade } else { Act::UserMade };
        let entry = AuditEntry::new(self.parts.clock.now(), by, act);
        self.note(AuditEntry { user: Some(account.user), role: Some(role), ..entry }).await?;
        Ok(self.view(account).await?)
    }

    /// The account whose tokens `by` may handle: their own, a bot's, or for whoever has the machine
    /// anyone's. Nobody gets a token in the name of another person.
    async fn account_for_tokens(&self, by: By, user: UserId) -> ServiceResult<Account> {
        let account = self.parts.stores.accounts.get(user).await?.ok_or(Rejection::UserNotFound);
        match by {
            By::User(Actor { user: own, .. }) if own == user => Ok(account?),
            By::User(_) => {
                by.check(ServerAction::ManageBots)?;
                Ok(account.ok().filter(|account| account.bot).ok_or(Rejection::UserNotFound)?)
            }
            By::Operator => Ok(account?),
        }
    }

    pub(crate) async fn make_api_token(
        &self,
        by: By,
        user: UserId,
        wish: NewToken,
    ) -> ServiceResult<(ApiToken, Told)> {
        self.account_for_tokens(by, user).await?;
        let NewToken { name, scopes, expires_at } = wish;
        let name = name.trim().to_owned();
        let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
            && !name.chars().any(char::is_control);
        if !fits {
            return Err(Rejection::InvalidField("name").into());
        }
        let now = self.parts.clock.now();
        if expires_at.is_some_and(|at| at <= now) {
            return Err(Rejection::InvalidField("expiresAt").into());
        }
        if self.parts.stores.api_tokens.tokens(user).await?.len() >= TOKENS_MAX {
            return Err(Rejection::TooMany.into());
        }
        let id = ApiTokenId::fresh(&*self.parts.clock, &*self.parts.entropy);
        let (text, hash) = one_time::api_token(id, &*self.parts.entropy);
        let made_by = by.user().filter(|by| *by != user);
        let token = ApiToken { id, user, hash, name, scopes, expires_at, made_by };
        self.note_token(by, Act::TokenMade, &token).await?;
        self.parts.stores.api_tokens.create_token(&token).await?;
        tracing::info!(user.id = %user, token.id = %id, "made a token");
        Ok((token, Told(text)))
    }

    pub(crate) async fn list_api_tokens(
        &self,
        by: By,
        user: UserId,
    ) -> ServiceResult<Vec<ApiToken>> {
        self.account_for_tokens(by, user).await?;
        Ok(self.parts.stores.api_tokens.tokens(user).await?)
    }

    pub(crate) async fn end_api_token(
        &self,
        by: By,
        user: UserId,
        id: ApiTokenId,
    ) -> ServiceResult<()> {
        self.account_for_tokens(by, user).await?;
        let found =
            self.parts.stores.api_tokens.token(id).await?.filter(|token| token.user == user);
        let token = found.ok_or(Rejection::TokenNotFound)?;
        self.note_token(by, Act::TokenRevoked, &token).await?;
        self.parts.stores.api_tokens.revoke_token(id).await?;
        self.verifier.end_program(id);
        Ok(())
    }

    /// What people do with their own tokens is theirs.
    async fn note_token(&self, by: By, act: Act, token: &ApiToken) -> ServiceResult<()> {
        if by.user() == Some(token.user) {
            return Ok(());
        }
        let entry = AuditEntry::new(self.parts.clock.now(), by, act);
        let (user, object) = (Some(token.user), Some(token.id.bits()));
        self.note(AuditEntry { user, object, ..entry }).await
    }
}
