//! The outbox against a model of what its client may rely on.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::{Epoch, Offset, Partition, Position, StreamId};
use klatch_protocol::ws::close::CloseCode;
use klatch_protocol::ws::server::frame;
use klatch_protocol::ws::subscribe::{RoomChoice, Subscription};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::entry::NOTICE_BYTES;
use super::{Concerns, LiveFrame, Outbox, Overfull, Passing, Phase, Sink, Terms};
use crate::framing::close_frame;

const CAP: usize = 16 * 1024;
const ROOMS: u128 = 5;
const ME: UserId = UserId::from_bits(77);

/// A socket that takes so many bytes and no more.
#[derive(Default)]
struct Pipe {
    room: RefCell<usize>,
    taken: RefCell<Vec<u8>>,
}

impl Sink for Pipe {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut room = self.room.borrow_mut();
        let mut count = 0;
        for slice in slices {
            assert!(!slice.is_empty(), "an empty frame");
            let part = slice.len().min(*room);
            self.taken.borrow_mut().extend_from_slice(&slice[..part]);
            *room -= part;
            count += part;
        }
        if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    fn flush(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn has_unsent(&self) -> bool {
        false
    }
}

#[derive(Clone, Debug)]
enum Op {
    Event { room: u128, bytes: usize, loud: bool, concerns: Concerns, direct: bool },
    Run { room: u128, bytes: usize, count: usize },
    Answer(usize),
    Passing(u128, bool),
    Choose(Option<Vec<u128>>),
    Read(usize),
    Release(u64),
    Tick,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let concerns = prop_oneof![
        8 => Just(Concerns::Nobody),
        1 => Just(Concerns::User(ME)),
        1 => Just(Concerns::User(UserId::from_bits(1))),
        1 => Just(Concerns::All),
    ];
    let bytes = prop_oneof![8 => 200..600_usize, 1 => 1_000..6_000_usize];
    let event = (0..ROOMS, bytes, prop::bool::weighted(0.1), concerns, any::<bool>()).prop_map(
        |(room, bytes, loud, concerns, direct)| Op::Event { room, bytes, loud, concerns, direct },
    );
    let rooms = prop::option::of(prop::collection::vec(0..ROOMS, 0..3));
    let run = (0..ROOMS, 200..600_usize, 1..20_usize).prop_map(|(room, bytes, count)| Op::Run {
        room,
        bytes,
        count,
    });
    let op = prop_oneof![
        20 => event,
        3 => run,
        2 => (100..900_usize).prop_map(Op::Answer),
        2 => (0..4_u128, any::<bool>()).prop_map(|(who, types)| Op::Passing(who, types)),
        1 => rooms.prop_map(Op::Choose),
        5 => prop_oneof![0..500_usize, 0..20_000_usize].prop_map(Op::Read),
        1 => (0..20_u64).prop_map(Op::Release),
        2 => Just(Op::Tick),
    ];
    prop::collection::vec(op, 0..200)
}

/// An outbox, its socket, and what was put in.
struct Bench {
    outbox: Outbox,
    pipe: Pipe,
    tick: u32,
    /// Room, seq and offset of every event, in log order.
    events: Vec<(RoomId, u64, u64)>,
    /// Events up to here were seen elsewhere.
    seen_to: u64,
    /// The newest of each kind that passes.
    newest: HashMap<Passing, u64>,
    closed: bool,
}

impl Bench {
    fn new() -> Self {
        let mut outbox = Outbox::new();
        outbox.open(text(&json!({"type": "hello"}), 0), vec![position(0)], 0);
        Self {
            outbox,
            pipe: Pipe::default(),
            tick: 0,
            events: Vec::new(),
            seen_to: 0,
            newest: HashMap::new(),
            closed: false,
        }
    }

    /// One that is live, with nothing waiting.
    fn live() -> Self {
        let mut bench = Self::new();
        bench.carry_out(Op::Release(0));
        bench.carry_out(Op::Read(1_000));
        *bench.pipe.room.borrow_mut() = 0;
        bench
    }

