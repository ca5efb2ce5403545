//! Who is connected here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use klatch_domain::UserId;
use klatch_domain::presence::Status;
use klatch_domain::user::Profile;
use klatch_ports::Offset;
use klatch_ports::kv::Revision;
use klatch_ports::metadata::UserNumber;
use klatch_recent::shrink;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::connection::Connection;

/// Empty slots at the end that are worth giving back.
const TAIL: usize = 512;

/// About how many bytes a table takes, its free places included.
pub(super) fn table_bytes<K, V>(table: &HashMap<K, V>) -> usize {
    table.capacity() * 8 / 7 * (size_of::<(K, V)>() + 1)
}

/// A handle to a user who is connected here. Means nobody once they are gone, even when another
/// takes their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UserRef {
    slot: u32,
    generation: u32,
}

/// A user with at least one connection, live or about to be.
#[derive(Debug)]
pub(super) struct LocalUser {
    pub(super) id: UserId,
    pub(super) number: Option<UserNumber>,
    /// Live connections.
    pub(super) connections: SmallVec<[Arc<Connection>; 1]>,
    /// Set until the user goes live.
    pub(super) arriving: Option<Box<Arriving>>,
    /// Number of the wish for this user's presence.
    pub(super) wish: u64,
    /// The presence change that says they are here.
    pub(super) placed: Option<Revision>,
    /// What their connections come to, as the board was told.
    pub(super) status: Status,
}

impl LocalUser {
    pub(super) fn is_live(&self) -> bool {
        self.arriving.is_none()
    }

    /// What their connections come to now.
    pub(super) fn merged_status(&self) -> Status {
        let arriving = self.arriving.iter().flat_map(|arriving| &arriving.newcomers);
        let arriving = arriving.map(|newcomer| &newcomer.connection);
        Status::merged(self.connections.iter().chain(arriving).map(|it| it.device_status()))
    }
}

/// What a user waits for before going live.
#[derive(Debug)]
pub(super) struct Arriving {
    pub(super) since: Instant,
    /// Per partition: fan-out knows of the user from after this offset on.
    pub(super) known_from: Option<Vec<Offset>>,
    pub(super) newcomers: Vec<Newcomer>,
}

/// A connection that wants to go live.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) connection: Arc<Connection>,
    /// For `hello`.
    pub(crate) profile: Option<Profile>,
    /// The user's number, if the store has one.
    pub(crate) number: Option<UserNumber>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    user: Option<LocalUser>,
}

/// All of them, by handle, id and number.
#[derive(Debug, Default)]
pub(super) struct Users {
    slots: Vec<Slot>,
    /// Slots nobody is in, the lowest first: so the end of the table empties, and can go.
    free: BinaryHeap<Reverse<u32>>,
    /// Of the newest user. Not by slot: a slot that is made again must not know old handles.
    generation: u32,
    by_id: HashMap<UserId, UserRef>,
    by_number: HashMap<UserNumber, UserRef>,
    live: usize,
}

