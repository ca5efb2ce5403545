//! Who is connected here.

use std::collections::HashMap;
use std::sync::Arc;

use klatch_domain::UserId;
use klatch_domain::presence::Status;
use klatch_domain::user::Profile;
use klatch_ports::Offset;
use klatch_ports::kv::Revision;
use klatch_ports::metadata::UserNumber;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::connection::Connection;

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
    free: Vec<u32>,
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
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let (id, number) = (newcomer.connection.user, newcomer.number);
        let status = newcomer.connection.device_status();
        let newcomers = vec![newcomer];
        let arriving = Arriving { since: Instant::now(), known_from: None, newcomers };
        let mut handle = UserRef { slot, generation: 0 };
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            handle.generation = slot.generation;
            slot.user = Some(LocalUser {
                id,
                number,
                connections: SmallVec::new(),
                arriving: Some(Box::new(arriving)),
                wish,
                placed: None,
                status,
            });
        }
        self.by_id.insert(id, handle);
        if let Some(number) = number {
            self.by_number.insert(number, handle);
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
        let slot = self.slots.get_mut(user.slot as usize)?;
        slot.generation = slot.generation.wrapping_add(1);
        let gone = slot.user.take()?;
        self.free.push(user.slot);
        self.by_id.remove(&gone.id);
        if let Some(number) = gone.number {
            self.by_number.remove(&number);
        }
        self.live -= usize::from(gone.is_live());
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_users_take_less_than_two_hundred_and_fifty_bytes_each() {
        let mut users = Users::default();
        for number in 0..100_000_u32 {
            let handle = UserRef { slot: number, generation: 0 };
            users.slots.push(Slot::default());
            users.by_id.insert(UserId::from_bits(u128::from(number)), handle);
            users.by_number.insert(UserNumber(number), handle);
        }
        let each = users.bytes() / 100_000;
        assert!(each < 250, "{each} bytes each");
    }
}
