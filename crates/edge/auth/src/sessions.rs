//! Sessions: a signed-in device, from sign-in to its end.

use klatch_domain::user::Profile;
use klatch_domain::{SessionId, UserId};
use klatch_ports::accounts::{Account, Session};
use klatch_ports::api::auth::{SessionView, SignInError, SignedIn};
use klatch_ports::api::{ServiceError, ServiceResult};

use crate::Auth;
use crate::config::millis;
use crate::jwt::{self, Access};
use crate::refresh_token::RefreshToken;
use crate::verify::Proven;

/// Most sessions a user holds; the longest unused one makes room.
const SESSIONS_MAX: usize = 100;
/// Most characters of what a client calls itself.
const DEVICE_CHARS_MAX: usize = 200;
/// How often a refresh that others overtake is looked at again.
const ROTATIONS_TRIED: usize = 4;

impl Auth {
    pub(crate) async fn open_session(
        &self,
        account: &Account,
        profile: Profile,
        device: &str,
    ) -> ServiceResult<SignedIn> {
        self.make_room(account.user).await?;
        let now = self.parts.clock.now();
        let id = SessionId::fresh(&*self.parts.clock, &*self.parts.entropy);
        let token = RefreshToken::first(id, &*self.parts.entropy);
        let device = device.chars().filter(|c| !c.is_control()).take(DEVICE_CHARS_MAX).collect();
        let session = Session {
            id,
            user: account.user,
            refresh_hash: token.hash(),
            previous: None,
            device,
            created_at: now,
            used_at: now,
            expires_at: now.plus_ms(millis(self.config.session_life)),
        };
        self.parts.stores.sessions.create(&session).await?;
        Ok(self.signed_in(account, profile, &token))
    }

    async fn make_room(&self, user: UserId) -> ServiceResult<()> {
        let mut sessions = self.parts.stores.sessions.list(user).await?;
        sessions.sort_by_key(|session| std::cmp::Reverse(session.used_at));
        for session in sessions.into_iter().skip(SESSIONS_MAX - 1) {
            self.revoke(session.id).await?;
        }
        Ok(())
    }

    fn signed_in(&self, account: &Account, profile: Profile, token: &RefreshToken) -> SignedIn {
        let now = self.parts.clock.now();
        let access = Access {
            issuer: &self.config.issuer,
            user: account.user,
            session: token.session,
            issued_at: now,
            expires_at: jwt::whole_seconds(now.plus_ms(millis(self.config.access_life))),
        };
        let (era, keys) = (self.verifier.era(), self.keys());
        let access_token = jwt::access_token(&access, &keys);
        self.verifier.know(era, &access_token, Proven::own(&access));
        SignedIn {
            user: account.user,
            profile,
            role: account.role,
            created_at: account.created_at,
            session: token.session,
            access_token,
            refresh_token: token.write(&keys),
            expires_in: self.config.access_life.as_secs(),
            position: None,
            welcome: None,
        }
    }

    pub(crate) async fn refresh_session(&self, token: &str) -> Result<SignedIn, SignInError> {
        let refused = SignInError::InvalidRefreshToken;
        let Some(token) = RefreshToken::read(token, &self.keys()) else { return Err(refused) };
        let Some((next, user)) = self.rotate(&token).await? else { return Err(refused) };
        let account = self.parts.stores.accounts.get(user).await.map_err(ServiceError::from)?;
        let Some(account) = account else { return Err(refused) };
        if account.banned {
            return Err(SignInError::AccountLocked);
        }
        let profile = self.profile(&account).await.map_err(ServiceError::from)?;
        let Some(profile) = profile else { return Err(refused) };
        Ok(self.signed_in(&account, profile, &next))
    }

    /// The token that replaces `token`; `None` when it is not valid any more. One that was replaced
    /// longer ago than the grace period was used by two: the session ends.
    async fn rotate(&self, token: &RefreshToken) -> ServiceResult<Option<(RefreshToken, UserId)>> {
        for _ in 0..ROTATIONS_TRIED {
            let Some(session) = self.parts.stores.sessions.get(token.session).await? else {
                return Ok(None);
            };
            let now = self.parts.clock.now();
            if session.expires_at <= now {
                self.revoke(session.id).await?;
                return Ok(None);
            }
            if !token.hashes_to(&session.refresh_hash) {
                return self.repeat(token, &session).await;
            }
            let Some(next) = token.successors(now, &self.keys()).into_iter().next() else {
                return Ok(None);
            };
            let rotated = Session {
                refresh_hash: next.hash(),
                previous: Some((session.refresh_hash, now)),
                used_at: now,
                expires_at: now.plus_ms(millis(self.config.session_life)),
                ..session
            };
            let user = rotated.user;
            if self.parts.stores.sessions.rotate(&rotated, session.refresh_hash).await? {
                return Ok(Some((next, user)));
            }
        }
        Err(ServiceError::Busy)
    }

    /// An answer to a token that is not the valid one: what the first use was answered with, when
    /// that was a moment ago; else the end of the session.
    async fn repeat(
        &self,
        token: &RefreshToken,
        session: &Session,
    ) -> ServiceResult<Option<(RefreshToken, UserId)>> {
        if let Some((hash, at)) = &session.previous
            && token.hashes_to(hash)
            && self.parts.clock.now().ms_since(*at) <= millis(self.config.refresh_grace)
        {
            let successors = token.successors(*at, &self.keys());
            let same = successors.into_iter().find(|next| next.hashes_to(&session.refresh_hash));
            return Ok(same.map(|next| (next, session.user)));
        }
        tracing::warn!(
            session.id = %session.id,
            user.id = %session.user,
            "a refresh token was used twice: the session is ended"
        );
        self.revoke(session.id).await?;
        Ok(None)
    }

    /// Ends a session, wherever its tokens are. Whether there was one.
    pub(crate) async fn revoke(&self, session: SessionId) -> ServiceResult<bool> {
        let was_there = self.parts.stores.sessions.revoke(session).await?;
        let now = self.parts.clock.now();
        let until = now.plus_ms(millis(self.config.access_life));
        self.verifier.end_session(session, now, until);
        Ok(was_there)
    }

    pub(crate) async fn list_sessions(&self, user: UserId) -> ServiceResult<Vec<SessionView>> {
        let now = self.parts.clock.now();
        let sessions = self.parts.stores.sessions.list(user).await?;
        let current = sessions.into_iter().filter(|session| session.expires_at > now);
        Ok(current
            .map(|session| {
                let Session { id, device, created_at, used_at, expires_at, .. } = session;
                SessionView { id, device, created_at, used_at, expires_at }
            })
            .collect())
    }

    pub(crate) async fn revoke_own(&self, user: UserId, session: SessionId) -> ServiceResult<bool> {
        match self.parts.stores.sessions.get(session).await? {
            Some(found) if found.user == user => self.revoke(session).await,
            Some(_) | None => Ok(false),
        }
    }
}
