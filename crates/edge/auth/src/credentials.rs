//! New passwords: for those who know the old one, and by a link for those who do not.

use klatch_domain::audit::{Act, AuditEntry, By};
use klatch_domain::permission::ServerAction;
use klatch_domain::{Rejection, SessionId, UserId};
use klatch_ports::accounts::{Account, Replaced, Reset};
use klatch_ports::api::accounts::{PasswordChange, Told};
use klatch_ports::api::auth::SignInError;
use klatch_ports::api::{ServiceError, ServiceResult};

use crate::accounts::folded;
use crate::letters::Kind;
use crate::{Auth, one_time, password};

/// Life of a link that sets a new password.
pub(crate) const RESET_LIFE_MS: u64 = 30 * 60_000;
/// How often a change that others overtake is tried again.
const CHANGES_TRIED: usize = 16;
/// Longer texts are no names.
const LOGIN_BYTES_MAX: usize = 320;

impl Auth {
    /// Guesses at the password count against the account and the address, as in signing in.
    pub(crate) async fn set_known_password(
        &self,
        change: PasswordChange,
    ) -> Result<(), SignInError> {
        let PasswordChange { user, keep, current, new, address } = change;
        password::check_field(&new, "newPassword").map_err(ServiceError::from)?;
        let now = self.parts.clock.now();
        let attempt = self.lockout.attempt(&user.to_string(), &address);
        let retry_after_seconds = self.lockout.wait_seconds(attempt, now);
        if retry_after_seconds > 0 {
            return Err(SignInError::TooManyAttempts { retry_after_seconds });
        }
        let account = self.parts.stores.accounts.get(user).await.map_err(ServiceError::from)?;
        let known = account.and_then(|account| account.password_hash);
        if !self.passwords.fits(current, known).await? {
            self.lockout.failed(attempt, now);
            return Err(SignInError::WrongPassword);
        }
        self.lockout.succeeded(attempt);
        self.set_password(user, new).await?;
        self.end_all_sessions(user, keep).await?;
        tracing::info!(user.id = %user, "changed a password");
        Ok(())
    }

    async fn set_password(&self, user: UserId, password: String) -> ServiceResult<()> {
        let hash = self.passwords.hash(password, &*self.parts.entropy).await?;
        self.store_hash(user, &hash).await
    }

    /// Whoever had a password before is told by letter.
    async fn store_hash(&self, user: UserId, hash: &str) -> ServiceResult<()> {
        let edit = |account: &mut Account| account.password_hash = Some(hash.to_owned());
        let (before, _) = self.change(user, edit).await?;
        if before.password_hash.is_some() {
            self.write_to(user, Kind::PasswordChanged);
        }
        Ok(())
    }

    /// Applies `edit` to the account as it is, again if others change it meanwhile. The account
    /// before and after.
    ///
    /// # Errors
    /// [`Rejection::UserNotFound`], [`Rejection::LastAdmin`]; else as the port reports.
    pub(crate) async fn change(
        &self,
        user: UserId,
        edit: impl Fn(&mut Account) + Send,
    ) -> ServiceResult<(Account, Account)> {
        for _ in 0..CHANGES_TRIED {
            let before =
                self.parts.stores.accounts.get(user).await?.ok_or(Rejection::UserNotFound)?;
            let mut after = before.clone();
            edit(&mut after);
            match self.parts.stores.accounts.replace(&after, &before).await? {
                Replaced::Done => return Ok((before, after)),
                Replaced::LastAdmin => return Err(Rejection::LastAdmin.into()),
                Replaced::Changed => {}
            }
        }
        Err(ServiceError::Busy)
    }

    /// Ends the sessions of `user`, but for one.
    pub(crate) async fn end_all_sessions(
        &self,
        user: UserId,
        keep: Option<SessionId>,
    ) -> ServiceResult<()> {
        for session in self.parts.stores.sessions.list(user).await? {
            if Some(session.id) != keep {
                self.revoke(session.id).await?;
            }
        }
        Ok(())
    }

    /// Does the same whoever is asked for, and looks at no account: all of that goes on behind the
    /// answer.
    pub(crate) fn ask_for_reset(&self, login: &str, address: &str) -> Result<(), SignInError> {
        let now = self.parts.clock.now();
        // Every request counts, so that nobody's letter box can be filled.
        let attempt = self.lockout.attempt(&format!("reset\n{}", folded(login)), address);
        let retry_after_seconds = self.lockout.wait_seconds(attempt, now);
        if retry_after_seconds > 0 {
            return Err(SignInError::TooManyAttempts { retry_after_seconds });
        }
        self.lockout.failed(attempt, now);
        if self.parts.mailer.is_some() && login.len() <= LOGIN_BYTES_MAX {
            self.letters.ask(login.to_owned());
        }
        Ok(())
    }

    /// A fresh token that sets a new password of `user`. An earlier one works no more.
    pub(crate) async fn make_reset(&self, user: UserId) -> ServiceResult<Told> {
        let (text, hash) = one_time::fresh(&*self.parts.entropy);
        let expires_at = self.parts.clock.now().plus_ms(RESET_LIFE_MS);
        self.parts.stores.resets.put_reset(&Reset { hash, user, expires_at }).await?;
        Ok(Told(text))
    }

    pub(crate) async fn hand_out_reset(&self, by: By, user: UserId) -> ServiceResult<Told> {
        by.check(ServerAction::ManageAccounts)?;
        let account = self.parts.stores.accounts.get(user).await?.ok_or(Rejection::UserNotFound)?;
        if account.bot {
            return Err(Rejection::UserNotFound.into());
        }
        let entry = AuditEntry::new(self.parts.clock.now(), by, Act::ResetLinkMade);
        self.note(AuditEntry { user: Some(user), ..entry }).await?;
        self.make_reset(user).await
    }

    pub(crate) async fn set_forgotten_password(
        &self,
        token: &str,
        new: String,
    ) -> Result<(), SignInError> {
        password::check_field(&new, "newPassword").map_err(ServiceError::from)?;
        let hash = one_time::hash(token);
        let resets = &self.parts.stores.resets;
        // A token that is none costs no password hash.
        let now = self.parts.clock.now();
        let found = resets.reset(hash).await.map_err(ServiceError::from)?;
        if found.is_none_or(|reset| reset.expires_at <= now) {
            return Err(SignInError::InvalidResetToken);
        }
        let fresh = self.passwords.hash(new, &*self.parts.entropy).await?;
        let gone = resets.take_reset(hash).await.map_err(ServiceError::from)?;
        let Some(Reset { user, .. }) = gone else { return Err(SignInError::InvalidResetToken) };
        match self.store_hash(user, &fresh).await {
            Ok(()) => {}
            // Erased meanwhile.
            Err(ServiceError::Rejected(Rejection::UserNotFound)) => {
                return Err(SignInError::InvalidResetToken);
            }
            Err(error) => return Err(error.into()),
        }
        self.end_all_sessions(user, None).await?;
        tracing::info!(user.id = %user, "set a new password by a link");
        Ok(())
    }
}