    fn carry_out(&mut self, op: Op) {
        let done = match op {
            Op::Event { room, bytes, loud, concerns, direct } => {
                let live = self.say(room, bytes, loud, concerns);
                if direct { self.write(&[live]) } else { self.queue(&live) }
            }
            Op::Run { room, bytes, count } => {
                let say = |_| self.say(room, bytes, false, Concerns::Nobody);
                let run: Vec<LiveFrame> = (0..count).map(say).collect();
                self.write(&run)
            }
            Op::Answer(bytes) => self.outbox.push(text(&json!({"type": "pong"}), bytes), CAP),
            Op::Passing(who, types) => self.passing(who, types),
            Op::Choose(rooms) => {
                let only = |rooms: Vec<u128>| rooms.into_iter().map(room_id).collect();
                let rooms = rooms.map(|rooms| RoomChoice::Only(only(rooms)));
                let choice = rooms.map(|rooms| Subscription { rooms, ..Subscription::default() });
                let answer = text(&json!({"type": "ack"}), 0);
                self.outbox.choose(choice.map(Arc::new), answer, CAP)
            }
            Op::Read(bytes) => {
                *self.pipe.room.borrow_mut() += bytes;
                self.flush();
                Ok(())
            }
            Op::Release(seen) => {
                if self.outbox.held().is_some() {
                    self.seen_to = seen;
                }
                self.outbox.release(|position| position.offset.0 <= seen);
                Ok(())
            }
            Op::Tick => {
                self.tick += 1;
                self.outbox.take_collapsed();
                self.outbox.tell_noted(self.tick, CAP).map(|_| ())
            }
        };
        if done == Err(Overfull) && !self.closed {
            self.closed = true;
            let frame = close_frame(CloseCode::SlowConsumer, "slow");
            assert!(self.outbox.close(frame, true, self.tick));
        }
        let waiting = self.outbox.waiting_bytes();
        assert!(waiting <= CAP + 200, "{waiting} bytes wait");
    }

    /// The next event of a room.
    fn say(&mut self, room: u128, bytes: usize, loud: bool, concerns: Concerns) -> LiveFrame {
        let room = room_id(room);
        let seq = self.events.iter().filter(|(other, ..)| *other == room).count() as u64 + 1;
        let offset = self.events.len() as u64 + 1;
        self.events.push((room, seq, offset));
        let payload = json!({"roomId": room.to_string(), "seq": seq, "offset": offset});
        let frame = text(&json!({"type": "message", "payload": payload}), bytes);
        let (position, seq) = (position(offset), Seq(seq));
        LiveFrame { position, room, seq, frame, concerns, loud }
    }

    fn queue(&mut self, live: &LiveFrame) -> Result<(), Overfull> {
        let on = Terms { user: &ME, cap: CAP, tick: self.tick };
        if self.outbox.push_live(live, on)? {
            self.flush();
        }
        Ok(())
    }

    fn write(&mut self, run: &[LiveFrame]) -> Result<(), Overfull> {
        let on = Terms { user: &ME, cap: CAP, tick: self.tick };
        let bytes: Vec<u8> = run.iter().flat_map(|live| live.frame.iter().copied()).collect();
        match self.outbox.write_run(&Bytes::from(bytes), run, on, &self.pipe) {
            Ok(_) => Ok(()),
            Err(super::NotWritten::Overfull) => Err(Overfull),
            Err(super::NotWritten::Ended) => panic!("the pipe does not end"),
        }
    }

    fn passing(&mut self, who: u128, types: bool) -> Result<(), Overfull> {
        let user = UserId::from_bits(who);
        let what = if types { Passing::Typing(room_id(1), user) } else { Passing::Presence(user) };
        let number = self.newest.get(&what).copied().unwrap_or(0) + 1;
        let payload = json!({"who": who.to_string(), "typing": types, "number": number});
        let frame = text(&json!({"type": "passing", "payload": payload}), 0);
        let pushed = self.outbox.push_passing(what, frame, CAP).map(|_| ());
        if self.outbox.phase() == Phase::Open {
            self.newest.insert(what, number);
        }
        pushed
    }

    fn flush(&mut self) {
        self.outbox.flush(&self.pipe).unwrap();
    }

    /// Everything goes out that is there or will be.
    fn drain(&mut self) {
        *self.pipe.room.borrow_mut() = usize::MAX / 2;
        self.outbox.release(|_| false);
        for _ in 0..4 {
            self.carry_out(Op::Tick);
            self.flush();
        }
        assert_eq!(self.outbox.waiting_bytes(), 0);
    }

