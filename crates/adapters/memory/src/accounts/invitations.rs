//! Invitations and who used them.

use async_trait::async_trait;
use klatch_domain::{InvitationId, RoomId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Account, Swept};
use klatch_ports::invitations::{Invitation, InvitationStore, NotRedeemed};

use super::{Accounts, Rows, sweep};

#[async_trait]
impl InvitationStore for Accounts {
    async fn create_invitation(&self, invitation: &Invitation) -> PortResult<()> {
        self.rows.lock().invitations.insert(invitation.id, invitation.clone());
        Ok(())
    }

    async fn invitation(&self, id: InvitationId) -> PortResult<Option<Invitation>> {
        Ok(self.rows.lock().invitations.get(&id).cloned())
    }

    async fn invitation_of(&self, hash: [u8; 32]) -> PortResult<Option<Invitation>> {
        Ok(self.rows.lock().invitation_of(hash).cloned())
    }

    async fn redeem(
        &self,
        hash: [u8; 32],
        user: UserId,
        now: Timestamp,
        account: Option<&Account>,
    ) -> PortResult<Result<Invitation, NotRedeemed>> {
        let mut rows = self.rows.lock();
        let Some(mut found) = rows.invitation_of(hash).cloned() else {
            return Ok(Err(NotRedeemed::Unknown));
        };
        let begun = rows.uses.get(&(found.id, user)).copied();
        if let Some(refusal) = found.refusal(begun, now) {
            return Ok(Err(refusal));
        }
        if begun.is_none() {
            found.uses += 1;
            rows.uses.insert((found.id, user), false);
            rows.invitations.insert(found.id, found.clone());
        }
        if let Some(account) = account {
            rows.accounts.insert(account.user, account.clone());
        }
        Ok(Ok(found))
    }

    async fn finish_use(&self, id: InvitationId, user: UserId) -> PortResult<()> {
        if let Some(finished) = self.rows.lock().uses.get_mut(&(id, user)) {
            *finished = true;
        }
        Ok(())
    }

    async fn give_back_use(&self, id: InvitationId, user: UserId) -> PortResult<()> {
        let mut rows = self.rows.lock();
        if rows.uses.get(&(id, user)) == Some(&false) {
            rows.uses.remove(&(id, user));
            if let Some(invitation) = rows.invitations.get_mut(&id) {
                invitation.uses = invitation.uses.saturating_sub(1);
            }
        }
        Ok(())
    }

    async fn revoke_invitation(&self, id: InvitationId) -> PortResult<bool> {
        let mut rows = self.rows.lock();
        let Some(invitation) = rows.invitations.get_mut(&id) else { return Ok(false) };
        Ok(!std::mem::replace(&mut invitation.revoked, true))
    }

    async fn sweep_invitations(
        &self,
        after: Option<InvitationId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<InvitationId>> {
        let mut rows = self.rows.lock();
        let Rows { invitations, uses, .. } = &mut *rows;
        let swept = sweep(invitations, after, limit, |it| it.expires_at < ended_before);
        uses.retain(|(id, _), _| invitations.contains_key(id));
        Ok(swept)
    }

    async fn invitations(
        &self,
        room: Option<RoomId>,
        before: Option<InvitationId>,
        limit: usize,
    ) -> PortResult<Vec<Invitation>> {
        let rows = self.rows.lock();
        let wanted = |invitation: &&Invitation| {
            (room.is_none() || invitation.room == room)
                && before.is_none_or(|before| invitation.id < before)
        };
        Ok(rows.invitations.values().rev().filter(wanted).take(limit).cloned().collect())
    }
}

impl Rows {
    fn invitation_of(&self, hash: [u8; 32]) -> Option<&Invitation> {
        self.invitations.values().find(|invitation| invitation.hash == hash)
    }
}
