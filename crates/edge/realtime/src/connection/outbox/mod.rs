//! What waits to be written to one connection. Empty and without memory of its own most of the
//! time.
//!
//! A connection that lags gets less, in steps, so that it stays bounded: what passes (typing,
//! presence) waits for the queue to be empty, the newest of a kind; the events of a room that take
//! more than a quarter of the cap, or the largest rooms when half of it is taken, give way to one
//! notice `room {roomId, headSeq}`; what still does not fit closes the connection.
//!
//! What holds for whoever reads the frames in order: the events of a room come by ascending seq; a
//! hole is told before any later event, of any room, unless the last that was told of the room is
//! a notice: such a room may have gone on untold for a moment.

mod collapse;
mod entry;
mod extra;
mod held;
#[cfg(test)]
mod tests;
mod write;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use klatch_domain::UserId;
use klatch_ports::Position;
use klatch_protocol::ws::subscribe::Subscription;

pub(crate) use entry::{Concerns, LiveFrame, Passing};
use entry::{Entry, Place};
use extra::{Extra, Form};
use held::Held;
pub(crate) use write::Sink;

/// Frames in the order in which they go out.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The first may be written in part; what is written is cut off it.
    queue: VecDeque<Entry>,
    bytes: usize,
    /// Whether the first frame is written in part and must be finished before anything else.
    begun: bool,
    phase: Phase,
    extra: Option<Box<Extra>>,
}

/// How far a connection is in its life, seen from its writing end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `hello` has not been sent.
    Arriving,
    /// Live.
    Open,
    /// A close frame is queued or sent; nothing follows it.
    Closing {
        /// Tick of the sweep at that time.
        since: u32,
        /// Whether the peer has sent its close frame too, so that nothing is left to wait for.
        both: bool,
    },
    /// Over.
    Closed,
}

/// Under which an event is queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// Whose connection it is. Not read for most events: it is not in the cache.
    pub(crate) user: &'a UserId,
    /// Most bytes that may wait.
    pub(crate) cap: usize,
    /// Of the sweep, now.
    pub(crate) tick: u32,
}

/// Why a live event was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotWritten {
    /// Too much waits already.
    Overfull,
    /// The connection is over.
    Ended,
}

/// More waits than a connection may have waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overfull;

impl Outbox {
    pub(crate) fn new() -> Self {
        let phase = Phase::Arriving;
        Self { queue: VecDeque::new(), bytes: 0, begun: false, phase, extra: None }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes that wait, held ones included.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let beside = self.extra.as_ref().map_or(0, |extra| {
            extra.passing_bytes + extra.held.as_ref().map_or(0, |held| held.bytes)
        });
        self.bytes + beside
    }

