//! Live events that wait for the client's first frame, which may ask for older ones.

use std::collections::VecDeque;

use klatch_ports::Position;

use super::entry::Entry;

#[derive(Debug, Default)]
pub(super) struct Held {
    /// Live events begin after these.
    pub(super) live_from: Vec<Position>,
    /// What came since.
    pub(super) entries: VecDeque<Entry>,
    pub(super) bytes: usize,
    /// Tick of the sweep when it began.
    pub(super) since: u32,
    /// Whether older events are being sent first, however long that takes.
    pub(super) resuming: bool,
}