    /// The frames that came out; `None` is the close frame.
    fn frames(&self) -> Vec<Option<Value>> {
        let taken = self.pipe.taken.borrow();
        let (mut at, mut frames) = (0, Vec::new());
        while at < taken.len() {
            let (header, length) = match taken[at + 1] {
                126 => (4, usize::from(u16::from_be_bytes([taken[at + 2], taken[at + 3]]))),
                127 => panic!("no frame is that long"),
                short => (2, usize::from(short)),
            };
            let payload = &taken[at + header..at + header + length];
            let is_text = taken[at] == 0x81;
            frames.push(is_text.then(|| serde_json::from_slice(payload).unwrap()));
            at += header + length;
        }
        frames
    }
}

fn room_id(n: u128) -> RoomId {
    RoomId::from_bits(0x0192_f7a0_5c3e_7abc_8def_0000_0000_0000 + n)
}

fn position(offset: u64) -> Position {
    let (stream, partition) = (StreamId::Messages, Partition(0));
    Position { stream, partition, epoch: Epoch(1), offset: Offset(offset) }
}

fn text(value: &Value, bytes: usize) -> Bytes {
    let mut json = value.to_string().into_bytes();
    json.resize(json.len().max(bytes), b' ');
    frame(&json)
}

/// What a client that reads the frames in order knows.
#[derive(Default)]
struct Reader {
    /// Newest seq of each room that came whole or was told.
    known: HashMap<RoomId, u64>,
    /// Rooms of which the last word was a notice.
    noticed: HashSet<RoomId>,
    passing: HashMap<Passing, u64>,
}

impl Reader {
    fn read(&mut self, bench: &Bench) {
        for frame in bench.frames() {
            let Some(frame) = frame else { continue };
            let payload = &frame["payload"];
            match frame["type"].as_str().unwrap() {
                "message" => self.event(bench, payload),
                "room" => self.notice(bench, payload),
                "passing" => self.pass(payload),
                _ => {}
            }
        }
    }

    fn event(&mut self, bench: &Bench, payload: &Value) {
        let room: RoomId = payload["roomId"].as_str().unwrap().parse().unwrap();
        let (seq, offset) = (payload["seq"].as_u64().unwrap(), payload["offset"].as_u64().unwrap());
        // Everything before, of all rooms, has come, was told, or may be missing by the rule.
        let before = bench.events.iter().filter(|(.., at)| bench.seen_to < *at && *at < offset);
        for (other, missed, _) in before {
            let known = self.known.get(other).copied().unwrap_or(0);
            let is_excused = *other != room && self.noticed.contains(other);
            assert!(known >= *missed || is_excused, "{other} {missed} was skipped silently");
        }
        let known = self.known.insert(room, seq).unwrap_or(0);
        assert!(known < seq, "{room}: {seq} after {known}");
        self.noticed.remove(&room);
    }

    fn notice(&mut self, bench: &Bench, payload: &Value) {
        let room: RoomId = payload["roomId"].as_str().unwrap().parse().unwrap();
        let head = payload["headSeq"].as_u64().unwrap();
        let at: Position = payload["headPosition"].as_str().unwrap().parse().unwrap();
        assert!(bench.events.contains(&(room, head, at.offset.0)), "{payload}");
        let known = self.known.insert(room, head).unwrap_or(0);
        assert!(known < head, "a notice of {head} after {known}");
        self.noticed.insert(room);
    }

