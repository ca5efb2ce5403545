//! Accounts as those who run the server see and change them.

use klatch_domain::audit::{Act, AuditEntry, By};
use klatch_domain::permission::ServerAction;
use klatch_domain::user::ServerRole;
use klatch_domain::{Event, Rejection, UserChange, UserEvent, UserId};
use klatch_ports::accounts::Account;
use klatch_ports::api::accounts::{AccountChange, AccountView};
use klatch_ports::api::queries::{Page, PageRequest};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::log::{Append, AppendError, Expected};
use klatch_ports::{PortResult, StreamId};
use klatch_protocol::event;
use smallvec::smallvec;

use crate::Auth;

/// A page of bots, or of people, is made of at most about so many accounts,
const LOOKED_AT_MAX: usize = 2_000;
/// of which so many are read at once.
const OF_A_KIND_READ: usize = 500;

impl Auth {
    pub(crate) async fn list_accounts(
        &self,
        by: By,
        page: PageRequest,
        bot: Option<bool>,
    ) -> ServiceResult<Page<AccountView>> {
        by.check(ServerAction::ManageAccounts)?;
        let after = page.cursor.map(|cursor| cursor.parse::<UserId>()).transpose();
        let mut after = after.map_err(|_| Rejection::InvalidField("cursor"))?;
        // One more than wanted tells whether there is more; of one kind there may be few.
        let chunk = bot.map_or(page.limit + 1, |_| OF_A_KIND_READ);
        let (mut items, mut looked_at) = (Vec::new(), 0);
        loop {
            let accounts = self.parts.stores.accounts.page(after, chunk).await?;
            let is_end = accounts.len() < chunk;
            looked_at += accounts.len();
            let mut rest = accounts.into_iter();
            while items.len() < page.limit
                && let Some(account) = rest.next()
            {
                after = Some(account.user);
                if bot.is_none_or(|bot| account.bot == bot) {
                    items.push(self.view(account).await?);
                }
            }
            if is_end && rest.len() == 0 {
                return Ok(Page { items, next: None });
            }
            if items.len() == page.limit || looked_at >= LOOKED_AT_MAX {
                return Ok(Page { items, next: after.map(|user| user.to_string()) });
            }
        }
    }

    pub(crate) async fn view_account(&self, by: By, user: UserId) -> ServiceResult<AccountView> {
        by.check(ServerAction::ManageAccounts)?;
        let account = self.parts.stores.accounts.get(user).await?.ok_or(Rejection::UserNotFound)?;
        Ok(self.view(account).await?)
    }

    pub(crate) async fn view_named(&self, by: By, login: &str) -> ServiceResult<AccountView> {
        by.check(ServerAction::ManageAccounts)?;
        let account = self.find(login).await?.ok_or(Rejection::UserNotFound)?;
        Ok(self.view(account).await?)
    }

    pub(crate) async fn view(&self, account: Account) -> PortResult<AccountView> {
        Ok(AccountView {
            user: account.user,
            profile: self.profile(&account).await?,
            role: account.role,
            bot: account.bot,
            banned: account.banned,
            has_password: account.password_hash.is_some(),
            created_at: account.created_at,
        })
    }

    /// What is asked for again is told to the log again: so a change whose answer was lost is
    /// simply repeated.
    pub(crate) async fn manage_account(
        &self,
        by: By,
        user: UserId,
        wish: AccountChange,
    ) -> ServiceResult<AccountView> {
        by.check(ServerAction::ManageAccounts)?;
        if wish.banned == Some(true) && by.user() == Some(user) {
            return Err(Rejection::NotYourself.into());
        }
        let account = self.parts.stores.accounts.get(user).await?.ok_or(Rejection::UserNotFound)?;
        if account.bot && wish.role == Some(ServerRole::Admin) {
            // A program runs the server in the name of a person, with that person's token.
            return Err(Rejection::InvalidField("role").into());
        }
        let entry = AuditEntry::new(self.parts.clock.now(), by, Act::RoleChanged);
        let entry = AuditEntry { user: Some(user), ..entry };
        // Of two administrators who take each other's role one is refused, and that is decided with
        // the change itself: only then what was refused would be in the audit.
        let may_be_refused = account.role == ServerRole::Admin && !account.banned;
        if !may_be_refused {
            self.note_change(entry, &wish).await?;
        }
        let (_, account) = self
            .change(user, |account| {
                account.role = wish.role.unwrap_or(account.role);
                account.banned = wish.banned.unwrap_or(account.banned);
            })
            .await?;
        self.verifier.set_standing(&account);
        if wish.banned == Some(true) {
            self.end_all_sessions(user, None).await?;
        }
        if let Some(role) = wish.role {
            self.tell_role(user, role).await?;
        }
        if may_be_refused {
            self.note_change(entry, &wish).await?;
        }
        tracing::info!(user.id = %user, ?wish, "an account was changed");
        Ok(self.view(account).await?)
    }

    async fn note_change(&self, entry: AuditEntry, wish: &AccountChange) -> ServiceResult<()> {
        if let Some(role) = wish.role {
            self.note(AuditEntry { role: Some(role), ..entry }).await?;
        }
        if let Some(banned) = wish.banned {
            let act = if banned { Act::Banned } else { Act::Unbanned };
            self.note(AuditEntry { act, ..entry }).await?;
        }
        Ok(())
    }

    async fn tell_role(&self, user: UserId, role: ServerRole) -> ServiceResult<()> {
        let change = UserChange::RoleChanged { role };
        let event = Event::User(UserEvent { user, at: self.parts.clock.now(), change });
        let append = Append {
            stream: StreamId::Meta,
            key: event::key(&event),
            expected: Expected::Any,
            records: smallvec![event::encode(&event)],
        };
        match self.parts.log.append(append).await {
            Ok(_) => Ok(()),
            // Nothing is expected, so nothing conflicts.
            Err(AppendError::Conflict { .. }) => Err(ServiceError::Busy),
            Err(AppendError::Port(error)) => Err(ServiceError::OutcomeUnknown(error)),
        }
    }

    /// Appends to the audit log; before what it tells of is done.
    pub(crate) async fn note(&self, entry: AuditEntry) -> ServiceResult<()> {
        self.parts.audit.record(&entry).await?;
        Ok(())
    }
}
