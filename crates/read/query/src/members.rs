//! The members of a room.

use klatch_domain::permission::Actor;
use klatch_domain::{RoomId, UserId};
use klatch_ports::api::ServiceResult;
use klatch_ports::api::queries::{MemberView, Page};
use klatch_ports::metadata::MetadataReader;
use klatch_protocol::sealed::KeyRing;

use crate::access;
use crate::cursor::{Cursor, REFUSED};
use crate::users;

/// Current members by user id, with their profiles.
pub(crate) async fn page(
    metadata: &dyn MetadataReader,
    keys: &KeyRing,
    (actor, room): (Actor, RoomId),
    cursor: Option<&str>,
    limit: usize,
) -> ServiceResult<Page<MemberView>> {
    access::readable(metadata, actor, room).await?;
    let after = match cursor.map(Cursor::decode).transpose()? {
        None => None,
        Some(Cursor::Member(user)) => Some(user),
        Some(_) => return Err(REFUSED.into()),
    };
    let mut stays = metadata.members(room, after, limit + 1).await?;
    let more = stays.len() > limit;
    stays.truncate(limit);
    let next = stays.last().filter(|_| more).map(|last| Cursor::Member(last.user).encode());
    let ids: Vec<UserId> = stays.iter().map(|stay| stay.user).collect();
    let rows = metadata.users(&ids).await?;
    let mut items = Vec::with_capacity(stays.len());
    for (membership, row) in stays.into_iter().zip(rows) {
        let user = match row {
            Some(row) => Some(users::open(keys, actor, row).await?),
            None => None,
        };
        items.push(MemberView { membership, user });
    }
    Ok(Page { items, next })
}
