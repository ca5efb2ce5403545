//! Counts for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use klatch_protocol::ws::close::CloseCode;

/// Counts since the start, and sizes as of the last second.
#[derive(Debug, Default)]
pub struct Stats {
    connections: AtomicU64,
    users: AtomicU64,
    rooms: AtomicU64,
    users_bytes: AtomicU64,
    rooms_bytes: AtomicU64,
    queued_bytes: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    frames_in: AtomicU64,
    deliveries: AtomicU64,
    events: AtomicU64,
    events_packed: AtomicU64,
    gaps: AtomicU64,
    repaired: AtomicU64,
    frames_dropped: AtomicU64,
    replays: AtomicU64,
    deltas: AtomicU64,
    snapshots: AtomicU64,
    watched: AtomicU64,
    looked_up: AtomicU64,
    presence_told: AtomicU64,
    typing_told: AtomicU64,
    typing_dropped: AtomicU64,
    closed_slow: AtomicU64,
    closed_expired: AtomicU64,
    closed_revoked: AtomicU64,
    closed_protocol: AtomicU64,
    collapsed: AtomicU64,
    loud: AtomicU64,
    rate_limited: AtomicU64,
}

/// Counts at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Open connections.
    pub connections: u64,
    /// Users with an open connection here.
    pub users: u64,
    /// Rooms whose connected members are remembered.
    pub rooms: u64,
    /// About how many bytes the hub takes for users, as of some seconds ago.
    pub users_bytes: u64,
    /// About how many bytes the hub takes for rooms, as of some seconds ago.
    pub rooms_bytes: u64,
    /// Bytes that wait for slow connections, as of the last second.
    pub queued_bytes: u64,
    /// Upgrades granted.
    pub accepted: u64,
    /// Upgrades refused.
    pub refused: u64,
    /// Text frames from clients.
    pub frames_in: u64,
    /// Events handed to connections, each recipient counted.
    pub deliveries: u64,
    /// Events looked at.
    pub events: u64,
    /// Events that were compressed, once for all their recipients.
    pub events_packed: u64,
    /// Times the chain from fan-out was broken, silent or not to be trusted, and the log was read.
    pub gaps: u64,
    /// Records read from the log for that.
    pub repaired: u64,
    /// Frames from fan-out that were no use: repeated, of an old owner, not readable.
    pub frames_dropped: u64,
    /// Resumes answered by replay.
    pub replays: u64,
    /// Resumes answered by delta.
    pub deltas: u64,
    /// Resumes answered by snapshot or refusal.
    pub snapshots: u64,
    /// People whose presence someone here watches.
    pub watched: u64,
    /// People whose presence was looked up for those who watch them.
    pub looked_up: u64,
    /// Presence frames handed to connections.
    pub presence_told: u64,
    /// Typing frames handed to connections.
    pub typing_told: u64,
    /// Typing that was not told: the room is too large, or something more important was waiting.
    pub typing_dropped: u64,
    /// Connections closed because they did not read.
    pub closed_slow: u64,
    /// Connections closed because their token ended.
    pub closed_expired: u64,
    /// Connections closed because their session was ended.
    pub closed_revoked: u64,
    /// Connections closed because of what they sent.
    pub closed_protocol: u64,
    /// Times that the events of a room gave way to a notice because a client lagged.
    pub collapsed: u64,
    /// Events that were told by notices only, because their room said too much.
    pub loud: u64,
    /// Frames from clients that were refused as too many.
    pub rate_limited: u64,
}

fn add(count: &AtomicU64, by: usize) {
    count.fetch_add(by as u64, Ordering::Relaxed);
}

