//! Counts of what fan-out does and holds, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts for metrics.
#[derive(Debug, Default)]
pub struct FanOutStats {
    pub(crate) events: AtomicU64,
    pub(crate) publishes: AtomicU64,
    pub(crate) heartbeats: AtomicU64,
    pub(crate) instances: AtomicU64,
    pub(crate) users: AtomicU64,
    pub(crate) users_bytes: AtomicU64,
    pub(crate) active_rooms: AtomicU64,
    pub(crate) rooms_bytes: AtomicU64,
    pub(crate) position: AtomicU64,
}

/// Counts at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Events looked at.
    pub events: u64,
    /// Frames published, heartbeats included.
    pub publishes: u64,
    /// Frames that told no event.
    pub heartbeats: u64,
    /// Instances that hold connections.
    pub instances: u64,
    /// Users known to be online, once for each instance, as of some seconds ago.
    pub users: u64,
    /// About how many bytes knowing them takes.
    pub users_bytes: u64,
    /// Rooms whose members are in memory.
    pub active_rooms: u64,
    /// About how many bytes they take, as of some seconds ago.
    pub rooms_bytes: u64,
    /// Offset up to which the log was looked at.
    pub position: u64,
}

impl FanOutStats {
    /// The counts now.
    pub fn snapshot(&self) -> StatsSnapshot {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StatsSnapshot {
            events: load(&self.events),
            publishes: load(&self.publishes),
            heartbeats: load(&self.heartbeats),
            instances: load(&self.instances),
            users: load(&self.users),
            users_bytes: load(&self.users_bytes),
            active_rooms: load(&self.active_rooms),
            rooms_bytes: load(&self.rooms_bytes),
            position: load(&self.position),
        }
    }
}
