//! What can be set, with the defaults.

use std::time::Duration;

use crate::framing::FrameLimits;

/// How the role behaves.
#[derive(Clone, Debug)]
pub struct RealtimeConfig {
    /// What clients may send.
    pub frames: FrameLimits,
    /// Whether clients that offer permessage-deflate get it. Events are compressed once for all.
    pub deflate: bool,
    /// Most bytes waiting for one connection; beyond it the connection is closed (4002). The
    /// events of a room with more than a quarter of it give way to a notice, and those of the
    /// largest rooms when half of it is taken.
    pub outbox_bytes_max: usize,
    /// Bytes of events that a room may send to a connection in a second; beyond it they give way
    /// to a notice a second, until a second with less.
    pub room_bytes_per_second: usize,
    /// Frames that a client may send in a second for long.
    pub frames_per_second: u16,
    /// Frames that a client may send at once after a pause.
    pub frames_burst: u16,
    /// Commands of one connection that may wait for their answer; at this many its socket is not
    /// read until half of them are answered.
    pub commands_in_flight_max: u32,
    /// How long live events are held back after `hello` for a client that may want to resume
    /// first. Its first frame ends it. Checked once a second.
    pub hold: Duration,
    /// How often a client should be heard; each is told this ± 20 %.
    pub heartbeat: Duration,
    /// After this much silence a connection is closed.
    pub silence_max: Duration,
    /// Frames that are not understood within a minute before the connection is closed (4003).
    pub bad_frames_max: u8,
    /// Refusals within a minute for asking too often before the connection is closed (4008).
    pub excess_max: u8,
    /// How long a closing connection may take.
    pub close_wait: Duration,
    /// Life of a presence key; it is renewed four times within.
    pub presence_ttl: Duration,
    /// Without a word of its person's for this long, a device is away.
    pub away_after: Duration,
    /// Changes of presence within this time become one for those who watch.
    pub presence_pause: Duration,
    /// Whoever is back within this time was not away for those who watch.
    pub offline_grace: Duration,
    /// Most members of a room in which typing is told.
    pub typing_members_max: usize,
    /// How long a newcomer waits until fan-out knows of them; later the log is read instead.
    pub presence_wait: Duration,
    /// Without a frame from fan-out for this long, the log is read.
    pub inbox_silence_max: Duration,
    /// How many may come in.
    pub door: DoorLimits,
    /// Limits of resuming.
    pub resume: ResumeLimits,
    /// Most rooms whose connected members are remembered.
    pub rooms_max: usize,
    /// Origins of pages, besides this server's own, that may connect by cookie
    /// (`https://chat.example.org`).
    pub allowed_origins: Vec<String>,
    /// Size of the kernel's send buffer per connection, in bytes of frames; with what it keeps
    /// beside them the kernel counts twice as many. It also bounds what is under way to a client,
    /// so a connection gets this much in a round trip at most. When absent the kernel lets each
    /// grow, by megabytes for a client that does not read.
    pub send_buffer_bytes: Option<usize>,
    /// Recipients from which on the writing of one batch is shared among the runtime's threads.
    pub parallel_flush: usize,
}

/// How many may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Most connections at a time; more are refused (503 `busy`), unless places are being given
    /// back.
    pub connections: usize,
    /// How long who may come in waits for such a place.
    pub place_wait: Duration,
    /// Handshakes that are worked on at the same time; others wait for their turn.
    pub handshakes_at_once: usize,
    /// How long a handshake may wait for its turn before it is refused (503 `busy`).
    pub handshake_wait: Duration,
    /// Most handshakes in a second; more are refused (503 `busy`). 0: no limit.
    pub handshakes_per_second: u32,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            connections: 1_000_000,
            place_wait: Duration::from_secs(1),
            handshakes_at_once: 256,
            handshake_wait: Duration::from_secs(5),
            handshakes_per_second: 10_000,
        }
    }
}

/// How resumes are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeLimits {
    /// How much is told in which tier, and how long a resume may wait for the read models or for
    /// this instance to reach a position.
    pub told: klatch_sync::Limits,
    /// Most resumes that are looked into at the same time.
    pub at_once: usize,
    /// Bytes after which a part of a delta is full.
    pub part_bytes: usize,
}

impl Default for RealtimeConfig {
    fn default() -> Self {
        Self {
            frames: FrameLimits::default(),
            deflate: true,
            outbox_bytes_max: 1024 * 1024,
            room_bytes_per_second: 1024 * 1024,
            frames_per_second: 100,
            frames_burst: 1_000,
            commands_in_flight_max: 64,
            hold: Duration::from_secs(1),
            heartbeat: Duration::from_secs(30),
            silence_max: Duration::from_secs(75),
            bad_frames_max: 10,
            excess_max: 10,
            close_wait: Duration::from_secs(5),
            presence_ttl: Duration::from_mins(2),
            away_after: Duration::from_mins(10),
            presence_pause: Duration::from_millis(250),
            offline_grace: Duration::from_secs(2),
            typing_members_max: 500,
            presence_wait: Duration::from_secs(2),
            inbox_silence_max: Duration::from_secs(3),
            door: DoorLimits::default(),
            resume: ResumeLimits::default(),
            rooms_max: 100_000,
            allowed_origins: Vec::new(),
            send_buffer_bytes: Some(128 * 1024),
            parallel_flush: 2_048,
        }
    }
}

impl Default for ResumeLimits {
    fn default() -> Self {
        Self { told: klatch_sync::Limits::default(), at_once: 64, part_bytes: 64 * 1024 }
    }
}
