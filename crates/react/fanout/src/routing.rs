//! Members of active rooms as compressed sets, kept by the events themselves.

use std::collections::HashMap;

use klatch_domain::{RoomId, UserId};
use klatch_ports::PortResult;
use klatch_ports::metadata::{MetadataReader, UserNumber};
use klatch_ports::{Offset, Partition};
use klatch_protocol::inbox::Effect;
use roaring::RoaringBitmap;
use std::time::Duration;

use klatch_domain::Seq;

use crate::presence::{bitmap_bytes, table_bytes};

/// Rooms remembered before those that have been silent longest are forgotten.
const ACTIVE_ROOMS_MAX: usize = 100_000;

/// Rooms that spoke lately, with their members.
#[derive(Debug, Default)]
pub(crate) struct ActiveRooms {
    rooms: HashMap<RoomId, Active>,
    clock: u64,
}

#[derive(Debug)]
struct Active {
    members: RoaringBitmap,
    /// Members the store has no number for yet.
    unnumbered: usize,
    used: u64,
}

/// Where an event stands, for reading the store as of then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventAt {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) room: RoomId,
    pub(crate) seq: Seq,
}

impl ActiveRooms {
    /// The members who get this event, its own effect taken in. `None`: someone has no number yet,
    /// so everyone may be one of them.
    pub(crate) async fn members_at(
        &mut self,
        store: &dyn MetadataReader,
        at: EventAt,
        effect: &Effect,
    ) -> PortResult<Option<&RoaringBitmap>> {
        if self.rooms.len() >= ACTIVE_ROOMS_MAX {
            self.forget_silent();
        }
        self.clock += 1;
        let known = self.rooms.contains_key(&at.room);
        if known {
            self.take_in(store, at, effect).await?;
        } else {
            let active = load(store, at).await?;
            self.rooms.insert(at.room, active);
        }
        let Some(active) = self.rooms.get_mut(&at.room) else { return Ok(None) };
        active.used = self.clock;
        Ok((active.unnumbered == 0).then_some(&active.members))
    }

    async fn take_in(
        &mut self,
        store: &dyn MetadataReader,
        at: EventAt,
        effect: &Effect,
    ) -> PortResult<()> {
        let users: &[UserId] = match effect {
            Effect::In(user) => std::slice::from_ref(user),
            Effect::Began(users) => users,
            Effect::None | Effect::Out(_) | Effect::Gone => &[],
        };
        for user in users {
            let number = store.number(*user).await?;
            let Some(active) = self.rooms.get_mut(&at.room) else { return Ok(()) };
            match number {
                Some(UserNumber(number)) => {
                    active.members.insert(number);
                }
                None => active.unnumbered += 1,
            }
        }
        Ok(())
    }

    /// After the event went out: whoever left by it gets no later one.
    pub(crate) async fn after(
        &mut self,
        store: &dyn MetadataReader,
        room: RoomId,
        effect: &Effect,
    ) -> PortResult<()> {
        match effect {
            Effect::Out(user) => {
                let number = store.number(*user).await?;
                if let (Some(active), Some(UserNumber(number))) =
                    (self.rooms.get_mut(&room), number)
                {
                    active.members.remove(number);
                }
            }
            Effect::Gone => {
                self.rooms.remove(&room);
            }
            Effect::None | Effect::In(_) | Effect::Began(_) => {}
        }
        // A set with a hole is built anew at the room's next event, when the store knows more.
        if self.rooms.get(&room).is_some_and(|active| active.unnumbered > 0) {
            self.rooms.remove(&room);
        }
        Ok(())
    }

    fn forget_silent(&mut self) {
        let mut used: Vec<u64> = self.rooms.values().map(|active| active.used).collect();
        let middle = used.len() / 2;
        let (_, median, _) = used.select_nth_unstable(middle);
        let median = *median;
        self.rooms.retain(|_, active| active.used > median);
    }

    /// About how many bytes they take. Visits every room.
    pub(crate) fn bytes(&self) -> usize {
        let sets: usize = self.rooms.values().map(|active| bitmap_bytes(&active.members)).sum();
        table_bytes(&self.rooms) + sets
    }

    /// How many rooms are remembered.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }
}

/// The room's members as of the event, from the store.
async fn load(store: &dyn MetadataReader, at: EventAt) -> PortResult<Active> {
    wait(store, at).await?;
    let numbers = store.numbers_at(at.room, at.seq).await?;
    let members = numbers.into_iter().map(|UserNumber(number)| number).collect();
    Ok(Active { members, unnumbered: 0, used: 0 })
}

async fn wait(store: &dyn MetadataReader, at: EventAt) -> PortResult<()> {
    while !store.wait_applied(at.partition, at.offset, Duration::from_secs(3)).await? {
        let offset = at.offset.0;
        tracing::warn!(room.id = %at.room, event.offset = offset, "metadata lags; fan-out waits");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(count: u32, members: u32, spread: u32) -> ActiveRooms {
        let mut rooms = ActiveRooms::default();
        for room in 0..count {
            let members = (0..members).map(|member| (room * 7 + member * spread) % 1_000_000);
            let active = Active { members: members.collect(), unnumbered: 0, used: 0 };
            rooms.rooms.insert(RoomId::from_bits(u128::from(room) + 1), active);
        }
        rooms
    }

    #[test]
    fn active_rooms_take_little_more_than_two_bytes_a_member_and_a_huge_one_less_than_one() {
        let each = |rooms: &ActiveRooms| rooms.bytes() / rooms.len();
        let small = each(&rooms(10_000, 10, 100));
        assert!(small < 300, "a room of ten takes {small} bytes");
        let scattered = each(&rooms(100, 1_000, 997));
        assert!(scattered < 4_500, "a room of a thousand among a million takes {scattered} bytes");
        let huge = each(&rooms(1, 1_000_000, 1));
        assert!(huge < 200_000, "a room of a million takes {huge} bytes");
    }
}
