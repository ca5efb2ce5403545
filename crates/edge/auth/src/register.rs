//! Registration. A crash at any point leaves either nothing, or something the sweeper finishes:
//! data key → names → account → first event → mark.

use klatch_domain::Sealed;
use klatch_domain::user::{self, Profile, ServerRole};
use klatch_domain::{Entropy, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::Account;
use klatch_ports::api::accounts::Welcome;
use klatch_ports::api::auth::{Register, SignInError, SignedIn};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::{ErrorKind, PortError};
use subtle::ConstantTimeEq as _;
use tokio::sync::MutexGuard;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::accounts::claims_of;
use crate::{Auth, password};

/// What an account begins with.
pub(crate) struct Beginning<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) password: Option<String>,
    pub(crate) role: ServerRole,
    pub(crate) bot: bool,
}

impl Auth {
    /// The one-time token with which registering makes an administrator; `None` once there is
    /// one. The same until it is used or the process ends.
    ///
    /// # Errors
    /// As the account store reports.
    pub async fn setup_token(&self) -> PortResult<Option<String>> {
        let mut token = self.setup.lock().await;
        if self.parts.stores.accounts.has_admin().await? {
            *token = None;
        } else if token.is_none() {
            let given = self.config.setup_token.clone();
            *token = Some(given.unwrap_or_else(|| random_token(&*self.parts.entropy)));
        }
        Ok(token.clone())
    }

    pub(crate) async fn register_account(&self, wish: Register) -> Result<SignedIn, SignInError> {
        let Register { username, email, password, display_name, .. } = &wish;
        let profile = checked_profile(username, email, display_name.as_deref())?;
        password::check(password).map_err(ServiceError::from)?;
        let mut setup = match &wish.setup_token {
            Some(token) => Some(self.use_setup_token(token).await?),
            None => None,
        };
        let invited = match &wish.invitation {
            Some(token) => Some(self.open_invitation(token).await?),
            None => None,
        };
        let role = match (&setup, &invited) {
            (Some(_), _) => ServerRole::Admin,
            (None, Some((invitation, _))) => invitation.role,
            (None, None) if self.config.open_registration => ServerRole::Member,
            (None, None) => return Err(SignInError::RegistrationClosed),
        };
        let Register { password, invitation, device, .. } = wish;
        let beginning = Beginning { profile: &profile, password: Some(password), role, bot: false };
        let account = self.make_account(beginning, invitation.as_deref()).await?;
        let positions = self.announce(vec![account.clone()]).await?;
        if let Some(token) = &mut setup {
            **token = None;
        }
        tracing::info!(user.id = %account.user, role = role.as_str(), "registered");
        let mut signed_in = self.open_session(&account, profile, &device).await?;
        signed_in.position = positions.into_iter().flatten().next();
        signed_in.welcome = invited.and_then(|(invitation, inviter)| {
            Some(Welcome { invitation: invitation.id, room: invitation.room?, inviter })
        });
        Ok(signed_in)
    }

    /// Stores an account and holds its names; with an invitation, one use of that is counted.
    pub(crate) async fn make_account(
        &self,
        beginning: Beginning<'_>,
        invitation: Option<&str>,
    ) -> ServiceResult<Account> {
        let Beginning { profile, password, role, bot } = beginning;
        let user = UserId::fresh(&*self.parts.clock, &*self.parts.entropy);
        let claims = claims_of(user, &profile.username, profile.email.as_deref());
        // Asked before anything is made, so that taken names cost neither hash nor key.
        self.check_free(&claims).await?;
        let password_hash = match password {
            Some(password) => Some(self.passwords.hash(password, &*self.parts.entropy).await?),
            None => None,
        };
        self.parts.keys.create(&[user]).await?;
        self.claim(&claims).await?;
        let account = Account {
            user,
            password_hash,
            role,
            bot,
            banned: false,
            created_at: self.parts.clock.now(),
            profile: self.seal(user, profile).await?,
            external: None,
            announced: false,
        };
        let stored = match invitation {
            None => self
                .parts
                .stores
                .accounts
                .put(std::slice::from_ref(&account))
                .await
                .map_err(Into::into),
            // The use is counted and the account stored together.
            Some(token) => self.count_use(token, user, Some(&account)).await.map(|_| ()),
        };
        if let Err(error) = stored {
            // Nothing refers to the names yet. Should this fail too, they are given up in a minute.
            let _ = self.parts.stores.claims.release(&claims).await;
            return Err(error);
        }
        Ok(account)
    }

    /// Holds the setup token while it is used; refuses any other.
    async fn use_setup_token(
        &self,
        token: &str,
    ) -> Result<MutexGuard<'_, Option<String>>, SignInError> {
        let held = self.setup.lock().await;
        let fits =
            held.as_deref().is_some_and(|held| held.as_bytes().ct_eq(token.as_bytes()).into());
        let has_admin = self.parts.stores.accounts.has_admin().await.map_err(ServiceError::from)?;
        if fits && !has_admin { Ok(held) } else { Err(SignInError::SetupRefused) }
    }

    /// `profile` under the key of `user`, which was just made.
    pub(crate) async fn seal(&self, user: UserId, profile: &Profile) -> PortResult<Sealed> {
        let cipher = self.parts.ring.cipher(user).await?;
        let cipher = cipher.ok_or_else(|| PortError::new(ErrorKind::Corrupt, "keys", "create"))?;
        Ok(cipher.seal_profile(profile, &*self.parts.entropy))
    }
}

fn checked_profile(
    username: &str,
    email: &str,
    display_name: Option<&str>,
) -> ServiceResult<Profile> {
    let username = user::username(username)?;
    let display_name = display_name.map_or(Ok(username.clone()), user::display_name)?;
    Ok(Profile { username, display_name, email: Some(user::email(email)?), avatar: None })
}

fn random_token(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    BASE64.encode(bytes)
}
