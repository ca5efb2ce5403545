//! What was sent and what came back: latencies, and whether anything was lost, doubled or came in
//! disorder. Constant memory per connection and per message under way.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Instant;

use crate::scan::{self, Mark, Said};
use crate::stats::Histogram;

/// What a run has counted.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    /// Messages acknowledged.
    pub(crate) accepted: u64,
    /// Events of the run's messages that arrived at connections.
    pub(crate) deliveries: u64,
    /// Send to acknowledgement.
    pub(crate) ack: Histogram,
    /// Send to event, at connections other than the sender's.
    pub(crate) delivery: Histogram,
    /// Seqs that a connection never got.
    pub(crate) lost: u64,
    /// Seqs that a connection got again.
    pub(crate) doubled: u64,
    /// Seqs that a connection got after a later one.
    pub(crate) disordered: u64,
    /// Events of rooms that a connection's user is not in.
    pub(crate) foreign: u64,
    /// How often a connection was told that a room went on, instead of what was said there.
    pub(crate) notices: u64,
    /// Refused messages by code.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// A connection's way through a room of its user.
#[derive(Clone, Copy, Default)]
struct Way {
    last: u64,
    missing: u64,
}

/// What a connection is to get.
enum Watch {
    /// Events of one room: most connections.
    One(u32, Way),
    /// Events of the rooms from this one on.
    Several(u32, Vec<Way>),
}

impl Watch {
    fn of(rooms: &Range<u32>) -> Self {
        match rooms.len() {
            1 => Self::One(rooms.start, Way::default()),
            count => Self::Several(rooms.start, vec![Way::default(); count]),
        }
    }

    fn way(&mut self, room: u32) -> Option<&mut Way> {
        match self {
            Self::One(own, way) => (*own == room).then_some(way),
            Self::Several(first, ways) => ways.get_mut(room.checked_sub(*first)? as usize),
        }
    }

    fn ways(&mut self) -> impl Iterator<Item = (u32, &mut Way)> {
        let (first, ways) = match self {
            Self::One(room, way) => (*room, std::slice::from_mut(way)),
            Self::Several(first, ways) => (*first, ways.as_mut_slice()),
        };
        (first..).zip(ways)
    }
}

/// A message under way.
#[derive(Clone, Copy, Default)]
struct Slot {
    turn: u32,
    room: u32,
    sender: usize,
    sent: u64,
    deliveries_left: u32,
    acknowledged: bool,
}

struct Room {
    id: String,
    size: u32,
    accepted: u64,
}

pub(crate) struct Ledger {
    origin: Instant,
    rooms: Vec<Room>,
    /// Rooms by id.
    by_id: HashMap<Vec<u8>, u32>,
    watches: Vec<Watch>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    pub(crate) figures: Figures,
    /// Of the acknowledgement that lies furthest on in the log.
    position: (u64, String),
    /// Where each connection is in the log, if that is kept.
    places: Option<Places>,
}

/// Where connections are in the log.
#[derive(Default)]
struct Places {
    /// What stands before the dot of all positions.
    log: String,
    offsets: Vec<u64>,
}

impl Ledger {
    /// Rooms by id, and for each connection the numbers of its user's rooms.
    pub(crate) fn new(rooms: Vec<String>, connections: &[Range<u32>]) -> Self {
        let by_id = (0..).zip(&rooms).map(|(room, id)| (id.clone().into_bytes(), room)).collect();
        let mut rooms: Vec<Room> =
            rooms.into_iter().map(|id| Room { id, size: 0, accepted: 0 }).collect();
        for room in connections.iter().flat_map(Clone::clone) {
            if let Some(room) = rooms.get_mut(room as usize) {
                room.size += 1;
            }
        }
        Self {
            origin: Instant::now(),
            rooms,
            by_id,
            watches: connections.iter().map(Watch::of).collect(),
            slots: Vec::new(),
            free: Vec::new(),
            figures: Figures::default(),
            position: (0, String::new()),
            places: None,
        }
    }

