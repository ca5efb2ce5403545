//! What a bench is asked to do.

use std::ffi::OsString;
use std::str::FromStr;

use crate::child::Children;
use crate::server::Target;

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// The bare epoll writer alone: what the machine can do.
    Baseline,
    /// One large room: eight messages at once, eight under way, then a few a second.
    Fanout,
    /// Many rooms of ten members, 64 messages under way.
    Rooms,
    /// The same rooms at half of the rate just reached, by a fixed schedule.
    Half,
    /// The same rooms by schedule, silent, and with everyone telling what arrived.
    Acks,
    /// Rooms of two, 256 messages under way over 32 senders, then half of the rate reached.
    Pairs,
    /// Connections that do nothing: memory of each, and what stays when they have left.
    Idle,
    /// Idle connections and the large room, through TLS.
    Tls,
    /// The latest 50 of rooms, read again and again, and read for the first time.
    History,
    /// A thousand readers of one room's latest 50.
    Readers,
    /// One large room in which some never read, beside the same room in which all do.
    Slow,
    /// All connections cut at once, and their way back, beside bare handshakes.
    Storm,
    /// Many who sign in at once beside a room that goes on talking.
    Logins,
    /// Someone in very many rooms beside someone in few.
    ManyRooms,
    /// One very large room of whom few are online.
    Million,
}

impl Workload {
    /// All of them, in the order of a full bench.
    pub const ALL: [Self; 15] = [
        Self::Baseline,
        Self::Fanout,
        Self::Rooms,
        Self::Half,
        Self::Acks,
        Self::Pairs,
        Self::Idle,
        Self::Tls,
        Self::History,
        Self::Readers,
        Self::Slow,
        Self::Storm,
        Self::Logins,
        Self::ManyRooms,
        Self::Million,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Fanout => "fanout",
            Self::Rooms => "rooms",
            Self::Half => "half",
            Self::Acks => "acks",
            Self::Pairs => "pairs",
            Self::Idle => "idle",
            Self::Tls => "tls",
            Self::History => "history",
            Self::Readers => "readers",
            Self::Slow => "slow",
            Self::Storm => "storm",
            Self::Logins => "logins",
            Self::ManyRooms => "manyrooms",
            Self::Million => "million",
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|workload| workload.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no workload is called {text}; there are {names}")
        })
    }
}

/// How large the workloads are.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// Bytes of each text.
    pub text_bytes: usize,
    /// Members of the large room.
    pub subscribers: u32,
    /// Stretches of each kind in it.
    pub fanout_turns: u32,
    /// Rooms of ten.
    pub rooms: u32,
    /// Members of each of them.
    pub members: u32,
    /// Messages under way in them.
    pub rooms_window: u32,
    /// Pairs of stretches in them without and with word of what arrived.
    pub ack_pairs: u32,
    /// Rooms of two, each with one sender.
    pub senders: u32,
    /// Messages under way in them.
    pub pairs_window: u32,
    /// Idle connections, in rooms of `members`.
    pub idle: u32,
    /// Idle connections through TLS, in rooms of `members`.
    pub tls: u32,
    /// Messages stored.
    pub history_messages: u32,
    /// Rooms they are in.
    pub history_rooms: u32,
    /// Readers at a time.
    pub readers: u32,
    /// Readers of one room at a time.
    pub hot_readers: u32,
    /// Bytes of each text to a room in which some never read.
    pub slow_text_bytes: usize,
    /// Times three stretches: all read, all read again, some never read.
    pub slow_turns: usize,
    /// Connections that are cut.
    pub storm: u32,
    /// Rooms that talk while others sign in.
    pub login_rooms: u32,
    /// Clients that sign in again and again.
    pub login_clients: u32,
    /// Pairs of stretches without and with them.
    pub login_pairs: u32,
    /// Rooms of someone in many.
    pub many_rooms: u32,
    /// Rooms of someone in few.
    pub few_rooms: u32,
    /// Rounds of either.
    pub many_rounds: u32,
    /// Members of the very large room.
    pub crowd: u32,
    /// Of whom so many are online.
    pub crowd_online: u32,
}

impl Default for Sizes {
    /// The sizes of the published figures.
    fn default() -> Self {
        Self {
            text_bytes: 200,
            subscribers: 1000,
            fanout_turns: 9,
            rooms: 500,
            members: 10,
            rooms_window: 64,
            ack_pairs: 6,
            senders: 32,
            pairs_window: 256,
            idle: 10_000,
            tls: 5_000,
            history_messages: 1_000_000,
            history_rooms: 10_000,
            readers: 8,
            hot_readers: 1_000,
            slow_text_bytes: 2_000,
            slow_turns: 11,
            storm: 5_000,
            login_rooms: 20,
            login_clients: 32,
            login_pairs: 11,
            many_rooms: 100_000,
            few_rooms: 100,
            many_rounds: 31,
            crowd: 100_000,
            crowd_online: 5_000,
        }
    }
}

impl Sizes {
    /// As large as the targets say, and as a process's files allow: minutes more.
    pub fn full() -> Self {
        Self {
            idle: 18_000,
            tls: 18_000,
            storm: 15_000,
            // The administrator who imports the room is in it, too, and a million is the most.
            crowd: 999_999,
            crowd_online: 10_000,
            ..Self::default()
        }
    }

    /// Enough to see that everything works.
    pub fn small() -> Self {
        Self {
            subscribers: 50,
            fanout_turns: 2,
            rooms: 10,
            senders: 4,
            pairs_window: 16,
            rooms_window: 8,
            ack_pairs: 2,
            idle: 100,
            tls: 100,
            history_messages: 6_000,
            history_rooms: 100,
            readers: 2,
            hot_readers: 20,
            slow_turns: 1,
            storm: 200,
            login_rooms: 2,
            login_clients: 8,
            login_pairs: 1,
            many_rooms: 500,
            few_rooms: 10,
            many_rounds: 1,
            crowd: 500,
            crowd_online: 50,
            ..Self::default()
        }
    }

    /// The most connections open at a time.
    pub(crate) fn connections(&self) -> u64 {
        [
            self.rooms * self.members,
            2 * self.subscribers,
            2 * self.senders,
            self.idle,
            self.tls,
            self.hot_readers,
            self.storm,
            self.crowd_online,
        ]
        .into_iter()
        .map(u64::from)
        .max()
        .unwrap_or_default()
    }
}

/// Processors for the server and for the load.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Where servers and bare writers run.
    pub server: Vec<usize>,
    /// Where this process runs.
    pub load: Vec<usize>,
}

/// A whole bench.
#[derive(Clone, Debug)]
pub struct Args {
    /// What to run, in this order.
    pub workloads: Vec<Workload>,
    /// Against what.
    pub target: Target,
    /// A command that calls [`crate::baseline_server`]; without one there is no bare writer and
    /// no comparison with it.
    pub baseline_argv: Option<Vec<OsString>>,
    /// How large.
    pub sizes: Sizes,
    /// How often, in turns.
    pub repetitions: u32,
    /// How long each measured stretch sends.
    pub seconds: f64,
    /// Whether to keep server and load apart.
    pub pin: Option<Pin>,
    /// The time now.
    pub unix_seconds: u64,
    /// Anything random: makes the issuer's secret.
    pub nonce: u64,
    /// How the bench was called, for the report.
    pub command_line: String,
    /// What an acknowledgement is worth, if the server does not say it.
    pub durability: Option<String>,
    /// Those that it starts; to end them ends the run.
    pub children: Children,
}
