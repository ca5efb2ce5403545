//! Invitations and who used them.

use async_trait::async_trait;
use klatch_domain::{InvitationId, RoomId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Account, Swept};
use klatch_ports::invitations::{Invitation, InvitationStore, NotRedeemed};

use super::draft::Draft;
use super::row::{self, INVITATION, INVITATION_OF, ROOM_INVITATION, USE};
use super::{Accounts, invitation_row, put_account};

/// What stands in the row of a use that was counted, and of one that was finished as well.
const COUNTED: &[u8] = &[0];
const FINISHED: &[u8] = &[1];

fn stored(draft: &Draft<'_>, id: InvitationId) -> PortResult<Option<Invitation>> {
    let bytes = draft.get(&row::key(INVITATION, id.bits()))?;
    bytes.map(|bytes| invitation_row::decode(id, &bytes)).transpose()
}

fn put(draft: &mut Draft<'_>, invitation: &Invitation) {
    let id = invitation.id.bits();
    draft.put(&row::key(INVITATION, id), invitation_row::encode(invitation));
    draft.put(&row::hash_key(INVITATION_OF, &invitation.hash), id.to_be_bytes().to_vec());
    if let Some(room) = invitation.room {
        draft.put(&row::pair(ROOM_INVITATION, room.bits(), id), Vec::new());
    }
}

#[async_trait]
impl InvitationStore for Accounts {
    async fn create_invitation(&self, invitation: &Invitation) -> PortResult<()> {
        let invitation = invitation.clone();
        let decide = move |draft: &mut Draft<'_>| {
            put(draft, &invitation);
            Ok(())
        };
        self.write("storing an invitation", decide).await
    }

    async fn invitation(&self, id: InvitationId) -> PortResult<Option<Invitation>> {
        let bytes = self.rows.get(&row::key(INVITATION, id.bits()))?;
        bytes.map(|bytes| invitation_row::decode(id, &bytes)).transpose()
    }

    async fn invitation_of(&self, hash: [u8; 32]) -> PortResult<Option<Invitation>> {
        match self.rows.get(&row::hash_key(INVITATION_OF, &hash))? {
            Some(id) => self.invitation(InvitationId::from_bits(row::last_id(&id)?)).await,
            None => Ok(None),
        }
    }

    async fn redeem(
        &self,
        hash: [u8; 32],
        user: UserId,
        now: Timestamp,
        account: Option<&Account>,
    ) -> PortResult<Result<Invitation, NotRedeemed>> {
        let account = account.cloned();
        let decide = move |draft: &mut Draft<'_>| {
            let Some(id) = draft.get(&row::hash_key(INVITATION_OF, &hash))? else {
                return Ok(Err(NotRedeemed::Unknown));
            };
            let id = InvitationId::from_bits(row::last_id(&id)?);
            let Some(mut found) = stored(draft, id)? else { return Ok(Err(NotRedeemed::Unknown)) };
            let key = row::pair(USE, id.bits(), user.bits());
            let begun = draft.get(&key)?;
            let finished = begun.as_deref().map(|row| row == FINISHED);
            if let Some(refusal) = found.refusal(finished, now) {
                return Ok(Err(refusal));
            }
            if begun.is_none() {
                found.uses += 1;
                draft.put(&key, COUNTED.to_vec());
                put(draft, &found);
            }
            if let Some(account) = &account {
                put_account(draft, account)?;
            }
            Ok(Ok(found))
        };
        self.write("counting a use", decide).await
    }

    async fn finish_use(&self, id: InvitationId, user: UserId) -> PortResult<()> {
        let decide = move |draft: &mut Draft<'_>| {
            let key = row::pair(USE, id.bits(), user.bits());
            if draft.get(&key)?.is_some() {
                draft.put(&key, FINISHED.to_vec());
            }
            Ok(())
        };
        self.write("finishing a use", decide).await
    }

    async fn give_back_use(&self, id: InvitationId, user: UserId) -> PortResult<()> {
        let decide = move |draft: &mut Draft<'_>| {
            let key = row::pair(USE, id.bits(), user.bits());
            if draft.get(&key)?.as_deref() != Some(COUNTED) {
                return Ok(());
            }
            draft.remove(&key);
            if let Some(mut found) = stored(draft, id)? {
                found.uses = found.uses.saturating_sub(1);
                put(draft, &found);
            }
            Ok(())
        };
        self.write("giving back a use", decide).await
    }

    async fn revoke_invitation(&self, id: InvitationId) -> PortResult<bool> {
        let decide = move |draft: &mut Draft<'_>| match stored(draft, id)? {
            Some(found) if !found.revoked => {
                put(draft, &Invitation { revoked: true, ..found });
                Ok(true)
            }
            Some(_) | None => Ok(false),
        };
        self.write("revoking an invitation", decide).await
    }

    async fn sweep_invitations(
        &self,
        after: Option<InvitationId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<InvitationId>> {
        self.sweep::<Invitation>(after, ended_before, limit).await
    }

    async fn invitations(
        &self,
        room: Option<RoomId>,
        before: Option<InvitationId>,
        limit: usize,
    ) -> PortResult<Vec<Invitation>> {
        let prefix = match room {
            Some(room) => row::key(ROOM_INVITATION, room.bits()),
            None => vec![INVITATION],
        };
        let mut found = Vec::new();
        for key in self.rows.keys_before(&prefix, before.map(InvitationId::bits)).take(limit) {
            found.extend(self.invitation(InvitationId::from_bits(row::last_id(&key?)?)).await?);
        }
        Ok(found)
    }
}