    /// Bytes that wait for the socket alone.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn held(&self) -> Option<&Held> {
        self.extra.as_ref().and_then(|extra| extra.held.as_ref())
    }

    fn held_mut(&mut self) -> Option<&mut Held> {
        self.extra.as_mut().and_then(|extra| extra.held.as_mut())
    }

    /// What the client chose; `None`: everything, and nobody's presence.
    pub(crate) fn choice(&self) -> Option<Arc<Subscription>> {
        self.extra.as_ref().and_then(|extra| extra.choice.clone())
    }

    /// The positions of `hello`, while live events are held. They stay held from here on until
    /// they are released.
    pub(crate) fn begin_resume(&mut self) -> Option<Vec<Position>> {
        let held = self.held_mut()?;
        held.resuming = true;
        Some(held.live_from.clone())
    }

    /// Whether live events were held for more than `ticks` without a reason.
    pub(crate) fn is_held_too_long(&self, now: u32, ticks: u32) -> bool {
        let too_long = |held: &Held| !held.resuming && now.saturating_sub(held.since) > ticks;
        self.held().is_some_and(too_long)
    }

    /// Queues a frame that answers this connection alone. Dropped once it closes.
    pub(crate) fn push(&mut self, frame: Bytes, cap: usize) -> Result<(), Overfull> {
        if !matches!(self.phase, Phase::Open | Phase::Arriving) {
            return Ok(());
        }
        self.make_room(frame.len(), cap)?;
        self.append(Entry::own(frame));
        Ok(())
    }

    /// Queues or holds a live event, or notes it for a notice. True: something is now at the head
    /// of the queue, so someone must write it.
    pub(crate) fn push_live(&mut self, live: &LiveFrame, on: Terms<'_>) -> Result<bool, Overfull> {
        if self.phase != Phase::Open {
            return Ok(false);
        }
        let first = self.queue.is_empty() && self.held().is_none();
        self.make_room(live.frame.len(), on.cap)?;
        if self.goes_plain(live) {
            self.append(Entry::whole(live));
            return Ok(first);
        }
        let whole = live.must_be_whole(*on.user);
        let extra = self.extra.get_or_insert_default();
        if let Some(told) = extra.notices.get_mut(&live.room) {
            if !whole {
                *told = Place::of(live);
                return Ok(false);
            }
            self.settle_notice(live);
        }
        let form = self.extra.get_or_insert_default().form(live, whole, on.tick);
        let before = self.entries();
        match form {
            Form::Told => {}
            Form::Notice => self.append_notice(Place::of(live)),
            Form::Whole { after } => {
                if let Some(place) = after {
                    let frame = place.notice();
                    self.append(Entry { frame, event: Some(place) });
                }
                self.append(Entry::whole(live));
            }
        }
        Ok(first && self.entries() > before)
    }

    /// Whether nothing has to be decided about an event.
    fn goes_plain(&self, live: &LiveFrame) -> bool {
        !live.loud && self.extra.as_ref().is_none_or(|extra| extra.lets_through(live.room))
    }

    fn entries(&self) -> usize {
        self.queue.len() + self.held().map_or(0, |held| held.entries.len())
    }

    /// Events are held while there is a reason; answers never are.
    fn append(&mut self, entry: Entry) {
        let (bytes, is_event) = (entry.cost(), entry.event.is_some());
        if let Some(held) = self.held_mut().filter(|_| is_event) {
            held.bytes += bytes;
            held.entries.push_back(entry);
        } else {
            self.bytes += bytes;
            self.queue.push_back(entry);
        }
    }

    /// A notice that tells whatever is the newest when its turn comes.
    fn append_notice(&mut self, place: Place) {
        let notices = &mut self.extra.get_or_insert_default().notices;
        if notices.insert(place.room, place).is_none() {
            self.append(Entry::notice(place));
        }
    }

    /// The room's notice that waits tells what it tells now, so that `live` can follow it.
    fn settle_notice(&mut self, live: &LiveFrame) {
        let Some(extra) = &mut self.extra else { return };
        let Some(place) = extra.notices.remove(&live.room) else { return };
        let (entries, bytes) = match &mut extra.held {
            Some(held) => (&mut held.entries, &mut held.bytes),
            None => (&mut self.queue, &mut self.bytes),
        };
        let is_it = |entry: &&mut Entry| {
            entry.is_notice() && entry.event.is_some_and(|event| event.room == live.room)
        };
        if let Some(entry) = entries.iter_mut().find(is_it) {
            *bytes = bytes.saturating_sub(entry.cost());
            *entry = Entry { frame: place.notice(), event: Some(place) };
            *bytes += entry.cost();
        }
    }

    /// Writes live events straight to the socket if nothing is before them and nothing has to be
    /// decided; else queues or holds what the socket does not take. `bytes` are their frames, one
    /// after the other. True: someone must write the rest.
    ///
    /// # Errors
    /// Too much waits, or the connection is over.
    pub(crate) fn write_run(
        &mut self,
        bytes: &Bytes,
        events: &[LiveFrame],
        on: Terms<'_>,
        stream: &impl Sink,
    ) -> Result<bool, NotWritten> {
        let plain = events.iter().all(|live| self.goes_plain(live));
        if self.phase != Phase::Open || !self.queue.is_empty() || !plain {
            let mut first = false;
            for live in events {
                first |= self.push_live(live, on).map_err(|Overfull| NotWritten::Overfull)?;
            }
            let all = !first || self.flush(stream).map_err(|_| NotWritten::Ended)?;
            return Ok(!all);
        }
        let mut written = match stream.write(bytes) {
            Ok(count) if count == bytes.len() => return Ok(stream.has_unsent()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return Err(NotWritten::Ended),
        };
        for live in events {
            let of_this = written.min(live.frame.len());
            written -= of_this;
            if of_this == live.frame.len() {
                continue;
            }
            if of_this > 0 {
                self.begun = true;
                self.append(Entry { frame: live.frame.slice(of_this..), ..Entry::whole(live) });
            } else {
                self.push_live(live, on).map_err(|Overfull| NotWritten::Overfull)?;
            }
        }
        Ok(true)
    }

    /// From here on live events come, held back at first.
    pub(crate) fn open(&mut self, hello: Bytes, live_from: Vec<Position>, since: u32) {
        if self.phase != Phase::Arriving {
            return;
        }
        self.phase = Phase::Open;
        self.append(Entry::own(hello));
        let held = Held { live_from, since, ..Held::default() };
        self.extra.get_or_insert_default().held = Some(held);
    }

    /// Lets held events go, except those that `passed` says the client has seen.
    pub(crate) fn release(&mut self, passed: impl Fn(Position) -> bool) {
        let Some(extra) = &mut self.extra else { return };
        let Some(held) = extra.held.take() else { return };
        for entry in held.entries {
            let Some(mut place) = entry.event else { continue };
            if entry.is_notice() {
                place = extra.notices.get(&place.room).copied().unwrap_or(place);
            }
            if self.phase == Phase::Open && !passed(place.position) {
                self.bytes += entry.cost();
                self.queue.push_back(entry);
            } else if entry.is_notice() {
                extra.notices.remove(&place.room);
            }
        }
        // What was held may have been told by a notice that is not needed any more.
        for place in extra.end_all_windows() {
            if !passed(place.position) {
                self.append_notice(place);
            }
        }
        self.drop_extra();
    }

    /// Takes what the client chose, and answers. What was noted for later is told first.
    pub(crate) fn choose(
        &mut self,
        choice: Option<Arc<Subscription>>,
        answer: Bytes,
        cap: usize,
    ) -> Result<(), Overfull> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        let extra = self.extra.get_or_insert_default();
        extra.choice = choice;
        for place in extra.end_all_windows() {
            self.append_notice(place);
        }
        self.push(answer, cap)
    }

    /// Once per tick: what was noted for later is told. True: someone must write it.
    pub(crate) fn tell_noted(&mut self, tick: u32, cap: usize) -> Result<bool, Overfull> {
        let Some(extra) = &mut self.extra else { return Ok(false) };
        let due = extra.end_windows(tick);
        let first = self.queue.is_empty();
        if self.phase == Phase::Open && !due.is_empty() {
            for place in due {
                self.append_notice(place);
            }
            self.make_room(0, cap)?;
        }
        if self.queue.is_empty() {
            self.drop_extra();
        }
        Ok(first && !self.queue.is_empty())
    }

    /// Times that rooms gave way to a notice because the client lags, since asked last.
    pub(crate) fn take_collapsed(&mut self) -> usize {
        self.extra.as_mut().map_or(0, |extra| std::mem::take(&mut extra.collapsed))
    }

    fn drop_extra(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_needless()) {
            self.extra = None;
        }
    }

    /// Queues the close frame as the last one; `forget` drops what is not written yet, except for
    /// the rest of a frame that is. False: it was closing already.
    pub(crate) fn close(&mut self, frame: Bytes, forget: bool, since: u32) -> bool {
        if !matches!(self.phase, Phase::Open | Phase::Arriving) {
            return false;
        }
        if forget {
            self.extra = None;
            self.queue.truncate(usize::from(self.begun));
        }
        self.release(|_| false);
        self.queue.push_back(Entry::own(frame));
        self.bytes = self.queue.iter().map(Entry::cost).sum();
        self.phase = Phase::Closing { since, both: false };
        true
    }

    /// The peer has sent a close frame.
    pub(crate) fn peer_closed(&mut self) {
        if let Phase::Closing { both, .. } = &mut self.phase {
            *both = true;
        }
    }

    /// Nothing more will be written.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Closed;
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.extra = None;
    }
}