    /// Keeps from here on where each connection is in the log.
    pub(crate) fn keep_places(&mut self) {
        let offsets = vec![0; self.watches.len()];
        self.places = Some(Places { log: String::new(), offsets });
    }

    /// The position from which a connection has to resume, if one was kept.
    pub(crate) fn place(&self, connection: usize) -> Option<String> {
        let places = self.places.as_ref().filter(|places| !places.log.is_empty())?;
        Some(format!("{}.{}", places.log, places.offsets.get(connection)?))
    }

    /// Allows so many messages under way. None may be under way now.
    pub(crate) fn set_window(&mut self, window: u32) {
        let turn = self.slots.iter().map(|slot| slot.turn).max().unwrap_or_default();
        self.slots = vec![Slot { turn, ..Slot::default() }; window as usize];
        self.free = (0..window).rev().collect();
    }

    pub(crate) fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A free slot.
    pub(crate) fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Puts a slot back that was not used after all.
    pub(crate) fn give_back(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Nanoseconds since the ledger was opened.
    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    pub(crate) fn at(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn room_id(&self, room: u32) -> &str {
        self.rooms.get(room as usize).map_or("", |room| &room.id)
    }

    /// How many messages of each room were acknowledged.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = (&str, u64)> {
        self.rooms.iter().map(|room| (room.id.as_str(), room.accepted))
    }

    /// The log position that includes every acknowledged message, empty before the first.
    pub(crate) fn position(&self) -> &str {
        &self.position.1
    }

    /// Files a message that is about to be sent and gives its mark.
    pub(crate) fn send(&mut self, slot: u32, room: u32, sender: usize, due: u64) -> Mark {
        let size = self.rooms.get(room as usize).map_or(0, |room| room.size);
        let mut turn = 0;
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            turn = entry.turn.wrapping_add(1);
            let deliveries_left = size;
            *entry = Slot { turn, room, sender, sent: due, deliveries_left, acknowledged: false };
        }
        Mark { slot, turn, sent: due }
    }