    fn pass(&mut self, payload: &Value) {
        let user = UserId::from_bits(payload["who"].as_str().unwrap().parse().unwrap());
        let what = if payload["typing"] == true {
            Passing::Typing(room_id(1), user)
        } else {
            Passing::Presence(user)
        };
        let number = payload["number"].as_u64().unwrap();
        let older = self.passing.insert(what, number).unwrap_or(0);
        assert!(older < number, "{number} after {older}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_reader_knows_every_rooms_head_and_is_told_of_every_hole(ops in ops()) {
        let mut bench = Bench::new();
        for op in ops {
            bench.carry_out(op);
        }
        bench.drain();
        let mut reader = Reader::default();
        reader.read(&bench);
        let closes = bench.frames().iter().position(Option::is_none);
        if bench.closed {
            prop_assert_eq!(closes, Some(bench.frames().len() - 1), "nothing follows the close");
            return Ok(());
        }
        prop_assert_eq!(closes, None);
        for (room, seq, offset) in &bench.events {
            let known = reader.known.get(room).copied().unwrap_or(0);
            prop_assert!(known >= *seq || *offset <= bench.seen_to, "{} ends at {}", room, known);
        }
        for (what, number) in &bench.newest {
            let seen = reader.passing.get(what);
            prop_assert!(matches!(what, Passing::Typing(..)) || seen == Some(number), "{:?}", what);
        }
        bench.carry_out(Op::Choose(None));
        bench.flush();
        prop_assert!(bench.outbox.extra.is_none(), "no memory is kept: {:?}", bench.outbox.extra);
    }
}

fn event(room: u128, bytes: usize) -> Op {
    Op::Event { room, bytes, loud: false, concerns: Concerns::Nobody, direct: false }
}

fn seen(bench: &Bench) -> Vec<(u64, &'static str)> {
    let frames = bench.frames().into_iter().flatten();
    let seen = frames.filter_map(|frame| {
        let payload = &frame["payload"];
        let body = payload["seq"].as_u64().map(|seq| (seq, "body"));
        body.or_else(|| payload["headSeq"].as_u64().map(|head| (head, "notice")))
    });
    seen.collect()
}

#[test]
fn a_room_beyond_a_quarter_gives_way_to_one_notice_and_another_does_not() {
    let mut bench = Bench::live();
    bench.carry_out(event(2, 500));
    for _ in 0..1_000 {
        bench.carry_out(event(1, 500));
    }
    bench.carry_out(event(2, 500));
    assert!(bench.outbox.waiting_bytes() < CAP / 4 + NOTICE_BYTES + 600);
    bench.drain();
    bench.carry_out(event(1, 500));
    bench.drain();
    assert_eq!(
        seen(&bench),
        [(1, "body"), (1_000, "notice"), (2, "body"), (1_001, "body")],
        "then events come whole again"
    );
}

#[test]
fn the_largest_rooms_give_way_when_half_is_taken() {
    let mut bench = Bench::live();
    for n in 0..200 {
        bench.carry_out(event(n % 4, 200));
        assert!(bench.outbox.waiting_bytes() <= CAP / 2 + CAP / 16 + 200);
    }
    assert!(!bench.closed);
}

#[test]
fn too_much_for_one_connection_alone_closes_it() {
    let mut bench = Bench::live();
    for _ in 0..=CAP / 500 {
        assert!(!bench.closed);
        bench.carry_out(Op::Answer(500));
    }
    assert!(bench.closed);
}

#[test]
fn a_room_left_out_tells_at_most_once_a_second_the_newest() {
    let mut bench = Bench::live();
    *bench.pipe.room.borrow_mut() = usize::MAX / 2;
    bench.carry_out(Op::Choose(Some(vec![1])));
    for _ in 0..50 {
        bench.carry_out(event(1, 100));
        for _ in 0..10 {
            bench.carry_out(event(2, 100));
        }
        bench.flush();
    }
    let notices = |bench: &Bench| {
        let frames = bench.frames().into_iter().flatten();
        let told = frames.filter_map(|frame| frame["payload"]["headSeq"].as_u64());
        told.collect::<Vec<_>>()
    };
    assert_eq!(notices(&bench), [10], "the first at once, with what came until it was written");
    bench.carry_out(Op::Tick);
    bench.flush();
    assert_eq!(notices(&bench), [10], "a second is not over");
    bench.carry_out(Op::Tick);
    bench.flush();
    assert_eq!(notices(&bench), [10, 500]);
    for _ in 0..9 {
        bench.carry_out(Op::Tick);
    }
    bench.flush();
    assert_eq!(notices(&bench), [10, 500], "nothing new, nothing told");
}

#[test]
fn ones_own_coming_and_going_come_whole_from_rooms_left_out() {
    let mut bench = Bench::live();
    bench.carry_out(Op::Choose(Some(Vec::new())));
    let own =
        Op::Event { room: 1, bytes: 100, loud: false, concerns: Concerns::User(ME), direct: false };
    for op in [event(1, 100), own, event(1, 100)] {
        bench.carry_out(op);
    }
    bench.drain();
    assert_eq!(seen(&bench), [(1, "notice"), (2, "body"), (3, "notice")]);
}

#[test]
fn what_passes_waits_for_the_queue_and_the_newest_goes() {
    let mut bench = Bench::live();
    bench.carry_out(event(1, 500));
    for _ in 0..1_000 {
        bench.carry_out(Op::Passing(1, false));
        bench.carry_out(Op::Passing(2, true));
    }
    assert!(bench.outbox.waiting_bytes() < 1_000);
    bench.drain();
    let frames: Vec<Value> = bench.frames().into_iter().flatten().collect();
    let passing = frames.iter().filter(|frame| frame["type"] == "passing");
    let numbers: Vec<_> = passing.map(|frame| frame["payload"]["number"].as_u64()).collect();
    assert_eq!(numbers, [Some(1_000), Some(1_000)]);
}
