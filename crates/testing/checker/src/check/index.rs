//! The history's entries by room, by send and by message.

use std::collections::HashMap;

use crate::history::{Entry, Item, Name, Walk};
use crate::report::Counts;

/// A room's number within one check.
pub(crate) type RoomId = usize;

pub(crate) struct Index<'h> {
    pub(crate) entries: &'h [Entry],
    pub(crate) rooms: Vec<Room<'h>>,
    pub(crate) sends: Vec<Sent<'h>>,
    pub(crate) changes: HashMap<(RoomId, &'h str), Vec<Change>>,
    pub(crate) reads: Vec<Read<'h>>,
    pub(crate) counts: Counts,
    pub(super) room_ids: HashMap<&'h str, RoomId>,
    pub(super) by_client: HashMap<(RoomId, &'h str, &'h str), usize>,
    /// None where two sends have the same body.
    pub(super) by_body: HashMap<(RoomId, u64), Option<usize>>,
    pub(super) by_message: HashMap<(RoomId, &'h str), usize>,
    /// The seq at which the final read shows a send.
    pub(super) visible: HashMap<usize, u64>,
}

pub(crate) struct Room<'h> {
    pub(crate) name: &'h Name,
    pub(crate) truth: Option<Truth<'h>>,
    /// The greatest seq that anyone saw or was told.
    pub(crate) head: u64,
}

/// The room as its first final read showed it.
pub(crate) struct Truth<'h> {
    pub(crate) entry: usize,
    /// By rising seq.
    pub(crate) items: Vec<&'h Item>,
    pub(crate) by_message: HashMap<&'h str, &'h Item>,
}

/// A message that someone wanted to send, with all attempts.
pub(crate) struct Sent<'h> {
    pub(crate) room: RoomId,
    pub(crate) sender: &'h Name,
    pub(crate) client: &'h Name,
    pub(crate) attempts: Vec<Attempt<'h>>,
}

pub(crate) struct Attempt<'h> {
    pub(crate) process: u32,
    pub(crate) invoke: usize,
    pub(crate) at: u64,
    pub(crate) body: u64,
    pub(crate) end: End<'h>,
}

#[derive(Clone, Copy)]
pub(crate) enum End<'h> {
    Unknown,
    Fail,
    Ok(Ack<'h>),
}

#[derive(Clone, Copy)]
pub(crate) struct Ack<'h> {
    pub(crate) entry: usize,
    pub(crate) at: u64,
    pub(crate) message: &'h Name,
    pub(crate) seq: u64,
    pub(crate) ordinal: Option<u64>,
}

/// An edit (`body` is some) or a delete of a message.
pub(crate) struct Change {
    pub(crate) invoke: usize,
    pub(crate) at: u64,
    pub(crate) body: Option<u64>,
    /// Seq, entry and time of the acknowledgement.
    pub(crate) ack: Option<(u64, usize, u64)>,
    pub(crate) refused: bool,
}

/// A walk that was answered.
pub(crate) struct Read<'h> {
    pub(crate) room: RoomId,
    pub(crate) process: u32,
    pub(crate) invoked: u64,
    pub(crate) walk: &'h Walk,
    pub(crate) entry: usize,
    pub(crate) items: &'h [Item],
    pub(crate) complete: bool,
}

/// Which send a visible message belongs to.
pub(crate) enum Origin {
    Send(usize),
    /// Someone's, but which of several sends it is cannot be told.
    Some,
    Nobody,
}

impl<'h> Sent<'h> {
    pub(crate) fn acks(&self) -> impl Iterator<Item = Ack<'h>> + '_ {
        self.attempts.iter().filter_map(|attempt| match attempt.end {
            End::Ok(ack) => Some(ack),
            End::Unknown | End::Fail => None,
        })
    }

    pub(crate) fn first_ack(&self) -> Option<Ack<'h>> {
        self.acks().min_by_key(|ack| ack.at)
    }

    pub(crate) fn first_invoke(&self) -> Option<&Attempt<'h>> {
        self.attempts.iter().min_by_key(|attempt| attempt.at)
    }
}

impl<'h> Index<'h> {
    /// The number of a room that some entry named.
    pub(crate) fn room(&mut self, name: &'h Name) -> RoomId {
        let next = self.rooms.len();
        let id = *self.room_ids.entry(name.as_str()).or_insert(next);
        if id == next {
            self.rooms.push(Room { name, truth: None, head: 0 });
        }
        id
    }

    /// The number of a room after the index is built: every entry's room has one.
    pub(crate) fn room_id(&self, name: &Name) -> Option<RoomId> {
        self.room_ids.get(name.as_str()).copied()
    }

    pub(crate) fn room_name(&self, room: RoomId) -> Option<&'h Name> {
        self.rooms.get(room).map(|room| room.name)
    }

    pub(crate) fn truth(&self, room: RoomId) -> Option<&Truth<'h>> {
        self.rooms.get(room).and_then(|room| room.truth.as_ref())
    }

    /// Where the final read shows the send with this number.
    pub(crate) fn visible_seq(&self, send: usize) -> Option<u64> {
        self.visible.get(&send).copied()
    }

    pub(crate) fn changes_of(&self, room: RoomId, message: &'h Name) -> &[Change] {
        self.changes.get(&(room, message.as_str())).map_or(&[], Vec::as_slice)
    }

    /// Finds the send a visible message came from: by client id where it is shown, else by the
    /// message id as acknowledged or seen live, else by the body.
    pub(crate) fn origin(&self, room: RoomId, item: &'h Item) -> Origin {
        if let Some(client) = &item.client {
            let key = (room, item.sender.as_str(), client.as_str());
            return self.by_client.get(&key).map_or(Origin::Nobody, |send| Origin::Send(*send));
        }
        let by_id = self.by_message.get(&(room, item.message.as_str())).copied();
        let by_body = || item.body.and_then(|body| self.by_body.get(&(room, body)).copied());
        match by_id.map(Some).or_else(by_body) {
            Some(Some(send)) if self.sends.get(send).is_some_and(|s| *s.sender == item.sender) => {
                Origin::Send(send)
            }
            Some(None) => Origin::Some,
            // Of unknown outcome, never seen live, and its body was edited away: nothing is left
            // that names the send, but someone who knew the message edited it.
            None if self.was_edited(room, item) => Origin::Some,
            Some(Some(_)) | None => Origin::Nobody,
        }
    }

    fn was_edited(&self, room: RoomId, item: &'h Item) -> bool {
        let changes = self.changes_of(room, &item.message);
        item.body.is_some() && changes.iter().any(|change| change.body == item.body)
    }
}