impl Stats {
    /// The counts now.
    pub fn snapshot(&self) -> StatsSnapshot {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StatsSnapshot {
            connections: load(&self.connections),
            users: load(&self.users),
            rooms: load(&self.rooms),
            users_bytes: load(&self.users_bytes),
            rooms_bytes: load(&self.rooms_bytes),
            queued_bytes: load(&self.queued_bytes),
            accepted: load(&self.accepted),
            refused: load(&self.refused),
            frames_in: load(&self.frames_in),
            deliveries: load(&self.deliveries),
            events: load(&self.events),
            events_packed: load(&self.events_packed),
            gaps: load(&self.gaps),
            repaired: load(&self.repaired),
            frames_dropped: load(&self.frames_dropped),
            replays: load(&self.replays),
            deltas: load(&self.deltas),
            snapshots: load(&self.snapshots),
            watched: load(&self.watched),
            looked_up: load(&self.looked_up),
            presence_told: load(&self.presence_told),
            typing_told: load(&self.typing_told),
            typing_dropped: load(&self.typing_dropped),
            closed_slow: load(&self.closed_slow),
            closed_expired: load(&self.closed_expired),
            closed_revoked: load(&self.closed_revoked),
            closed_protocol: load(&self.closed_protocol),
            collapsed: load(&self.collapsed),
            loud: load(&self.loud),
            rate_limited: load(&self.rate_limited),
        }
    }

    pub(crate) fn swept(&self, connections: usize, queued_bytes: usize) {
        self.connections.store(connections as u64, Ordering::Relaxed);
        self.queued_bytes.store(queued_bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn hub(&self, users: usize, rooms: usize) {
        self.users.store(users as u64, Ordering::Relaxed);
        self.rooms.store(rooms as u64, Ordering::Relaxed);
    }

    pub(crate) fn hub_bytes(&self, users: usize, rooms: usize) {
        self.users_bytes.store(users as u64, Ordering::Relaxed);
        self.rooms_bytes.store(rooms as u64, Ordering::Relaxed);
    }

    pub(crate) fn upgrade(&self, granted: bool) {
        add(if granted { &self.accepted } else { &self.refused }, 1);
    }

    pub(crate) fn frame_in(&self) {
        add(&self.frames_in, 1);
    }

    pub(crate) fn delivered(&self, events: usize, deliveries: usize) {
        add(&self.events, events);
        add(&self.deliveries, deliveries);
    }

    pub(crate) fn packed(&self) {
        add(&self.events_packed, 1);
    }

    pub(crate) fn collapsed(&self, rooms: usize) {
        if rooms > 0 {
            add(&self.collapsed, rooms);
        }
    }

    pub(crate) fn loud(&self) {
        add(&self.loud, 1);
    }

    pub(crate) fn rate_limited(&self) {
        add(&self.rate_limited, 1);
    }

    pub(crate) fn gap(&self) {
        add(&self.gaps, 1);
    }

    pub(crate) fn repaired(&self, records: usize) {
        add(&self.repaired, records);
    }

    pub(crate) fn frame_dropped(&self) {
        add(&self.frames_dropped, 1);
    }

    pub(crate) fn resumed_by_replay(&self) {
        add(&self.replays, 1);
    }

    pub(crate) fn resumed_by_delta(&self) {
        add(&self.deltas, 1);
    }

    pub(crate) fn resumed_anew(&self) {
        add(&self.snapshots, 1);
    }

    pub(crate) fn watched(&self, people: usize) {
        self.watched.store(people as u64, Ordering::Relaxed);
    }

    pub(crate) fn looked_up(&self, people: usize) {
        add(&self.looked_up, people);
    }

    pub(crate) fn presence_told(&self, frames: usize) {
        add(&self.presence_told, frames);
    }

    pub(crate) fn typing_told(&self) {
        add(&self.typing_told, 1);
    }

    pub(crate) fn typing_dropped(&self) {
        add(&self.typing_dropped, 1);
    }

    pub(crate) fn closed(&self, code: CloseCode) {
        let count = match code {
            CloseCode::SlowConsumer => &self.closed_slow,
            CloseCode::TokenExpired => &self.closed_expired,
            CloseCode::SessionRevoked | CloseCode::AuthenticationFailed => &self.closed_revoked,
            CloseCode::ProtocolError
            | CloseCode::Unsupported
            | CloseCode::InvalidUtf8
            | CloseCode::TooBig
            | CloseCode::BadFrames
            | CloseCode::RateLimited => &self.closed_protocol,
            CloseCode::Normal | CloseCode::Leaving | CloseCode::Restart | CloseCode::Draining => {
                return;
            }
        };
        add(count, 1);
    }
}
