//! Which rooms of a queue give way to a notice, and how.

use std::collections::{HashMap, HashSet, VecDeque};

use klatch_domain::RoomId;

use super::entry::{Entry, NOTICE_BYTES, Place};
use super::{Outbox, Overfull};

impl Outbox {
    /// Makes rooms give way if too much waits for `more` bytes to come.
    pub(super) fn make_room(&mut self, more: usize, cap: usize) -> Result<(), Overfull> {
        let quarter = cap / 4;
        let waiting = self.waiting_bytes() + more;
        if waiting <= quarter {
            return Ok(());
        }
        // Counting costs as much as the queue is long: not with every event.
        let extra = self.extra.get_or_insert_default();
        if waiting <= cap && waiting <= extra.count_from {
            return Ok(());
        }
        let (entries, bytes, fixed) = match &mut extra.held {
            Some(held) => (&mut held.entries, &mut held.bytes, 0),
            None => (&mut self.queue, &mut self.bytes, usize::from(self.begun)),
        };
        let rooms = rooms_to_collapse(entries, fixed, quarter, cap / 2);
        if !rooms.is_empty() {
            *bytes = collapse(entries, fixed, &rooms, &mut extra.notices);
            extra.collapsed += rooms.len();
        }
        let left = self.waiting_bytes() + more;
        if let Some(extra) = &mut self.extra {
            extra.count_from = left + cap / 16;
        }
        if left > cap { Err(Overfull) } else { Ok(()) }
    }
}

/// Rooms that give way so that the events of others fit: every room with more than `room_max`
/// bytes; then, if more than `total_max` bytes wait, the largest until no more than `room_max` do.
/// `fixed` entries at the front stay.
fn rooms_to_collapse(
    entries: &VecDeque<Entry>,
    fixed: usize,
    room_max: usize,
    total_max: usize,
) -> HashSet<RoomId> {
    let mut bytes: HashMap<RoomId, usize> = HashMap::new();
    let mut total = 0;
    for entry in entries.iter().skip(fixed) {
        total += entry.cost();
        if let Some(place) = entry.event.filter(|_| !entry.is_notice()) {
            *bytes.entry(place.room).or_default() += entry.cost();
        }
    }
    let mut bytes: Vec<(RoomId, usize)> = bytes.into_iter().collect();
    bytes.sort_unstable_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let is_full = total > total_max;
    let mut rooms = HashSet::new();
    for (room, bytes) in bytes {
        let makes_way = is_full && total > room_max && bytes > NOTICE_BYTES;
        if bytes <= room_max && !makes_way {
            break;
        }
        total -= bytes.saturating_sub(NOTICE_BYTES);
        rooms.insert(room);
    }
    rooms
}

/// Leaves one notice of each of `rooms` where the first of its events was; what it tells is in
/// `notices`. Returns the bytes that wait now.
fn collapse(
    entries: &mut VecDeque<Entry>,
    fixed: usize,
    rooms: &HashSet<RoomId>,
    notices: &mut HashMap<RoomId, Place>,
) -> usize {
    let mut placed = HashSet::new();
    let mut index = 0;
    entries.retain_mut(|entry| {
        index += 1;
        let Some(place) = entry.event.filter(|place| index > fixed && rooms.contains(&place.room))
        else {
            return true;
        };
        // What a notice tells is in the table, and newer than its own place.
        if !entry.is_notice() {
            let told = notices.entry(place.room).or_insert(place);
            if told.seq < place.seq {
                *told = place;
            }
        }
        *entry = Entry::notice(place);
        placed.insert(place.room)
    });
    entries.iter().map(Entry::cost).sum()
}
