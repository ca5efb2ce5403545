//! Removing sessions and resets that ended by themselves, a bounded number of rows at a time.

use klatch_domain::{SessionId, Timestamp};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Reset, Session, Swept};

use super::Accounts;
use super::api_tokens::decode_reset;
use super::draft::Draft;
use super::life::Rows;
use super::row::{self, RESET, SESSION, USER_RESET, USER_SESSION};
use crate::engine::blocking;
use crate::engine::codec::unreadable;

impl Accounts {
    pub(super) async fn sweep_sessions_after(
        &self,
        after: u128,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<u128>> {
        let rows = self.rows.clone();
        let has_ended = move |session: &Session| session.expires_at < ended_before;
        let find = move || {
            turn(&rows, SESSION, (after, limit), |id| {
                let found = super::session(&rows, SessionId::from_bits(id))?;
                Ok(found.is_some_and(|session| has_ended(&session)))
            })
        };
        let (ended, next) = blocking("looking for ended sessions", find).await?;
        if ended.is_empty() {
            return Ok(Swept { removed: 0, next });
        }
        let remove = move |draft: &mut Draft<'_>| {
            let mut removed = 0;
            for id in ended {
                let key = row::key(SESSION, id);
                let Some(bytes) = draft.get(&key)? else { continue };
                let session = row::decode_session(SessionId::from_bits(id), &bytes)?;
                // It may have been prolonged since it was found.
                if has_ended(&session) {
                    draft.remove(&key);
                    draft.remove(&row::pair(USER_SESSION, session.user.bits(), id));
                    removed += 1;
                }
            }
            Ok(removed)
        };
        Ok(Swept { removed: self.write("removing ended sessions", remove).await?, next })
    }

    pub(super) async fn sweep_resets_after(
        &self,
        after: u128,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<u128>> {
        let rows = self.rows.clone();
        let has_ended = move |reset: &Reset| reset.expires_at < ended_before;
        let find = move || {
            turn(&rows, USER_RESET, (after, limit), |user| {
                let found = reset_of(user, |key| rows.get(key))?;
                Ok(found.is_some_and(|reset| has_ended(&reset)))
            })
        };
        let (ended, next) = blocking("looking for ended resets", find).await?;
        if ended.is_empty() {
            return Ok(Swept { removed: 0, next });
        }
        let remove = move |draft: &mut Draft<'_>| {
            let mut removed = 0;
            for user in ended {
                // The user may have got another one since it was found.
                let found = reset_of(user, |key| draft.get(key))?;
                if let Some(reset) = found.filter(|reset| has_ended(reset)) {
                    draft.remove(&row::hash_key(RESET, &reset.hash));
                    draft.remove(&row::key(USER_RESET, user));
                    removed += 1;
                }
            }
            Ok(removed)
        };
        Ok(Swept { removed: self.write("removing ended resets", remove).await?, next })
    }
}

/// The ids that `has_ended` of up to `limit` rows of a family after `after`, and what to go on
/// after.
fn turn(
    rows: &Rows,
    family: u8,
    (after, limit): (u128, usize),
    has_ended: impl Fn(u128) -> PortResult<bool>,
) -> PortResult<(Vec<u128>, Option<u128>)> {
    let (mut ended, mut last, mut count) = (Vec::new(), None, 0);
    for key in rows.keys_after(family, after).take(limit) {
        let id = row::last_id(&key?)?;
        if has_ended(id)? {
            ended.push(id);
        }
        (last, count) = (Some(id), count + 1);
    }
    Ok((ended, last.filter(|_| count == limit)))
}

/// The one reset of a user.
fn reset_of(
    user: u128,
    get: impl Fn(&[u8]) -> PortResult<Option<fjall::Slice>>,
) -> PortResult<Option<Reset>> {
    let Some(hash) = get(&row::key(USER_RESET, user))? else { return Ok(None) };
    let Some(bytes) = get(&row::hash_key(RESET, &hash))? else { return Ok(None) };
    let hash = (*hash).try_into().map_err(|_| unreadable("a reset's hash"))?;
    decode_reset(hash, &bytes).map(Some)
}