    /// Files a frame, and gives what it says.
    pub(crate) fn heard<'a>(&mut self, connection: usize, text: &'a [u8]) -> Said<'a> {
        let said = scan::frame(text);
        match said {
            Said::Event { room, seq, mark } => {
                self.order(connection, room, seq);
                if let Some(mark) = mark {
                    self.delivered(connection, mark);
                }
            }
            Said::Ack { request, position } => self.acknowledged(request, position),
            Said::Error { request, code } => self.refused(request, code),
            Said::Notice => self.figures.notices += 1,
            _ => {}
        }
        if matches!(said, Said::Event { .. } | Said::Hello | Said::Resumed(_)) {
            self.keep_place(connection, text, said == Said::Hello);
        }
        said
    }

    /// A `hello` counts only for who has no place yet: what was missed before it comes after it.
    fn keep_place(&mut self, connection: usize, text: &[u8], is_hello: bool) {
        let Some(places) = &mut self.places else { return };
        let Some((log, offset)) = scan::place(text) else { return };
        if places.log.is_empty() {
            places.log = String::from_utf8_lossy(log).into_owned();
        }
        if let Some(place) = places.offsets.get_mut(connection)
            && (!is_hello || *place == 0)
        {
            *place = offset.max(*place);
        }
    }

    /// Each seq once, one after the other.
    fn order(&mut self, connection: usize, room: &[u8], seq: u64) {
        let Some(watch) = self.watches.get_mut(connection) else { return };
        let way = match watch {
            Watch::One(own, way) => {
                let own = self.rooms.get(*own as usize);
                own.is_some_and(|own| own.id.as_bytes() == room).then_some(way)
            }
            Watch::Several(..) => self.by_id.get(room).and_then(|room| watch.way(*room)),
        };
        let Some(watch) = way else {
            self.figures.foreign += 1;
            return;
        };
        if watch.last == 0 || seq == watch.last + 1 {
            watch.last = seq;
        } else if seq > watch.last {
            let jumped = seq - watch.last - 1;
            watch.missing += jumped;
            self.figures.lost += jumped;
            watch.last = seq;
        } else if watch.missing > 0 && seq != watch.last {
            // Without a list of what is missing, a repetition may pass for a late arrival here.
            watch.missing -= 1;
            self.figures.lost -= 1;
            self.figures.disordered += 1;
        } else {
            self.figures.doubled += 1;
        }
    }

    fn delivered(&mut self, connection: usize, mark: Mark) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(mark.slot as usize) else { return };
        if slot.turn != mark.turn || slot.deliveries_left == 0 {
            return;
        }
        slot.deliveries_left -= 1;
        self.figures.deliveries += 1;
        if slot.sender != connection {
            self.figures.delivery.record(now.saturating_sub(slot.sent));
        }
        self.free_if_done(mark.slot);
    }

    fn acknowledged(&mut self, request: &[u8], position: &[u8]) {
        let now = self.now();
        let Some((slot, number)) = self.of_request(request) else { return };
        let (sent, room) = (slot.sent, slot.room as usize);
        slot.acknowledged = true;
        self.figures.accepted += 1;
        self.figures.ack.record(now.saturating_sub(sent));
        if let Some(room) = self.rooms.get_mut(room) {
            room.accepted += 1;
        }
        self.further(position);
        self.free_if_done(number);
    }

    fn further(&mut self, position: &[u8]) {
        let offset = position.iter().rposition(|byte| *byte == b'.');
        let digits = offset.and_then(|dot| position.get(dot + 1..)).unwrap_or_default();
        if let Some((offset, _)) = scan::number(digits)
            && offset > self.position.0
        {
            self.position = (offset, String::from_utf8_lossy(position).into_owned());
        }
    }

    fn refused(&mut self, request: &[u8], code: &[u8]) {
        let code = String::from_utf8_lossy(code).into_owned();
        *self.figures.errors.entry(code).or_default() += 1;
        if let Some((slot, number)) = self.of_request(request) {
            slot.acknowledged = true;
            slot.deliveries_left = 0;
            self.free_if_done(number);
        }
    }

    /// The slot of `<slot>.<turn>`, unless it has had its answer or is another turn's.
    fn of_request(&mut self, request: &[u8]) -> Option<(&mut Slot, u32)> {
        let (slot, rest) = scan::number(request)?;
        let (turn, _) = scan::number(rest.strip_prefix(b".")?)?;
        let number = u32::try_from(slot).ok()?;
        let slot = self.slots.get_mut(number as usize)?;
        (u64::from(slot.turn) == turn && !slot.acknowledged).then_some((slot, number))
    }

    fn free_if_done(&mut self, number: u32) {
        let slot = self.slots.get(number as usize);
        if slot.is_some_and(|slot| slot.acknowledged && slot.deliveries_left == 0) {
            self.free.push(number);
        }
    }

    /// Gives up on what is under way and compares the ends of each room's connections: what a
    /// connection lacks at its end is lost too.
    pub(crate) fn close_books(&mut self) -> u64 {
        let unfinished = self.under_way() as u64;
        let mut heads = vec![0; self.rooms.len()];
        for (room, way) in self.watches.iter_mut().flat_map(Watch::ways) {
            if let Some(head) = heads.get_mut(room as usize) {
                *head = way.last.max(*head);
            }
        }
        for (room, way) in self.watches.iter_mut().flat_map(Watch::ways) {
            let head = heads.get(room as usize).copied().unwrap_or_default();
            self.figures.lost += head - way.last.min(head);
            way.last = head;
        }
        unfinished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(vec!["a".to_owned(), "b".to_owned()], &[0..1, 0..1, 1..2]);
        ledger.set_window(2);
        ledger
    }

    fn event(ledger: &mut Ledger, connection: usize, seq: u64, mark: Option<Mark>) {
        let content = mark.map_or_else(String::new, |mark| mark.text(50));
        let room = if connection == 2 { "b" } else { "a" };
        let frame = format!(
            r#"{{"type":"message","payload":{{"roomId":"{room}","seq":{seq},"content":"{content}"}}}}"#
        );
        ledger.heard(connection, frame.as_bytes());
    }

    #[test]
    fn a_message_is_under_way_until_acknowledged_and_delivered_to_all() {
        let mut ledger = ledger();
        let slot = ledger.take().unwrap();
        let due = ledger.now();
        let mark = ledger.send(slot, 0, 0, due);
        event(&mut ledger, 0, 5, Some(mark));
        let ack = format!(
            r#"{{"type":"ack","requestId":"{}.{}","payload":{{"position":"m0-1.17"}}}}"#,
            mark.slot, mark.turn
        );
        ledger.heard(0, ack.as_bytes());
        assert_eq!(ledger.under_way(), 1);
        event(&mut ledger, 1, 5, Some(mark));
        assert_eq!(ledger.under_way(), 0);
        let figures = &ledger.figures;
        assert_eq!((figures.accepted, figures.deliveries), (1, 2));
        assert_eq!((figures.ack.count(), figures.delivery.count()), (1, 1));
        assert_eq!(ledger.position(), "m0-1.17");
        assert_eq!(ledger.accepted().collect::<Vec<_>>(), [("a", 1), ("b", 0)]);
        ledger.heard(0, ack.as_bytes());
        assert_eq!(ledger.figures.accepted, 1, "an acknowledgement counts once");
    }

    #[test]
    fn lost_doubled_disordered_and_foreign_seqs_are_told_apart() {
        let mut ledger = ledger();
        for seq in [3, 4, 7, 5, 7, 8] {
            event(&mut ledger, 0, seq, None);
        }
        ledger.heard(0, br#"{"type":"message","payload":{"roomId":"b","seq":1}}"#);
        event(&mut ledger, 1, 3, None);
        event(&mut ledger, 2, 9, None);
        let f = &ledger.figures;
        assert_eq!((f.lost, f.doubled, f.disordered, f.foreign), (1, 1, 1, 1));
        ledger.close_books();
        assert_eq!(ledger.figures.lost, 6, "the second connection lacks 4 to 8");
    }

    #[test]
    fn a_connection_in_several_rooms_is_checked_in_each_and_keeps_its_place() {
        let rooms = ["a", "b", "c"].map(str::to_owned).to_vec();
        let mut ledger = Ledger::new(rooms, &[0..2, 0..0]);
        assert_eq!(ledger.place(0), None);
        ledger.keep_places();
        for (room, seq, offset) in [("a", 1, 5), ("b", 9, 6), ("a", 2, 7), ("b", 9, 8), ("c", 1, 9)]
        {
            let frame = format!(
                r#"{{"type":"message","payload":{{"roomId":"{room}","seq":{seq},"position":"m0-1.{offset}"}}}}"#
            );
            ledger.heard(0, frame.as_bytes());
        }
        let f = &ledger.figures;
        assert_eq!((f.lost, f.doubled, f.foreign), (0, 1, 1));
        assert_eq!(ledger.place(0).as_deref(), Some("m0-1.9"));
        ledger.heard(1, br#"{"type":"message","payload":{"roomId":"a","seq":2}}"#);
        assert_eq!(ledger.figures.foreign, 2, "a connection in no room is to get nothing");
    }

    #[test]
    fn a_refused_message_is_counted_by_its_code_and_frees_its_slot() {
        let mut ledger = ledger();
        let slot = ledger.take().unwrap();
        let mark = ledger.send(slot, 0, 0, 0);
        let error = format!(
            r#"{{"type":"error","requestId":"{}.{}","payload":{{"code":"rate_limited"}}}}"#,
            mark.slot, mark.turn
        );
        ledger.heard(0, error.as_bytes());
        assert_eq!(ledger.under_way(), 0);
        assert_eq!(ledger.figures.errors["rate_limited"], 1);
    }
}
