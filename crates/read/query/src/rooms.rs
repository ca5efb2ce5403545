//! One room, the asker's rooms by latest activity, and public rooms.

use klatch_domain::RoomId;
use klatch_domain::member::Membership;
use klatch_domain::permission::Actor;
use klatch_domain::room::RoomHead;
use klatch_ports::PortResult;
use klatch_ports::activity::ActivityReader;
use klatch_ports::api::ServiceResult;
use klatch_ports::api::queries::{Page, RoomView};
use klatch_ports::messages::MessageReader;
use klatch_ports::metadata::MetadataReader;

use crate::access::{self, Seen};
use crate::cursor::{Cursor, REFUSED};

/// The stores that rooms are read from.
#[derive(Clone, Copy)]
pub(crate) struct Stores<'a> {
    pub(crate) messages: &'a dyn MessageReader,
    pub(crate) activity: &'a dyn ActivityReader,
    pub(crate) metadata: &'a dyn MetadataReader,
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
        let mut after = match cursor.map(Cursor::decode).transpose()? {
            None => None,
            Some(Cursor::Active(at, room)) => Some((at, room)),
            Some(_) => return Err(REFUSED.into()),
        };
        let mut items = Vec::with_capacity(limit);
        loop {
            // Deleted rooms are still among them; their rows are dropped and others taken.
            let wanted = limit + 1 - items.len();
            let found = self.activity.latest(actor.user, after, wanted).await?;
            let whole = found.len() < wanted;
            after = found.last().map(|(room, head)| (head.active_at, *room));
            self.add_seen(actor, found, &mut items).await?;
            if items.len() > limit {
                items.truncate(limit);
                let last = items.last();
                let next = last.map(|room| Cursor::Active(room.head.active_at, room.room.id));
                return Ok(Page { next: next.map(|cursor| cursor.encode()), items });
            }
            if whole {
                return Ok(Page { items, next: None });
            }
        }
    }

    async fn add_seen(
        &self,
        actor: Actor,
        found: Vec<(RoomId, RoomHead)>,
        items: &mut Vec<RoomView>,
    ) -> PortResult<()> {
        let ids: Vec<_> = found.iter().map(|(room, _)| *room).collect();
        let rows = self.metadata.rooms(&ids).await?;
        let known = rows.into_iter().zip(found).filter_map(|(row, (_, head))| Some((row?, head)));
        let (rows, heads): (Vec<_>, Vec<_>) = known.unzip();
        let stays = access::stays(self.metadata, actor, &rows).await?;
        for ((row, head), stay) in rows.into_iter().zip(heads).zip(stays) {
            // The metadata may know already that they have gone.
            let stay = stay.filter(Membership::is_current);
            if stay.is_some()
                && let Ok(seen) = access::seen(actor, row, stay)
            {
                items.push(view(seen, Some(head)));
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
