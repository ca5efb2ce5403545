//! Invitations: whoever brings the token may come in, as often and as long as was said. Written
//! directly, because uses must be counted. Every write is durable when it returns.

use async_trait::async_trait;
use klatch_domain::user::ServerRole;
use klatch_domain::{InvitationId, RoomId, Timestamp, UserId};

use crate::accounts::{Account, Swept};
use crate::error::PortResult;

/// An invitation to the server, or to one of its rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Identity; its time is when it was made.
    pub id: InvitationId,
    /// SHA-256 of the token; the token itself is kept nowhere.
    pub hash: [u8; 32],
    /// The room it leads to.
    pub room: Option<RoomId>,
    /// What an account made with it is on the server.
    pub role: ServerRole,
    /// How many people may use it.
    pub uses_max: u32,
    /// How many have.
    pub uses: u32,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Taken back.
    pub revoked: bool,
    /// In whose name people come in.
    pub created_by: UserId,
}

impl Invitation {
    /// Why it does not let someone in at `now`. `finished`: whether a use of theirs that was
    /// counted is over; `None` before the first.
    pub fn refusal(&self, finished: Option<bool>, now: Timestamp) -> Option<NotRedeemed> {
        if self.revoked {
            return Some(NotRedeemed::Revoked);
        }
        if self.expires_at <= now {
            return Some(NotRedeemed::Expired);
        }
        let no_more = finished.is_none() && self.uses >= self.uses_max;
        (no_more || finished == Some(true)).then_some(NotRedeemed::UsedUp)
    }
}

/// Why an invitation does not let someone in. Told in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRedeemed {
    /// No invitation has this token.
    Unknown,
    /// It was taken back.
    Revoked,
    /// It has ended.
    Expired,
    /// As many as may have used it, or this user has, to the end.
    UsedUp,
}

/// Invitations and who used them.
#[async_trait]
pub trait InvitationStore: Send + Sync {
    /// Stores a new invitation.
    async fn create_invitation(&self, invitation: &Invitation) -> PortResult<()>;

    /// The invitation with this id.
    async fn invitation(&self, id: InvitationId) -> PortResult<Option<Invitation>>;

    /// The invitation whose token has this hash.
    async fn invitation_of(&self, hash: [u8; 32]) -> PortResult<Option<Invitation>>;

    /// Counts a use by `user`, and stores the account it makes if there is one: both or neither,
    /// so that a crash gives nobody more uses than were allowed. A use that was counted and not
    /// finished is the same user's to go on with, and not counted again.
    async fn redeem(
        &self,
        hash: [u8; 32],
        user: UserId,
        now: Timestamp,
        account: Option<&Account>,
    ) -> PortResult<Result<Invitation, NotRedeemed>>;

    /// The user got what the invitation promised: it lets them in no second time.
    async fn finish_use(&self, id: InvitationId, user: UserId) -> PortResult<()>;

    /// The user got nothing: an unfinished use does not count.
    async fn give_back_use(&self, id: InvitationId, user: UserId) -> PortResult<()>;

    /// Takes an invitation back. Whether it was there and had not been taken back.
    async fn revoke_invitation(&self, id: InvitationId) -> PortResult<bool>;

    /// Looks at up to `limit` invitations after `after` by id, and removes those that ended before
    /// `ended_before`, with their uses. Their tokens are unknown from then on. Cost: a look at so
    /// many invitations, and one write if any is removed.
    async fn sweep_invitations(
        &self,
        after: Option<InvitationId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<InvitationId>>;

    /// Invitations to `room`, or all, made before `before`; newest first, up to `limit`.
    async fn invitations(
        &self,
        room: Option<RoomId>,
        before: Option<InvitationId>,
        limit: usize,
    ) -> PortResult<Vec<Invitation>>;
}
