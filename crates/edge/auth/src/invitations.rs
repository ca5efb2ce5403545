//! Invitations: their tokens, and who used them.

use klatch_domain::audit::{Act, AuditEntry, By};
use klatch_domain::permission::{self, Actor, ServerAction};
use klatch_domain::user::ServerRole;
use klatch_domain::{InvitationId, Rejection, RoomId, UserId};
use klatch_ports::accounts::Account;
use klatch_ports::api::accounts::{NewInvitation, Told, Welcome};
use klatch_ports::api::queries::{Page, PageRequest};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::invitations::{Invitation, NotRedeemed};

use crate::{Auth, one_time};

/// Most people one invitation lets in.
const USES_MAX: u32 = 10_000;
/// Longest life of an invitation.
const LIFE_MAX_MS: u64 = 366 * 24 * 3_600_000;

impl Auth {
    pub(crate) async fn make_invitation(
        &self,
        actor: Actor,
        wish: NewInvitation,
    ) -> ServiceResult<(Invitation, Told)> {
        let NewInvitation { room, role, uses_max, expires_at } = wish;
        // Who becomes a member of a closed server is not for those who run a room.
        let beyond_a_room =
            room.is_none() || (role != ServerRole::Guest && !self.config.open_registration);
        let needed =
            if beyond_a_room { ServerAction::InviteToServer } else { ServerAction::InviteToRoom };
        permission::check_server(actor, needed)?;
        if role == ServerRole::Admin {
            return Err(Rejection::InvalidField("role").into());
        }
        if !(1..=USES_MAX).contains(&uses_max) {
            return Err(Rejection::InvalidField("maxUses").into());
        }
        let now = self.parts.clock.now();
        if expires_at <= now || expires_at > now.plus_ms(LIFE_MAX_MS) {
            return Err(Rejection::InvalidField("expiresAt").into());
        }
        let (text, hash) = one_time::fresh(&*self.parts.entropy);
        let invitation = Invitation {
            id: InvitationId::fresh(&*self.parts.clock, &*self.parts.entropy),
            hash,
            room,
            role,
            uses_max,
            uses: 0,
            expires_at,
            revoked: false,
            created_by: actor.user,
        };
        self.note(entry(self, actor, Act::InvitationMade, &invitation)).await?;
        self.parts.stores.invitations.create_invitation(&invitation).await?;
        Ok((invitation, Told(text)))
    }

    pub(crate) async fn list_invitations(
        &self,
        actor: Actor,
        room: Option<RoomId>,
        page: PageRequest,
    ) -> ServiceResult<Page<Invitation>> {
        let needed = room.map_or(ServerAction::InviteToServer, |_| ServerAction::InviteToRoom);
        permission::check_server(actor, needed)?;
        let before = page.cursor.map(|cursor| cursor.parse::<InvitationId>()).transpose();
        let before = before.map_err(|_| Rejection::InvalidField("cursor"))?;
        let mut items =
            self.parts.stores.invitations.invitations(room, before, page.limit + 1).await?;
        let more = items.len() > page.limit;
        items.truncate(page.limit);
        let next = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(Page { items, next })
    }

    pub(crate) async fn take_back_invitation(
        &self,
        actor: Actor,
        id: InvitationId,
    ) -> ServiceResult<()> {
        let invitation = self.one_invitation(id).await?;
        if !invitation.revoked {
            self.note(entry(self, actor, Act::InvitationRevoked, &invitation)).await?;
            self.parts.stores.invitations.revoke_invitation(id).await?;
        }
        Ok(())
    }

    pub(crate) async fn one_invitation(&self, id: InvitationId) -> ServiceResult<Invitation> {
        let found = self.parts.stores.invitations.invitation(id).await?;
        Ok(found.ok_or(Rejection::InvitationNotFound)?)
    }

    /// The invitation of a token as long as it lets anyone in, and who invites.
    pub(crate) async fn open_invitation(&self, token: &str) -> ServiceResult<(Invitation, Actor)> {
        let found = self.parts.stores.invitations.invitation_of(one_time::hash(token)).await?;
        let found = found.ok_or(Rejection::InvitationInvalid)?;
        if found.revoked {
            return Err(Rejection::InvitationRevoked.into());
        }
        if found.expires_at <= self.parts.clock.now() {
            return Err(Rejection::InvitationExpired.into());
        }
        let inviter = self.inviter(&found).await?;
        Ok((found, inviter))
    }

    /// Who invites, if they still could make this invitation as far as the server goes. Whether
    /// they may bring someone into the room is decided there, at that moment.
    async fn inviter(&self, invitation: &Invitation) -> ServiceResult<Actor> {
        let account = self.parts.stores.accounts.get(invitation.created_by).await?;
        let account = account.filter(|account| !account.banned);
        let Account { user, role, .. } = account.ok_or(Rejection::InvitationInvalid)?;
        let actor = Actor { user, role };
        let needed = match invitation.room {
            None => ServerAction::InviteToServer,
            Some(_) => ServerAction::InviteToRoom,
        };
        permission::check_server(actor, needed).map_err(|_| Rejection::InvitationInvalid)?;
        Ok(actor)
    }

    pub(crate) async fn use_invitation(&self, actor: Actor, token: &str) -> ServiceResult<Welcome> {
        let (invitation, inviter) = self.open_invitation(token).await?;
        // Nothing more to get for someone who is on the server.
        let room = invitation.room.ok_or(Rejection::AlreadyMember)?;
        let invitation = self.count_use(token, actor.user, None).await?;
        Ok(Welcome { invitation: invitation.id, room, inviter })
    }

    /// Counts a use, and stores the account it makes.
    pub(crate) async fn count_use(
        &self,
        token: &str,
        user: UserId,
        account: Option<&Account>,
    ) -> ServiceResult<Invitation> {
        let (hash, now) = (one_time::hash(token), self.parts.clock.now());
        let counted = self.parts.stores.invitations.redeem(hash, user, now, account).await?;
        let refused = |refusal| match refusal {
            NotRedeemed::Unknown => Rejection::InvitationInvalid,
            NotRedeemed::Revoked => Rejection::InvitationRevoked,
            NotRedeemed::Expired => Rejection::InvitationExpired,
            NotRedeemed::UsedUp => Rejection::InvitationUsedUp,
        };
        counted.map_err(|refusal| ServiceError::Rejected(refused(refusal)))
    }

    pub(crate) async fn end_use(
        &self,
        user: UserId,
        welcome: Welcome,
        entered: bool,
    ) -> ServiceResult<()> {
        let invitations = &self.parts.stores.invitations;
        if entered {
            invitations.finish_use(welcome.invitation, user).await?;
        } else {
            invitations.give_back_use(welcome.invitation, user).await?;
        }
        Ok(())
    }
}

fn entry(auth: &Auth, actor: Actor, act: Act, invitation: &Invitation) -> AuditEntry {
    AuditEntry {
        room: invitation.room,
        object: Some(invitation.id.bits()),
        role: Some(invitation.role),
        ..AuditEntry::new(auth.parts.clock.now(), By::User(actor), act)
    }
}
