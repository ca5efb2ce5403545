//! Signing in with a name or an e-mail address.

use klatch_ports::accounts::Account;
use klatch_ports::api::ServiceError;
use klatch_ports::api::auth::{SignInError, SignedIn};

use crate::Auth;
use crate::accounts::folded;

/// Longer texts are no names.
const LOGIN_BYTES_MAX: usize = 320;

impl Auth {
    pub(crate) async fn sign_in(
        &self,
        login: &str,
        password: &str,
        device: &str,
        address: &str,
    ) -> Result<SignedIn, SignInError> {
        let now = self.parts.clock.now();
        let attempt = self.lockout.attempt(&folded(login), address);
        let retry_after_seconds = self.lockout.wait_seconds(attempt, now);
        if retry_after_seconds > 0 {
            return Err(SignInError::TooManyAttempts { retry_after_seconds });
        }
        let account = match login.len() {
            0..=LOGIN_BYTES_MAX => self.find(login).await.map_err(ServiceError::from)?,
            _ => None,
        };
        let hash = account.as_ref().and_then(|account| account.password_hash.clone());
        if !self.passwords.fits(password.to_owned(), hash).await? {
            self.lockout.failed(attempt, now);
            return Err(SignInError::WrongCredentials);
        }
        // Without an account no password fits.
        let account = account.ok_or(SignInError::WrongCredentials)?;
        self.lockout.succeeded(attempt);
        let known = account.password_hash.clone();
        let signed_in = self.enter(account, device).await?;
        // A password that was changed meanwhile has ended all sessions but, perhaps, this one.
        let account =
            self.parts.stores.accounts.get(signed_in.user).await.map_err(ServiceError::from)?;
        if account.is_none_or(|account| account.password_hash != known || account.banned) {
            self.revoke(signed_in.session).await?;
            return Err(SignInError::WrongCredentials);
        }
        Ok(signed_in)
    }

    async fn enter(&self, account: Account, device: &str) -> Result<SignedIn, SignInError> {
        if account.banned {
            return Err(SignInError::AccountLocked);
        }
        if !account.announced {
            self.announce(vec![account.clone()]).await?;
        }
        let profile = self.profile(&account).await.map_err(ServiceError::from)?;
        // Without a key the person was erased.
        let profile = profile.ok_or(SignInError::WrongCredentials)?;
        Ok(self.open_session(&account, profile, device).await?)
    }
}
