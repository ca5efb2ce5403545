//! One room, the asker's rooms by latest activity, and public rooms.

use std::cmp::Reverse;

use klatch_domain::member::Membership;
use klatch_domain::permission::Actor;
use klatch_domain::room::RoomHead;
use klatch_domain::{RoomId, Timestamp};
use klatch_ports::PortResult;
use klatch_ports::api::ServiceResult;
use klatch_ports::api::queries::{Page, RoomView};
use klatch_ports::messages::MessageReader;
use klatch_ports::metadata::MetadataReader;

use crate::access::{self, Seen};
use crate::cursor::{Cursor, REFUSED};

/// Most of a user's rooms that are ranked by activity: the first ones by id. Everyone with no more
/// rooms than this gets all of them in order; the cost of a page is one head each.
pub(crate) const JOINED_MAX: usize = 10_000;
/// Stays read at once.
const STAYS_CHUNK: usize = 1_000;

/// The stores that rooms are read from.
#[derive(Clone, Copy)]
pub(crate) struct Stores<'a> {
    pub(crate) messages: &'a dyn MessageReader,
    pub(crate) metadata: &'a dyn MetadataReader,
}

/// A joined room before its row is read. Ordered as the list shows it.
struct Ranked {
    room: RoomId,
    head: RoomHead,
    membership: Membership,
}

impl Ranked {
    fn rank(&self) -> (Reverse<Timestamp>, RoomId) {
        (Reverse(self.head.active_at), self.room)
    }
}

impl Stores<'_> {
    /// One room.
    pub(crate) async fn room(&self, actor: Actor, room: RoomId) -> ServiceResult<RoomView> {
        let seen = access::readable(self.metadata, actor, room).await?;
        let stored = self.messages.head(room).await?;
        Ok(view(seen, stored.map(|stored| stored.head)))
    }

    /// The asker's rooms, latest activity first, then by id. A room that becomes active while
    /// someone pages moves to the front and is not met again further on.
    pub(crate) async fn joined(
        &self,
        actor: Actor,
        cursor: Option<&str>,
        limit: usize,
    ) -> ServiceResult<Page<RoomView>> {
        let after = match cursor.map(Cursor::decode).transpose()? {
            None => None,
            Some(Cursor::Active(at, room)) => Some((Reverse(at), room)),
            Some(_) => return Err(REFUSED.into()),
        };
        let mut ranked = self.ranked(actor).await?;
        ranked.retain(|entry| after.is_none_or(|after| entry.rank() > after));
        ranked.sort_unstable_by_key(Ranked::rank);
        let mut items = Vec::with_capacity(limit);
        let mut rest = ranked.into_iter();
        loop {
            // Deleted rooms are still among the stays; their rows are dropped and others taken.
            let chunk: Vec<_> = rest.by_ref().take(limit + 1 - items.len()).collect();
            if chunk.is_empty() {
                return Ok(Page { items, next: None });
            }
            self.add_seen(actor, chunk, &mut items).await?;
            if items.len() > limit {
                items.truncate(limit);
                let last = items.last();
                let next = last.map(|room| Cursor::Active(room.head.active_at, room.room.id));
                return Ok(Page { next: next.map(|cursor| cursor.encode()), items });
            }
        }
    }

    async fn ranked(&self, actor: Actor) -> PortResult<Vec<Ranked>> {
        let mut stays: Vec<(RoomId, Membership)> = Vec::new();
        while stays.len() < JOINED_MAX {
            let after = stays.last().map(|(room, _)| *room);
            let more = self.metadata.rooms_of(actor.user, after, STAYS_CHUNK).await?;
            let last = more.len() < STAYS_CHUNK;
            stays.extend(more);
            if last {
                break;
            }
        }
        stays.truncate(JOINED_MAX);
        let ids: Vec<_> = stays.iter().map(|(room, _)| *room).collect();
        let heads = self.messages.heads(&ids).await?;
        let ranked = stays.into_iter().zip(heads).map(|((room, membership), stored)| {
            let head = stored.map(|stored| stored.head).unwrap_or_default();
            Ranked { room, head, membership }
        });
        Ok(ranked.collect())
    }

    async fn add_seen(
        &self,
        actor: Actor,
        chunk: Vec<Ranked>,
        items: &mut Vec<RoomView>,
    ) -> PortResult<()> {
        let ids: Vec<_> = chunk.iter().map(|entry| entry.room).collect();
        let rows = self.metadata.rooms(&ids).await?;
        for (entry, row) in chunk.into_iter().zip(rows) {
            let Some(row) = row else { continue };
            if let Ok(seen) = access::seen(actor, row, Some(entry.membership)) {
                items.push(view(seen, Some(entry.head)));
            }
        }
        Ok(())
    }

    /// Public channels by id. A guest sees those they are in, so a guest's page may hold fewer.
    pub(crate) async fn public(
        &self,
        actor: Actor,
        cursor: Option<&str>,
        limit: usize,
    ) -> ServiceResult<Page<RoomView>> {
        let after = match cursor.map(Cursor::decode).transpose()? {
            None => None,
            Some(Cursor::Room(room)) => Some(room),
            Some(_) => return Err(REFUSED.into()),
        };
        let mut rows = self.metadata.public_rooms(after, limit + 1).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| Cursor::Room(last.id).encode());
        let stays = access::stays(self.metadata, actor, &rows).await?;
        let ids: Vec<_> = rows.iter().map(|room| room.id).collect();
        let heads = self.messages.heads(&ids).await?;
        let items = rows.into_iter().zip(stays).zip(heads).filter_map(|((room, stay), head)| {
            let seen = access::seen(actor, room, stay).ok()?;
            Some(view(seen, head.map(|stored| stored.head)))
        });
        Ok(Page { items: items.collect(), next })
    }
}

fn view(seen: Seen, head: Option<RoomHead>) -> RoomView {
    let Seen { room, membership } = seen;
    RoomView { room, head: head.unwrap_or_default(), membership }
}