impl Users {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// About how many bytes knowing them takes, without their connections.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + table_bytes(&self.by_id)
            + table_bytes(&self.by_number)
    }

    /// How many are live.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn find(&self, id: UserId) -> Option<UserRef> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn by_number(&self, number: UserNumber) -> Option<UserRef> {
        self.by_number.get(&number).copied()
    }

    pub(super) fn get(&self, user: UserRef) -> Option<&LocalUser> {
        let slot = self.slots.get(user.slot as usize)?;
        slot.user.as_ref().filter(|_| slot.generation == user.generation)
    }

    pub(super) fn get_mut(&mut self, user: UserRef) -> Option<&mut LocalUser> {
        let slot = self.slots.get_mut(user.slot as usize)?;
        slot.user.as_mut().filter(|_| slot.generation == user.generation)
    }

    /// The live user behind a handle.
    pub(super) fn live_user(&self, user: UserRef) -> Option<&LocalUser> {
        self.get(user).filter(|user| user.is_live())
    }

    /// All users, live or not.
    pub(super) fn iter(&self) -> impl Iterator<Item = (UserRef, &LocalUser)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let user = slot.user.as_ref()?;
            Some((UserRef { slot: index, generation: slot.generation }, user))
        })
    }

    /// Makes room for a user who is not here yet.
    pub(super) fn arrive(&mut self, newcomer: Newcomer, wish: u64) -> UserRef {
        let (id, number) = (newcomer.connection.user, newcomer.number);
        let status = newcomer.connection.device_status();
        let newcomers = vec![newcomer];
        let arriving = Arriving { since: Instant::now(), known_from: None, newcomers };
        self.place(LocalUser {
            id,
            number,
            connections: SmallVec::new(),
            arriving: Some(Box::new(arriving)),
            wish,
            placed: None,
            status,
        })
    }

    fn place(&mut self, user: LocalUser) -> UserRef {
        let slot = self.free.pop().map_or_else(
            || {
                self.slots.push(Slot::default());
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            },
            |Reverse(slot)| slot,
        );
        self.generation = self.generation.wrapping_add(1);
        let handle = UserRef { slot, generation: self.generation };
        self.by_id.insert(user.id, handle);
        if let Some(number) = user.number {
            self.by_number.insert(number, handle);
        }
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            *slot = Slot { generation: handle.generation, user: Some(user) };
        }
        handle
    }

    /// Makes a user live; gives what they waited with.
    pub(super) fn go_live(&mut self, user: UserRef) -> Option<Box<Arriving>> {
        let arriving = self.get_mut(user)?.arriving.take()?;
        self.live += 1;
        Some(arriving)
    }

    /// Takes out a user whose last connection is gone.
    pub(super) fn depart(&mut self, user: UserRef) -> Option<LocalUser> {
        self.get(user)?;
        let gone = self.slots.get_mut(user.slot as usize)?.user.take()?;
        self.free.push(Reverse(user.slot));
        self.by_id.remove(&gone.id);
        if let Some(number) = gone.number {
            self.by_number.remove(&number);
        }
        self.live -= usize::from(gone.is_live());
        self.give_space_back();
        Some(gone)
    }

    /// What a crowd took and the few who are left do not need. Costs a look at a few numbers, but
    /// for once in a long while.
    fn give_space_back(&mut self) {
        shrink(&mut self.by_id);
        shrink(&mut self.by_number);
        if self.slots.len() < 2 * TAIL || self.slots.len() / 8 < self.by_id.len() {
            return;
        }
        // Whoever is in a high slot keeps those below until they leave.
        let used = self.slots.iter().rposition(|slot| slot.user.is_some());
        let keep = used.map_or(0, |last| last + 1);
        if self.slots.len() - keep >= TAIL {
            self.slots.truncate(keep);
            self.slots.shrink_to_fit();
            self.free.retain(|Reverse(slot)| (*slot as usize) < keep);
            self.free.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(number: u32) -> LocalUser {
        LocalUser {
            id: UserId::from_bits(u128::from(number)),
            number: Some(UserNumber(number)),
            connections: SmallVec::new(),
            arriving: None,
            wish: 0,
            placed: None,
            status: Status::Online,
        }
    }

    fn crowd(count: u32) -> (Users, Vec<UserRef>) {
        let mut users = Users::default();
        let handles = (0..count).map(|number| users.place(here(number))).collect();
        users.live = count as usize;
        (users, handles)
    }

    #[test]
    fn a_hundred_thousand_users_take_less_than_two_hundred_and_fifty_bytes_each() {
        let each = crowd(100_000).0.bytes() / 100_000;
        assert!(each < 250, "{each} bytes each");
    }

    #[test]
    fn when_a_crowd_has_left_its_space_is_given_back_and_old_handles_mean_nobody() {
        let (mut users, handles) = crowd(20_000);
        let (stay, go) = handles.split_at(3);
        for user in go {
            assert!(users.depart(*user).is_some());
        }
        assert!(users.bytes() < 100_000, "{} bytes for three", users.bytes());
        let again: Vec<UserRef> = (50_000..70_000).map(|n| users.place(here(n))).collect();
        assert!(go.iter().all(|old| users.get(*old).is_none()));
        assert!(stay.iter().chain(&again).all(|user| users.get(*user).is_some()));
        assert_eq!(users.len(), 20_003);
    }

    #[test]
    fn the_last_user_of_a_crowd_to_stay_is_found_and_the_slots_below_are_used_again() {
        let (mut users, handles) = crowd(10_000);
        let (last, go) = handles.split_last().unwrap();
        for user in go {
            assert!(users.depart(*user).is_some());
        }
        assert!(users.get(*last).is_some());
        let next = users.place(here(77_777));
        users.live += 1;
        assert_eq!(next.slot, 0);
        users.depart(*last);
        users.depart(next);
        assert!(users.is_empty() && users.bytes() < 100_000, "{} bytes", users.bytes());
    }
}
