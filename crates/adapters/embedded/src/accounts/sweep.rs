//! Removing what ended by itself, a bounded number of rows at a time.

use fjall::Slice;
use klatch_domain::{InvitationId, SessionId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Reset, Session, Swept};
use klatch_ports::invitations::Invitation;

use super::api_tokens::decode_reset;
use super::draft::Draft;
use super::life::Rows;
use super::row::{
    self, INVITATION, INVITATION_OF, RESET, ROOM_INVITATION, SESSION, USE, USER_RESET, USER_SESSION,
};
use super::{Accounts, invitation_row};
use crate::engine::blocking;
use crate::engine::codec::unreadable;

/// How a row is read by its key.
type Get<'a> = &'a dyn Fn(&[u8]) -> PortResult<Option<Slice>>;

/// What ends by itself and is swept.
pub(super) trait Ends: Sized {
    /// What the rows of [`Ends::FAMILY`] are found by.
    type Id: Copy;
    /// One row for each, whose key ends in the id.
    const FAMILY: u8;
    /// What is done, for errors.
    const SWEEPING: &'static str;

    fn id(bits: u128) -> Self::Id;
    fn bits(id: Self::Id) -> u128;
    fn read(id: Self::Id, get: Get<'_>) -> PortResult<Option<Self>>;
    fn ends_at(&self) -> Timestamp;
    /// Removes all rows about it. What is not in the draft is read from `rows`.
    fn remove(&self, id: Self::Id, draft: &mut Draft<'_>, rows: &Rows) -> PortResult<()>;
}

impl Accounts {
    /// Looks at up to `limit` after `after`, and removes those that ended before `ended_before`.
    pub(super) async fn sweep<T: Ends>(
        &self,
        after: Option<T::Id>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<T::Id>> {
        let (rows, after) = (self.rows.clone(), after.map_or(0, T::bits));
        let find = move || find::<T>(&rows, after, ended_before, limit);
        let (ended, next) = blocking(T::SWEEPING, find).await?;
        let next = next.map(T::id);
        if ended.is_empty() {
            return Ok(Swept { removed: 0, next });
        }
        let rows = self.rows.clone();
        let remove = move |draft: &mut Draft<'_>| {
            let mut removed = 0;
            for id in ended.into_iter().map(T::id) {
                // It may have been prolonged since it was found, or another be in its place.
                let found = T::read(id, &|key| draft.get(key))?;
                if let Some(found) = found.filter(|found| found.ends_at() < ended_before) {
                    found.remove(id, draft, &rows)?;
                    removed += 1;
                }
            }
            Ok(removed)
        };
        Ok(Swept { removed: self.write(T::SWEEPING, remove).await?, next })
    }
}

/// The ids of those that ended of up to `limit` after `after`, and what to go on after.
fn find<T: Ends>(
    rows: &Rows,
    after: u128,
    ended_before: Timestamp,
    limit: usize,
) -> PortResult<(Vec<u128>, Option<u128>)> {
    let (mut ended, mut last, mut count) = (Vec::new(), None, 0);
    for key in rows.keys_after(T::FAMILY, after).take(limit) {
        let id = row::last_id(&key?)?;
        let found = T::read(T::id(id), &|key| rows.get(key))?;
        ended.extend(found.filter(|found| found.ends_at() < ended_before).map(|_| id));
        (last, count) = (Some(id), count + 1);
    }
    Ok((ended, last.filter(|_| count == limit)))
}

impl Ends for Session {
    type Id = SessionId;
    const FAMILY: u8 = SESSION;
    const SWEEPING: &'static str = "removing ended sessions";

    fn id(bits: u128) -> SessionId {
        SessionId::from_bits(bits)
    }

    fn bits(id: SessionId) -> u128 {
        id.bits()
    }

    fn read(id: SessionId, get: Get<'_>) -> PortResult<Option<Self>> {
        let bytes = get(&row::key(SESSION, id.bits()))?;
        bytes.map(|bytes| row::decode_session(id, &bytes)).transpose()
    }

    fn ends_at(&self) -> Timestamp {
        self.expires_at
    }

    fn remove(&self, id: SessionId, draft: &mut Draft<'_>, _: &Rows) -> PortResult<()> {
        draft.remove(&row::key(SESSION, id.bits()));
        draft.remove(&row::pair(USER_SESSION, self.user.bits(), id.bits()));
        Ok(())
    }
}

/// By the user, who has one at most.
impl Ends for Reset {
    type Id = UserId;
    const FAMILY: u8 = USER_RESET;
    const SWEEPING: &'static str = "removing ended resets";

    fn id(bits: u128) -> UserId {
        UserId::from_bits(bits)
    }

    fn bits(id: UserId) -> u128 {
        id.bits()
    }

    fn read(user: UserId, get: Get<'_>) -> PortResult<Option<Self>> {
        let Some(hash) = get(&row::key(USER_RESET, user.bits()))? else { return Ok(None) };
        let Some(bytes) = get(&row::hash_key(RESET, &hash))? else { return Ok(None) };
        let hash = (*hash).try_into().map_err(|_| unreadable("a reset's hash"))?;
        decode_reset(hash, &bytes).map(Some)
    }

    fn ends_at(&self) -> Timestamp {
        self.expires_at
    }

    fn remove(&self, user: UserId, draft: &mut Draft<'_>, _: &Rows) -> PortResult<()> {
        draft.remove(&row::hash_key(RESET, &self.hash));
        draft.remove(&row::key(USER_RESET, user.bits()));
        Ok(())
    }
}

impl Ends for Invitation {
    type Id = InvitationId;
    const FAMILY: u8 = INVITATION;
    const SWEEPING: &'static str = "removing ended invitations";

    fn id(bits: u128) -> InvitationId {
        InvitationId::from_bits(bits)
    }

    fn bits(id: InvitationId) -> u128 {
        id.bits()
    }

    fn read(id: InvitationId, get: Get<'_>) -> PortResult<Option<Self>> {
        let bytes = get(&row::key(INVITATION, id.bits()))?;
        bytes.map(|bytes| invitation_row::decode(id, &bytes)).transpose()
    }

    fn ends_at(&self) -> Timestamp {
        self.expires_at
    }

    fn remove(&self, id: InvitationId, draft: &mut Draft<'_>, rows: &Rows) -> PortResult<()> {
        let id = id.bits();
        draft.remove(&row::key(INVITATION, id));
        draft.remove(&row::hash_key(INVITATION_OF, &self.hash));
        if let Some(room) = self.room {
            draft.remove(&row::pair(ROOM_INVITATION, room.bits(), id));
        }
        // Nobody uses one that has ended, so its uses are those that can be read.
        for used in rows.keys(&row::key(USE, id)) {
            draft.remove(&used?);
        }
        Ok(())
    }
}
