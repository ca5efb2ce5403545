//! Which of the users here get a room's events, for rooms that spoke lately.
//!
//! An entry is made at a room's first event and kept by the events themselves. A user who comes
//! does not walk their rooms: each room looks at the newcomers since its last event when it speaks
//! again. A user who goes is found missing and dropped then, too.

use std::collections::{HashMap, VecDeque};

use klatch_domain::RoomId;

use super::users::{UserRef, table_bytes};

/// Newcomers remembered; a room that slept through more of them is looked at anew.
const NEWCOMERS_MAX: usize = 64 * 1024;

/// A room that spoke lately.
#[derive(Debug, Default)]
pub(super) struct Room {
    members: Vec<UserRef>,
    version: Version,
    /// How many newcomers there had been when this room looked at them last.
    seen: u64,
    used: u64,
    rate: Rate,
}

/// Another one whenever a room's members are others, whatever became of the entry meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Version {
    /// When the members were looked up.
    made: u64,
    /// Comings and goings since.
    changes: u64,
}

/// What a room said in the current second.
#[derive(Debug, Default)]
struct Rate {
    tick: u32,
    bytes: usize,
    loud: bool,
}

impl Room {
    /// Another event of so many bytes. Whether the room says more than `max` bytes a second: from
    /// the event that goes beyond it until a second with less.
    pub(super) fn is_loud(&mut self, bytes: usize, tick: u32, max: usize) -> bool {
        let rate = &mut self.rate;
        if rate.tick != tick {
            let was_just_now = tick.wrapping_sub(rate.tick) == 1;
            *rate = Rate { tick, bytes: 0, loud: was_just_now && rate.bytes > max };
        }
        rate.bytes = rate.bytes.saturating_add(bytes);
        rate.loud |= rate.bytes > max;
        rate.loud
    }

    pub(super) fn members(&self) -> &[UserRef] {
        &self.members
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn add(&mut self, user: UserRef) {
        if !self.members.contains(&user) {
            self.members.push(user);
            self.version.changes += 1;
        }
    }

    pub(super) fn remove(&mut self, user: UserRef) {
        if let Some(index) = self.members.iter().position(|member| *member == user) {
            self.members.swap_remove(index);
            self.version.changes += 1;
        }
    }

    /// Drops those that `stays` denies.
    pub(super) fn retain(&mut self, stays: impl Fn(UserRef) -> bool) {
        let before = self.members.len();
        self.members.retain(|member| stays(*member));
        self.version.changes += (before - self.members.len()) as u64;
    }
}

/// Whom to look up before a room's next event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Everyone here.
    All,
    /// These, who came since.
    Newcomers(Vec<UserRef>),
}

/// All rooms that spoke lately.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    known: HashMap<RoomId, Room>,
    newcomers: VecDeque<UserRef>,
    /// How many newcomers there were before the first that is remembered.
    forgotten: u64,
    clock: u64,
}

impl Rooms {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// About how many bytes they take. Visits every room.
    pub(super) fn bytes(&self) -> usize {
        let members = self.known.values().map(|room| room.members.capacity());
        let users = members.sum::<usize>() + self.newcomers.capacity();
        table_bytes(&self.known) + users * size_of::<UserRef>()
    }

    /// A user went live.
    pub(super) fn newcomer(&mut self, user: UserRef) {
        self.newcomers.push_back(user);
        if self.newcomers.len() > NEWCOMERS_MAX {
            self.newcomers.pop_front();
            self.forgotten += 1;
        }
    }

    fn newcomers_so_far(&self) -> u64 {
        self.forgotten + self.newcomers.len() as u64
    }

    /// Whom the room does not know about; `None`: nobody.
    pub(super) fn unknown_to(&self, room: RoomId) -> Option<Unknown> {
        let Some(entry) = self.known.get(&room) else { return Some(Unknown::All) };
        if entry.seen == self.newcomers_so_far() {
            return None;
        }
        let Some(skip) = entry.seen.checked_sub(self.forgotten) else { return Some(Unknown::All) };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Some(Unknown::Newcomers(self.newcomers.iter().skip(skip).copied().collect()))
    }

    /// The answer to [`Rooms::unknown_to`]: `members` are those of the asked who get the events.
    pub(super) fn learn(&mut self, room: RoomId, asked: &Unknown, members: Vec<UserRef>) {
        let seen = self.newcomers_so_far();
        let entry = self.known.entry(room).or_default();
        entry.seen = seen;
        match asked {
            Unknown::All => {
                self.clock += 1;
                entry.version = Version { made: self.clock, changes: 0 };
                entry.members = members;
            }
            Unknown::Newcomers(_) => members.into_iter().for_each(|user| entry.add(user)),
        }
    }

    /// The room, now in use.
    pub(super) fn speak(&mut self, room: RoomId) -> Option<&mut Room> {
        self.clock += 1;
        let entry = self.known.get_mut(&room)?;
        entry.used = self.clock;
        Some(entry)
    }

    /// The room is gone.
    pub(super) fn forget(&mut self, room: RoomId) {
        self.known.remove(&room);
    }

    /// Keeps the `max` rooms that spoke last (roughly: drops a half when there are more).
    pub(super) fn trim(&mut self, max: usize) {
        if self.known.len() <= max {
            return;
        }
        let mut used: Vec<u64> = self.known.values().map(|room| room.used).collect();
        let border = (used.len() - max / 2).min(used.len() - 1);
        let (_, border, _) = used.select_nth_unstable(border);
        let border = *border;
        self.known.retain(|_, room| room.used >= border);
        self.known.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_loud_beyond_its_bytes_and_until_a_second_with_less() {
        let mut room = Room::default();
        let mut says = |bytes, tick| room.is_loud(bytes, tick, 100);
        assert_eq!([says(60, 1), says(40, 1), says(1, 1), says(1, 1)], [false, false, true, true]);
        assert_eq!([says(1, 2), says(98, 2)], [true, true], "the second before was loud");
        assert!(!says(1, 3));
        assert!(says(101, 3));
        assert!(!says(1, 5), "a silent second between");
    }
}
