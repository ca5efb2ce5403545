//! What can be set, with the defaults.

use std::time::Duration;

/// How often people may tell of themselves, and to how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceConfig {
    /// Most members of a room in which typing is told.
    pub typing_members_max: u64,
    /// A person's typing in a room is told at most once in this time.
    pub typing_interval: Duration,
    /// Words about typing that one person may send at once, over all rooms and devices.
    pub typing_burst: u32,
    /// One more after each such time.
    pub typing_refill: Duration,
    /// Changes of presence that one person may make at once.
    pub status_burst: u32,
    /// One more after each such time.
    pub status_refill: Duration,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            typing_members_max: 500,
            typing_interval: Duration::from_secs(3),
            typing_burst: 20,
            typing_refill: Duration::from_millis(250),
            status_burst: 10,
            status_refill: Duration::from_secs(2),
        }
    }
}
