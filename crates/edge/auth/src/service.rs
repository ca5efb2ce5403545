//! The role as others call it.

use async_trait::async_trait;
use klatch_domain::audit::By;
use klatch_domain::permission::Actor;
use klatch_domain::{ApiTokenId, InvitationId, Rejection, RoomId, SessionId, UserId};
use klatch_ports::api::ServiceResult;
use klatch_ports::api::accounts::{
    AccountApi, AccountChange, AccountView, InvitationApi, NewAccount, NewInvitation, NewToken,
    PasswordChange, TokenApi, Told, Welcome,
};
use klatch_ports::api::auth::{AuthApi, Register, SessionView, SignInError, SignedIn};
use klatch_ports::api::queries::{Page, PageRequest};
use klatch_ports::api_tokens::ApiToken;
use klatch_ports::invitations::Invitation;

use crate::Auth;

#[async_trait]
impl AuthApi for Auth {
    async fn register(&self, wish: Register) -> Result<SignedIn, SignInError> {
        self.register_account(wish).await
    }

    async fn login(
        &self,
        login: &str,
        password: &str,
        device: &str,
        address: &str,
    ) -> Result<SignedIn, SignInError> {
        self.sign_in(login, password, device, address).await
    }

    async fn refresh(&self, refresh_token: &str) -> Result<SignedIn, SignInError> {
        self.refresh_session(refresh_token).await
    }

    async fn logout(&self, session: SessionId) -> ServiceResult<()> {
        self.revoke(session).await?;
        Ok(())
    }

    async fn sessions(&self, user: UserId) -> ServiceResult<Vec<SessionView>> {
        self.list_sessions(user).await
    }

    async fn end_session(&self, user: UserId, session: SessionId) -> ServiceResult<bool> {
        self.revoke_own(user, session).await
    }
}

#[async_trait]
impl AccountApi for Auth {
    async fn change_password(&self, change: PasswordChange) -> Result<(), SignInError> {
        self.set_known_password(change).await
    }

    async fn end_sessions(&self, user: UserId) -> ServiceResult<()> {
        self.end_all_sessions(user, None).await
    }

    async fn request_reset(&self, login: &str, address: &str) -> Result<(), SignInError> {
        self.ask_for_reset(login, address)
    }

    async fn reset_password(&self, token: &str, password: String) -> Result<(), SignInError> {
        self.set_forgotten_password(token, password).await
    }

    async fn reset_token(&self, by: By, user: UserId) -> ServiceResult<Told> {
        self.hand_out_reset(by, user).await
    }

    async fn accounts(
        &self,
        by: By,
        page: PageRequest,
        bot: Option<bool>,
    ) -> ServiceResult<Page<AccountView>> {
        self.list_accounts(by, page, bot).await
    }

    async fn account(&self, by: By, user: UserId) -> ServiceResult<AccountView> {
        self.view_account(by, user).await
    }

    async fn account_named(&self, by: By, login: &str) -> ServiceResult<AccountView> {
        self.view_named(by, login).await
    }

    async fn change_account(
        &self,
        by: By,
        user: UserId,
        change: AccountChange,
    ) -> ServiceResult<AccountView> {
        self.manage_account(by, user, change).await
    }

    async fn rotate_keys(&self, by: By, forget: bool) -> ServiceResult<()> {
        self.rotate_signing_keys(by, forget).await
    }

    async fn make_account(&self, by: By, wish: NewAccount) -> ServiceResult<AccountView> {
        self.make_for_another(by, wish).await
    }
}

#[async_trait]
impl TokenApi for Auth {
    async fn make_token(
        &self,
        by: By,
        user: UserId,
        wish: NewToken,
    ) -> ServiceResult<(ApiToken, Told)> {
        self.make_api_token(by, user, wish).await
    }

    async fn tokens(&self, by: By, user: UserId) -> ServiceResult<Vec<ApiToken>> {
        self.list_api_tokens(by, user).await
    }

    async fn end_token(&self, by: By, user: UserId, id: ApiTokenId) -> ServiceResult<()> {
        self.end_api_token(by, user, id).await
    }
}

#[async_trait]
impl InvitationApi for Auth {
    async fn invite(&self, actor: Actor, wish: NewInvitation) -> ServiceResult<(Invitation, Told)> {
        self.make_invitation(actor, wish).await
    }

    async fn invitations(
        &self,
        actor: Actor,
        room: Option<RoomId>,
        page: PageRequest,
    ) -> ServiceResult<Page<Invitation>> {
        self.list_invitations(actor, room, page).await
    }

    async fn invitation(&self, id: InvitationId) -> ServiceResult<Invitation> {
        self.one_invitation(id).await
    }

    async fn revoke_invitation(&self, actor: Actor, id: InvitationId) -> ServiceResult<()> {
        self.take_back_invitation(actor, id).await
    }

    async fn look_at_invitation(&self, token: &str) -> ServiceResult<(Invitation, Actor)> {
        let (invitation, inviter) = self.open_invitation(token).await?;
        let is_used_up = invitation.uses >= invitation.uses_max;
        if is_used_up { Err(Rejection::InvitationUsedUp.into()) } else { Ok((invitation, inviter)) }
    }

    async fn redeem(&self, actor: Actor, token: &str) -> ServiceResult<Welcome> {
        self.use_invitation(actor, token).await
    }

    async fn redeemed(&self, user: UserId, welcome: Welcome, entered: bool) -> ServiceResult<()> {
        self.end_use(user, welcome, entered).await
    }
}
