//! Files entries in the [`Index`]: invocations first, then what became of them.

use std::collections::HashMap;

use super::Findings;
use super::index::{Ack, Attempt, Change, End, Index, Origin, Read, RoomId, Sent, Truth};
use crate::history::{Call, Direction, Entry, History, Item, Name, Purpose, Reply, Walk, What};
use crate::report::{Counts, Invariant};

/// Where the parts of an operation are filed until its outcome comes.
enum Filed<'h> {
    Send { send: usize, attempt: usize },
    Change { room: RoomId, message: &'h str, index: usize },
    Read { room: RoomId, walk: &'h Walk, at: u64 },
}

type Ops<'h> = HashMap<(u32, u64), Filed<'h>>;

impl<'h> Index<'h> {
    pub(crate) fn build(history: &'h History, found: &mut Findings) -> Self {
        let mut index = Self {
            entries: &history.entries,
            rooms: Vec::new(),
            sends: Vec::new(),
            changes: HashMap::new(),
            reads: Vec::new(),
            counts: Counts::default(),
            room_ids: HashMap::new(),
            by_client: HashMap::new(),
            by_body: HashMap::new(),
            by_message: HashMap::new(),
            visible: HashMap::new(),
        };
        let mut ops = Ops::new();
        for (number, entry) in history.entries.iter().enumerate() {
            if let What::Invoke { process, op, call } = &entry.what {
                let filed = index.file(number, entry.at, *process, call);
                if ops.insert((*process, *op), filed).is_some() {
                    found.add(
                        Invariant::Incomplete,
                        None,
                        &[],
                        &[number],
                        "operation number used twice",
                    );
                }
            }
        }
        for (number, entry) in history.entries.iter().enumerate() {
            index.finish(number, entry, &mut ops, found);
        }
        index.find_truths(found);
        index.find_visible();
        index.count();
        index
    }

    fn file(&mut self, number: usize, at: u64, process: u32, call: &'h Call) -> Filed<'h> {
        match call {
            Call::Send { room, sender, client, body } => {
                let room = self.room(room);
                let next = self.sends.len();
                let key = (room, sender.as_str(), client.as_str());
                let send = *self.by_client.entry(key).or_insert(next);
                if send == next {
                    self.sends.push(Sent { room, sender, client, attempts: Vec::new() });
                }
                self.by_body
                    .entry((room, *body))
                    .and_modify(|known| *known = known.filter(|known| *known == send))
                    .or_insert(Some(send));
                let end = End::Unknown;
                let mut attempt = 0;
                if let Some(sent) = self.sends.get_mut(send) {
                    attempt = sent.attempts.len();
                    sent.attempts.push(Attempt { process, invoke: number, at, body: *body, end });
                }
                Filed::Send { send, attempt }
            }
            Call::Edit { room, message, body } => {
                self.file_change(number, at, room, message, Some(*body))
            }
            Call::Delete { room, message } => self.file_change(number, at, room, message, None),
            Call::Read(walk) => Filed::Read { room: self.room(&walk.room), walk, at },
        }
    }

    fn file_change(
        &mut self,
        number: usize,
        at: u64,
        room: &'h Name,
        message: &'h Name,
        body: Option<u64>,
    ) -> Filed<'h> {
        let room = self.room(room);
        let changes = self.changes.entry((room, message.as_str())).or_default();
        changes.push(Change { invoke: number, at, body, ack: None, refused: false });
        Filed::Change { room, message: message.as_str(), index: changes.len() - 1 }
    }

    fn finish(&mut self, number: usize, entry: &'h Entry, ops: &mut Ops<'h>, found: &mut Findings) {
        let (process, op, end) = match &entry.what {
            What::Ok { process, op, reply } => (*process, *op, Some(Some(reply))),
            What::Fail { process, op, .. } => (*process, *op, Some(None)),
            What::Unknown { process, op } => (*process, *op, None),
            What::Watch { room, .. } | What::Unwatch { room, .. } => {
                self.room(room);
                return;
            }
            What::Receive { room, item, .. } => {
                self.receive(room, item);
                return;
            }
            What::Other { room, seq, .. } => {
                self.event(room, *seq);
                return;
            }
            _ => return,
        };
        let fits = match (ops.remove(&(process, op)), end) {
            (Some(_), None) => true,
            (Some(filed), Some(None)) => self.refuse(&filed),
            (Some(filed), Some(Some(reply))) => {
                self.accept(number, entry.at, process, &filed, reply)
            }
            (None, _) => false,
        };
        if !fits {
            let text = "an outcome that fits no operation under way";
            found.add(Invariant::Incomplete, None, &[], &[number], text);
        }
    }

    fn refuse(&mut self, filed: &Filed<'h>) -> bool {
        match *filed {
            Filed::Send { send, attempt } => {
                if let Some(attempt) = self.attempt(send, attempt) {
                    attempt.end = End::Fail;
                }
            }
            Filed::Change { room, message, index } => {
                if let Some(change) = self.change(room, message, index) {
                    change.refused = true;
                }
            }
            Filed::Read { .. } => {}
        }
        true
    }

    fn accept(
        &mut self,
        number: usize,
        at: u64,
        process: u32,
        filed: &Filed<'h>,
        reply: &'h Reply,
    ) -> bool {
        match (filed, reply) {
            (Filed::Send { send, attempt }, Reply::Sent { message, seq, ordinal }) => {
                let (seq, ordinal) = (*seq, *ordinal);
                if let Some(attempt) = self.attempt(*send, *attempt) {
                    attempt.end = End::Ok(Ack { entry: number, at, message, seq, ordinal });
                }
                if let Some(room) = self.sends.get(*send).map(|send| send.room) {
                    self.by_message.entry((room, message.as_str())).or_insert(*send);
                    self.raise(room, seq);
                }
                true
            }
            (Filed::Change { room, message, index }, Reply::Changed { seq }) => {
                if let Some(change) = self.change(*room, message, *index) {
                    change.ack = Some((*seq, number, at));
                }
                self.raise(*room, *seq);
                true
            }
            (Filed::Read { room, walk, at: invoked }, Reply::Page { items, complete }) => {
                let (room, complete, invoked) = (*room, *complete, *invoked);
                self.counts.items += items.len() as u64;
                self.reads.push(Read {
                    room,
                    process,
                    invoked,
                    walk,
                    entry: number,
                    items,
                    complete,
                });
                true
            }
            _ => false,
        }
    }

    fn attempt(&mut self, send: usize, attempt: usize) -> Option<&mut Attempt<'h>> {
        self.sends.get_mut(send).and_then(|send| send.attempts.get_mut(attempt))
    }

    fn change(&mut self, room: RoomId, message: &'h str, index: usize) -> Option<&mut Change> {
        self.changes.get_mut(&(room, message)).and_then(|changes| changes.get_mut(index))
    }

    /// A live message ties its id to its client id, which history does not show.
    fn receive(&mut self, room: &'h Name, item: &'h Item) {
        self.event(room, item.seq);
        let Some(client) = &item.client else { return };
        let room = self.room(room);
        if let Some(send) = self.by_client.get(&(room, item.sender.as_str(), client.as_str())) {
            self.by_message.entry((room, item.message.as_str())).or_insert(*send);
        }
    }

    fn event(&mut self, room: &'h Name, seq: u64) {
        let room = self.room(room);
        self.raise(room, seq);
        self.counts.frames += 1;
    }

    fn raise(&mut self, room: RoomId, seq: u64) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.head = room.head.max(seq);
        }
    }

    fn find_truths(&mut self, found: &mut Findings) {
        for read in &self.reads {
            if read.walk.purpose != Purpose::Final {
                continue;
            }
            let name = Some(&read.walk.room);
            if !read.complete || !starts_at_the_end(read.walk) {
                let text = "a final read that is not of the whole room";
                found.add(Invariant::Incomplete, name, &[], &[read.entry], text);
                continue;
            }
            let Some(room) = self.rooms.get_mut(read.room) else { continue };
            if room.truth.is_none() {
                let mut items: Vec<&Item> = read.items.iter().collect();
                items.sort_by_key(|item| item.seq);
                let by_message = items.iter().map(|i| (i.message.as_str(), *i)).collect();
                room.head = room.head.max(items.last().map_or(0, |item| item.seq));
                room.truth = Some(Truth { entry: read.entry, items, by_message });
                self.counts.rooms += 1;
            }
        }
    }

    fn find_visible(&mut self) {
        let mut visible = HashMap::new();
        for (room, facts) in self.rooms.iter().enumerate() {
            for item in facts.truth.iter().flat_map(|truth| &truth.items) {
                if let Origin::Send(send) = self.origin(room, item) {
                    visible.entry(send).or_insert(item.seq);
                }
            }
        }
        self.visible = visible;
    }

    fn count(&mut self) {
        for send in &self.sends {
            self.counts.sends += 1;
            if send.first_ack().is_some() {
                self.counts.acknowledged += 1;
            } else if send.attempts.iter().any(|a| matches!(a.end, End::Unknown)) {
                self.counts.unknown += 1;
            }
        }
    }
}

fn starts_at_the_end(walk: &Walk) -> bool {
    match walk.direction {
        Direction::Backward => walk.from.is_none(),
        Direction::Forward => walk.from.is_none_or(|from| from == 0),
    }
}
