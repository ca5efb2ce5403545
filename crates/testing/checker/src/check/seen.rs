//! Everything that anyone saw, against the sends and the final read: I2, I3, I4, I9.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use super::Findings;
use super::index::{Index, Origin, RoomId};
use crate::history::{Item, Name, What};
use crate::report::Invariant;

/// What someone saw at a seq of a room.
#[derive(Clone, Copy)]
struct Sight<'h> {
    entry: usize,
    seq: u64,
    /// None for an event that is no message.
    message: Option<&'h Name>,
    ordinal: Option<u64>,
}

#[derive(Default)]
struct Places<'h> {
    at_seq: HashMap<(RoomId, u64), Sight<'h>>,
    of_message: HashMap<(RoomId, &'h str), Sight<'h>>,
    by_send: HashMap<usize, Sight<'h>>,
}

pub(crate) fn check(index: &Index<'_>, found: &mut Findings) {
    let mut places = Places::default();
    for send in &index.sends {
        for ack in send.acks() {
            let sight = Sight {
                entry: ack.entry,
                seq: ack.seq,
                message: Some(ack.message),
                ordinal: ack.ordinal,
            };
            places.put(index, send.room, sight, found);
        }
    }
    for ((room, _), changes) in &index.changes {
        for (seq, entry, _) in changes.iter().filter_map(|change| change.ack) {
            let sight = Sight { entry, seq, message: None, ordinal: None };
            places.put(index, *room, sight, found);
        }
    }
    for read in &index.reads {
        for item in read.items {
            places.item(index, read.room, read.entry, item, found);
        }
    }
    for (entry, what) in index.entries.iter().map(|entry| &entry.what).enumerate() {
        match what {
            What::Receive { room, item, .. } => {
                if let Some(room) = index.room_id(room) {
                    places.item(index, room, entry, item, found);
                }
            }
            What::Other { room, seq, .. } => {
                if let Some(room) = index.room_id(room) {
                    let sight = Sight { entry, seq: *seq, message: None, ordinal: None };
                    places.put(index, room, sight, found);
                }
            }
            _ => {}
        }
    }
}

impl<'h> Places<'h> {
    fn item(
        &mut self,
        index: &Index<'h>,
        room: RoomId,
        entry: usize,
        item: &'h Item,
        found: &mut Findings,
    ) {
        let message = Some(&item.message);
        let sight = Sight { entry, seq: item.seq, message, ordinal: item.ordinal };
        self.put(index, room, sight, found);
        self.claim(index, room, sight, item, found);
        durable(index, room, sight, item, found);
    }

    /// I4: one thing at a place, one place for a thing.
    fn put(&mut self, index: &Index<'h>, room: RoomId, sight: Sight<'h>, found: &mut Findings) {
        let name = index.room_name(room);
        match self.at_seq.entry((room, sight.seq)) {
            Slot::Vacant(slot) => {
                slot.insert(sight);
            }
            Slot::Occupied(mut slot) => {
                let known = slot.get_mut();
                let proof = [known.entry, sight.entry];
                if known.message != sight.message {
                    let text = format!("seq {} is two things", sight.seq);
                    found.add(Invariant::I4, name, &[sight.seq], &proof, text);
                } else if known.ordinal.is_none() {
                    known.ordinal = sight.ordinal;
                } else if sight.ordinal.is_some() && known.ordinal != sight.ordinal {
                    let text = format!("seq {} has two ordinals", sight.seq);
                    found.add(Invariant::I4, name, &[sight.seq], &proof, text);
                }
            }
        }
        let Some(message) = sight.message else { return };
        let known = *self.of_message.entry((room, message.as_str())).or_insert(sight);
        if known.seq != sight.seq {
            let text = format!("message {message} is in two places");
            let proof = [known.entry, sight.entry];
            found.add(Invariant::I4, name, &[known.seq, sight.seq], &proof, text);
        }
    }

    /// I2: someone wrote it, with this body. I3: and its send made no other message.
    fn claim(
        &mut self,
        index: &Index<'h>,
        room: RoomId,
        sight: Sight<'h>,
        item: &'h Item,
        found: &mut Findings,
    ) {
        let name = index.room_name(room);
        let send = match index.origin(room, item) {
            Origin::Send(send) => send,
            Origin::Some => return,
            // A tombstone shows neither client id nor body: its place must then be known.
            Origin::Nobody if item.deleted && item.client.is_none() && item.body.is_none() => {
                return;
            }
            Origin::Nobody => {
                let text = format!("nobody sent message {}", item.message);
                found.add(Invariant::I2, name, &[item.seq], &[sight.entry], text);
                return;
            }
        };
        if let Some(body) = item.body
            && !item.deleted
            && !was_written(index, room, send, item, body)
        {
            let text = format!("nobody wrote the body of message {}", item.message);
            found.add(Invariant::I2, name, &[item.seq], &[sight.entry], text);
        }
        let known = *self.by_send.entry(send).or_insert(sight);
        if known.message != sight.message {
            let text = format!("one send made message {} and another", item.message);
            let proof = [known.entry, sight.entry];
            found.add(Invariant::I3, name, &[known.seq, item.seq], &proof, text);
        }
    }
}

fn was_written<'h>(
    index: &Index<'h>,
    room: RoomId,
    number: usize,
    item: &'h Item,
    body: u64,
) -> bool {
    let send = index.sends.get(number);
    send.is_some_and(|send| send.attempts.iter().any(|attempt| attempt.body == body))
        || index.changes_of(room, &item.message).iter().any(|c| c.body == Some(body))
}

/// I9: what anyone saw is in the final read.
fn durable<'h>(
    index: &Index<'h>,
    room: RoomId,
    sight: Sight<'h>,
    item: &'h Item,
    found: &mut Findings,
) {
    let Some(truth) = index.truth(room) else { return };
    if !truth.by_message.contains_key(item.message.as_str()) {
        let text = format!("message {} was shown and is not in the final read", item.message);
        let proof = [sight.entry, truth.entry];
        found.add(Invariant::I9, index.room_name(room), &[item.seq], &proof, text);
    }
}
