//! A log with a bit of everything in it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use klatch_domain::event::{
    Change, MessageSent, RoomCreated, TimelineEvent, UserChange, UserEvent,
};
use klatch_domain::member::MemberRole;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{
    ContentType, Entropy, Event, MessageId, Ordinal, RoomId, Sealed, Seq, Timestamp, UserId,
};
use klatch_embedded::log::{EmbeddedLog, LogConfig};
use klatch_embedded::stores::{ReadModel, Stores};
use klatch_ports::log::{Append, EventAppender as _, Expected};
use klatch_ports::{Offset, StreamId};
use klatch_protocol::event;
use klatch_retention::{Pace, fold, run};
use klatch_testkit::{ManualClock, SeededEntropy};
use smallvec::smallvec;

use super::super::{DataArgs, offline};
use crate::cli::ConfigArgs;

const USERS: u64 = 12;
const ROOMS: u64 = 9;

/// Numbers that repeat with the seed.
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// A number below `sides`.
    pub(crate) fn throw(&self, sides: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % sides
    }
}

struct Room {
    seq: u64,
    ordinal: u64,
    inside: Vec<bool>,
    messages: Vec<MessageId>,
}

/// Opens the log in `dir`, or begins one.
pub(crate) fn open(dir: &Path) -> Arc<EmbeddedLog> {
    std::fs::create_dir_all(dir.join("log")).unwrap();
    if !dir.join("log/epoch").is_file() {
        let disk = klatch_embedded::disk::RealDisk::open(dir).unwrap();
        klatch_embedded::log::bump_epoch(&disk, &SeededEntropy::new(1)).unwrap();
    }
    let config = crate::config::Config::default();
    offline::open_log(&config, dir).unwrap()
}

/// As [`open`], with segments so small that the story fills many.
pub(crate) fn open_small(dir: &Path, clock: &ManualClock) -> Arc<EmbeddedLog> {
    std::fs::create_dir_all(dir).unwrap();
    let disk = klatch_embedded::disk::RealDisk::open(dir).unwrap();
    let config = LogConfig {
        segment_bytes: 16 * 1024,
        batch_bytes: 4 * 1024,
        fill_bytes_min: 4 * 1024,
        fill_bytes_max: 16 * 1024,
        reserve_bytes: 0,
        ..LogConfig::default()
    };
    let clock = Arc::new(clock.clone());
    EmbeddedLog::open(Arc::new(disk), config, clock, &SeededEntropy::new(1)).unwrap()
}

/// Folds the log into the read models in `dir` up to `to`.
pub(crate) fn follow(log: &Arc<EmbeddedLog>, stores: &Stores, to: Offset) {
    for model in ReadModel::ALL {
        fold(log, (stores, model), to, &mut Pace::full(), &mut |_| {}).unwrap();
    }
}

/// What a command gets that works on `dir`.
pub(crate) fn data(dir: &Path) -> DataArgs {
    DataArgs { config: ConfigArgs { config: None }, data_dir: Some(dir.to_owned()) }
}

/// Appends some thousand events of all kinds.
pub(crate) fn tell(log: &EmbeddedLog, events: u64) {
    let dice = Dice::new(7);
    let user = |n: u64| UserId::from_bits(0x100 + u128::from(n));
    let room = |n: u64| RoomId::from_bits(0x900 + u128::from(n));
    let mut now = 1_700_000_000_000;
    let mut told = Vec::new();
    // Not in the order of their ids, so that numbers do not come out right by luck.
    for n in (0..USERS).rev() {
        let profile = Sealed { person: user(n), bytes: Bytes::from(format!("profile {n}")) };
        let external = (n % 3 == 0).then_some(u128::from(n) + 77);
        let change =
            UserChange::Registered { profile, bot: false, role: ServerRole::Member, external };
        told.push(Event::User(UserEvent { user: user(n), at: Timestamp(now), change }));
    }
    let mut rooms = Vec::new();
    for n in (0..ROOMS).rev() {
        let members = vec![(user(n % USERS), MemberRole::Owner)];
        let created = RoomCreated {
            kind: RoomType::Channel,
            visibility: if n % 2 == 0 { Visibility::Public } else { Visibility::Private },
            texts: RoomTexts { name: Some(format!("room {n}")), ..RoomTexts::default() },
            members,
            external: Some(u128::from(n) + 7_000),
        };
        let mut inside = vec![false; usize::try_from(USERS).unwrap()];
        inside[usize::try_from(n % USERS).unwrap()] = true;
        rooms.push((n, Room { seq: 0, ordinal: 0, inside, messages: Vec::new() }));
        let (_, made) = rooms.last_mut().unwrap();
        told.push(made.event(room(n), user(n % USERS), now, Change::RoomCreated(created)));
    }
    for _ in 0..events {
        now += dice.throw(2_000);
        let at = usize::try_from(dice.throw(ROOMS)).unwrap();
        let (n, here) = &mut rooms[at];
        let who = dice.throw(USERS);
        told.push(here.step(room(*n), user(who), now, &dice));
    }
    let appends = told.iter().map(|event| {
        let stream = match event {
            Event::Timeline(_) => StreamId::Messages,
            Event::User(_) => StreamId::Meta,
        };
        let records = smallvec![event::encode(event)];
        Append { stream, key: event::key(event), expected: Expected::Any, records }
    });
    run(async {
        for outcome in futures::future::join_all(appends.map(|append| log.append(append))).await {
            outcome.unwrap();
        }
    })
    .unwrap();
}

impl Room {
    fn event(&mut self, room: RoomId, actor: UserId, now: u64, change: Change) -> Event {
        self.seq += 1;
        let (seq, at) = (Seq(self.seq), Timestamp(now));
        Event::Timeline(TimelineEvent { room, seq, at, actor, change })
    }

    fn step(&mut self, room: RoomId, user: UserId, now: u64, dice: &Dice) -> Event {
        let body = |n: u64| Sealed { person: user, bytes: Bytes::from(format!("words {n}")) };
        let any = self.messages.get(usize::try_from(dice.throw(40)).unwrap()).copied();
        let change = match (dice.throw(10), any) {
            (0 | 1, _) => self.come_or_go(user),
            (2, Some(message)) => Change::MessageEdited { message, body: body(now) },
            (3, Some(message)) => Change::MessageDeleted { message },
            (4, _) => {
                let texts = RoomTexts { topic: Some(now.to_string()), ..RoomTexts::default() };
                Change::RoomUpdated { texts, visibility: Visibility::Public }
            }
            _ => {
                let id = MessageId::new(room, Seq(self.seq + 1), Timestamp(now));
                let main = dice.throw(7) > 0;
                self.ordinal += u64::from(main);
                self.messages.push(id);
                Change::MessageSent(MessageSent {
                    id,
                    ordinal: main.then_some(Ordinal(self.ordinal)),
                    content_type: ContentType::Text,
                    body: body(self.seq),
                    key: None,
                    external: (dice.throw(5) == 0).then_some(id.bits()),
                    reply_to: None,
                    thread: any.filter(|_| !main),
                })
            }
        };
        self.event(room, user, now, change)
    }

    fn come_or_go(&mut self, user: UserId) -> Change {
        let index = usize::try_from(user.bits() - 0x100).unwrap();
        let inside = self.inside[index];
        self.inside[index] = !inside;
        if inside {
            Change::MemberLeft { user }
        } else {
            let read_floor = Ordinal(self.ordinal);
            Change::MemberJoined { user, role: MemberRole::Member, read_floor }
        }
    }
}
