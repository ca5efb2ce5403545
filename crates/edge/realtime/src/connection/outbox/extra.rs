//! What an outbox keeps for some connections only: those that arrive, that chose, or that lag.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use bytes::Bytes;
use klatch_domain::RoomId;
use klatch_protocol::ws::subscribe::Subscription;

use super::entry::{LiveFrame, Passing, Place};
use super::held::Held;

/// Ticks of the sweep between two notices of a room: at least a second.
const WINDOW: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Set until live events may go out.
    pub(super) held: Option<Held>,
    /// `None`: everything, of nobody in particular.
    pub(super) choice: Option<Arc<Subscription>>,
    /// Rooms with a notice that waits to be written, and what it will tell.
    pub(super) notices: HashMap<RoomId, Place>,
    /// Rooms that told by a notice lately that they went on.
    windows: HashMap<RoomId, Window>,
    /// What goes out when nothing else waits, by kind.
    passing: HashMap<Passing, Bytes>,
    pub(super) passing_bytes: usize,
    /// Times that rooms gave way to a notice, since this was asked last.
    pub(super) collapsed: usize,
    /// From how many waiting bytes on it makes sense to count them by room again.
    pub(super) count_from: usize,
}

/// The second after a notice.
#[derive(Debug)]
struct Window {
    /// Tick of the sweep when it began.
    since: u32,
    /// What has come since.
    untold: Option<Place>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It goes out as it is, after a notice of what was held back.
    Whole { after: Option<Place> },
    /// A notice goes out.
    Notice,
    /// A notice that waits, or one that is yet to come, tells of it.
    Told,
}

impl Extra {
    pub(super) fn is_needless(&self) -> bool {
        let Self { held, choice, notices, windows, passing, .. } = self;
        held.is_none()
            && choice.is_none()
            && notices.is_empty()
            && windows.is_empty()
            && passing.is_empty()
            && self.collapsed == 0
    }

    /// Whether events of `room` go out as they are, and nothing before them.
    pub(super) fn lets_through(&self, room: RoomId) -> bool {
        self.held.is_none()
            && self.notices.is_empty()
            && self.windows.is_empty()
            && self.choice.as_ref().is_none_or(|choice| choice.rooms.has(room))
    }

    /// Keeps something until nothing else waits.
    pub(super) fn pass(&mut self, what: Passing, frame: Bytes) {
        self.forget_passing(what);
        self.passing_bytes += frame.len();
        self.passing.insert(what, frame);
    }

    /// Something newer of its kind has come.
    pub(super) fn forget_passing(&mut self, what: Passing) {
        self.passing_bytes -= self.passing.remove(&what).map_or(0, |older| older.len());
    }

    /// What was kept.
    pub(super) fn take_passing(&mut self) -> impl Iterator<Item = Bytes> + use<> {
        self.passing_bytes = 0;
        std::mem::take(&mut self.passing).into_values()
    }

    /// Decides on an event, unless its room has a notice that waits.
    pub(super) fn form(&mut self, live: &LiveFrame, must_be_whole: bool, tick: u32) -> Form {
        let is_left_out = self.choice.as_ref().is_some_and(|choice| !choice.rooms.has(live.room));
        if must_be_whole || !(live.loud || is_left_out) {
            // The next notice goes out at once: nothing may stay untold after a whole event.
            let window = self.windows.remove(&live.room);
            return Form::Whole { after: window.and_then(|window| window.untold) };
        }
        match self.windows.entry(live.room) {
            hash_map::Entry::Occupied(mut window) => {
                window.get_mut().untold = Some(Place::of(live));
                Form::Told
            }
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Window { since: tick, untold: None });
                Form::Notice
            }
        }
    }

    /// Ends the windows whose second is over; those that have something to tell begin anew. Gives
    /// what they have to tell.
    pub(super) fn end_windows(&mut self, tick: u32) -> Vec<Place> {
        let mut due = Vec::new();
        self.windows.retain(|_, window| {
            if tick.wrapping_sub(window.since) < WINDOW {
                return true;
            }
            window.since = tick;
            let untold = window.untold.take();
            due.extend(untold);
            untold.is_some()
        });
        if self.windows.is_empty() {
            self.windows = HashMap::new();
        }
        due
    }

    /// Ends all windows now. Gives what they have to tell.
    pub(super) fn end_all_windows(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.windows).into_values().filter_map(|window| window.untold).collect()
    }
}
