//! What the next flush writes: one system call per connection, whatever the number of events.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use klatch_domain::RoomId;
use klatch_meter::{Part, metered};
use tokio::time::Instant;

use super::audience::Audience;
use crate::connection::{Concerns, Connection, LiveFrame};
use crate::framing::{PACK_BYTES_MIN, Packer, payload_bytes};

/// Connections from which on a flush is a large one: when another has just been done, and was of
/// more than one event, it waits a moment for more to send with it. A write costs ten times what
/// one more frame in it costs.
const LARGE: usize = 256;
/// Longest such wait; it is never longer than the flush before took.
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// Longest wait of a run for as many events as the one before it had.
const GATHER_MAX: Duration = Duration::from_millis(4);
/// After a pause of this length a room's burst is over.
const BURST_GAP_MAX: Duration = Duration::from_millis(250);
/// Most bytes of a run: no socket takes more at once.
const RUN_BYTES_MAX: usize = 64 * 1024;
/// Most events of a run.
const RUN_EVENTS_MAX: usize = 64;

/// Connections that are looked at before the first of them is written to: as many lines as a
/// processor fetches from memory at once.
const AHEAD: usize = 16;
/// So many of these, and others on the thread get their turn.
const TURN: usize = 8;

/// Connections that have something new, and what it is.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// What was said in one room since the last flush, as long as no other room speaks. It is in no
    /// queue: all who get it share one buffer, and nothing is done per member but the write.
    run: Option<Run>,
    /// Those whose queue has something that nobody writes yet.
    to: Vec<Arc<Connection>>,
    /// Those of a large flush that waits for more.
    postponed: Vec<Arc<Connection>>,
    /// Until when a large flush waits, because another has just been done.
    quiet_until: Instant,
    /// Events of the last large run: as many may be on their way again. 1: nothing is waited for.
    expected: usize,
    /// Threads that may share a flush.
    writers: usize,
    /// From how many connections on they do.
    share_from: usize,
    /// Compresses; made when the first event is.
    packer: Option<Box<Packer>>,
}

/// Events of one room that the same connections get.
#[derive(Debug)]
struct Run {
    room: RoomId,
    events: Vec<Forms>,
    bytes: usize,
    began: Instant,
    audience: Audience,
}

impl Run {
    /// Whether `live` may follow without a look at the members.
    fn takes(&self, live: &LiveFrame) -> bool {
        let first = self.events.first().map(|forms| forms.plain.concerns);
        self.room == live.room
            // Who goes by the first does not get the second.
            && first == Some(Concerns::Nobody)
            && live.concerns == Concerns::Nobody
            && self.events.len() < RUN_EVENTS_MAX
            && self.bytes + live.frame.len() <= RUN_BYTES_MAX
    }

    /// The events as one buffer, in each form that someone takes.
    fn join(self) -> (Joined, Arc<[Arc<Connection>]>) {
        let plain = Buffer::of(self.events.iter().map(|forms| &forms.plain));
        let is_packed = |forms: &&Forms| matches!(forms.packed, Packed::Is(_));
        let longest = self.events.iter().filter(is_packed).map(|forms| forms.bytes).max();
        let packed =
            longest.map(|longest| (Buffer::of(self.events.iter().map(Forms::smallest)), longest));
        (Joined { plain, packed }, self.audience.to)
    }
}

/// A run, ready to be written.
#[derive(Clone, Debug)]
struct Joined {
    plain: Buffer,
    /// With the bytes of the longest message that is compressed in it.
    packed: Option<(Buffer, usize)>,
}

impl Joined {
    fn write_to(&self, connection: &Connection) {
        let takes = |(_, longest): &&(Buffer, usize)| connection.takes_packed(*longest);
        let packed = self.packed.as_ref().filter(takes).map(|(buffer, _)| buffer);
        let Buffer { bytes, events } = packed.unwrap_or(&self.plain);
        connection.write_run(bytes, events);
    }
}

/// Events and their frames one after the other.
#[derive(Clone, Debug)]
struct Buffer {
    bytes: Bytes,
    events: Arc<[LiveFrame]>,
}

impl Buffer {
    fn of<'a>(events: impl Iterator<Item = &'a LiveFrame>) -> Self {
        let events: Arc<[LiveFrame]> = events.cloned().collect();
        let bytes = if let [only] = &*events {
            only.frame.clone()
        } else {
            let mut all = BytesMut::with_capacity(events.iter().map(|live| live.frame.len()).sum());
            events.iter().for_each(|live| all.extend_from_slice(&live.frame));
            all.freeze()
        };
        Self { bytes, events }
    }
}

/// An event in the forms in which it goes out.
#[derive(Clone, Debug)]
struct Forms {
    plain: LiveFrame,
    /// Bytes of the message in it.
    bytes: usize,
    packed: Packed,
}

/// The compressed form of an event, shared by all who take it.
#[derive(Clone, Debug)]
enum Packed {
    /// Nobody has wanted it yet.
    Unknown,
    /// It would not be smaller.
    None,
    Is(LiveFrame),
}

impl Forms {
    fn new(plain: LiveFrame) -> Self {
        let bytes = payload_bytes(&plain.frame);
        let packed = if bytes < PACK_BYTES_MIN { Packed::None } else { Packed::Unknown };
        Self { plain, bytes, packed }
    }

    /// Makes the compressed form if `connection` is the first to want it.
    fn prepare(&mut self, connection: &Connection, packer: &mut Option<Box<Packer>>) {
        if matches!(self.packed, Packed::Unknown) && connection.takes_packed(self.bytes) {
            let frame = packer.get_or_insert_default().pack(&self.plain.frame);
            self.packed = frame.map_or(Packed::None, |frame| {
                connection.stats().packed();
                Packed::Is(LiveFrame { frame, ..self.plain.clone() })
            });
        }
    }

    /// The form for `connection`.
    fn of(&self, connection: &Connection) -> &LiveFrame {
        match &self.packed {
            Packed::Is(packed) if connection.takes_packed(self.bytes) => packed,
            Packed::Is(_) | Packed::None | Packed::Unknown => &self.plain,
        }
    }

    /// The form for those who take both.
    fn smallest(&self) -> &LiveFrame {
        if let Packed::Is(packed) = &self.packed { packed } else { &self.plain }
    }
}

impl Outgoing {
    pub(super) fn new(share_from: usize) -> Self {
        Self {
            run: None,
            to: Vec::new(),
            postponed: Vec::new(),
            quiet_until: Instant::now(),
            expected: 1,
            writers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            share_from,
            packer: None,
        }
    }

    /// Hands out an event to whoever had the last one. `None`: it must be handed to each member
    /// with [`Outgoing::event`]. Else to how many it goes.
    pub(super) fn follow(&mut self, live: &LiveFrame) -> Option<usize> {
        let run = self.run.as_mut().filter(|run| run.takes(live))?;
        let mut forms = Forms::new(live.clone());
        if let Some(connection) = &run.audience.packs {
            forms.prepare(connection, &mut self.packer);
        }
        run.bytes += live.frame.len();
        run.events.push(forms);
        Some(run.audience.to.len())
    }

    /// Whether an event that is handed out now begins a run.
    pub(super) fn is_empty(&self) -> bool {
        self.run.is_none() && self.to.is_empty()
    }

    /// Hands out an event to an audience. Returns to how many.
    pub(super) fn event(&mut self, live: LiveFrame, audience: Audience) -> usize {
        if !self.is_empty() {
            return self.each(live, audience.to.iter());
        }
        let (room, bytes) = (live.room, live.frame.len());
        let mut forms = Forms::new(live);
        if let Some(connection) = &audience.packs {
            forms.prepare(connection, &mut self.packer);
        }
        let count = audience.to.len();
        let began = Instant::now();
        if began > self.quiet_until + BURST_GAP_MAX {
            self.expected = 1;
        }
        self.run = Some(Run { room, events: vec![forms], bytes, began, audience });
        count
    }

    /// Queues an event at each of `connections`. Returns at how many.
    pub(super) fn each<'a>(
        &mut self,
        live: LiveFrame,
        connections: impl Iterator<Item = &'a Arc<Connection>>,
    ) -> usize {
        self.end_run();
        let mut forms = Forms::new(live);
        let mut count = 0;
        for connection in connections {
            count += 1;
            forms.prepare(connection, &mut self.packer);
            if connection.queue_live(forms.of(connection)) {
                self.to.push(Arc::clone(connection));
            }
        }
        count
    }

    /// Queues what was said so far: who gets the next event may differ, or another room speaks.
    pub(super) fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        for connection in &*run.audience.to {
            let mut is_first = false;
            for forms in &run.events {
                is_first |= connection.queue_live(forms.of(connection));
            }
            if is_first {
                self.to.push(Arc::clone(connection));
            }
        }
    }

    /// Whether everything that was handed out is in a queue or written.
    pub(super) fn is_settled(&self) -> bool {
        self.run.is_none()
    }

    /// When a flush that was postponed is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let waits = !self.postponed.is_empty() || self.run.is_some();
        waits.then(|| self.gathers_until().max(self.quiet_until))
    }

    /// Until when a run that others may join is worth waiting for.
    fn gathers_until(&self) -> Instant {
        let small = |run: &&Run| run.audience.to.len() >= LARGE && run.events.len() < self.expected;
        let gathers = self.run.as_ref().filter(small);
        gathers.map_or(self.quiet_until, |run| run.began + GATHER_MAX)
    }

    /// Writes what was handed out, or postpones it for a moment.
    pub(super) async fn flush(&mut self) {
        let now = Instant::now();
        let large =
            self.to.len() + self.run.as_ref().map_or(0, |run| run.audience.to.len()) >= LARGE;
        if large && now < self.quiet_until.max(self.gathers_until()) {
            self.postponed.append(&mut self.to);
            return;
        }
        if now >= self.quiet_until {
            self.to.append(&mut self.postponed);
        }
        if let Some(run) = self.run.as_ref().filter(|run| run.audience.to.len() >= LARGE) {
            self.expected = run.events.len();
        }
        let run = self.run.take();
        // One event, and nothing else came meanwhile: there is nothing to wait for.
        let alone = self.to.is_empty() && run.as_ref().is_some_and(|run| run.events.len() == 1);
        let run = run.map(Run::join);
        let mut count = self.to.len();
        if let Some((joined, to)) = run {
            count += to.len();
            let shared = to.len() >= self.share_from;
            self.write(to, shared, move |connection| joined.write_to(connection)).await;
        }
        let (to, shared) = (std::mem::take(&mut self.to), self.to.len() >= self.share_from);
        self.write(to, shared, Connection::flush).await;
        if count >= LARGE && !alone {
            let end = Instant::now();
            self.quiet_until = end + (end - now).min(PAUSE_MAX);
        }
    }

    /// Writes to all, on all threads if there are many; waits until all is written, because later
    /// events come after.
    async fn write(
        &self,
        to: impl AsRef<[Arc<Connection>]> + Send + Sync + 'static,
        shared: bool,
        write: impl Fn(&Connection) + Clone + Send + 'static,
    ) {
        if !shared {
            write_each(to.as_ref(), write).await;
            return;
        }
        let to = Arc::new(to);
        let count = to.as_ref().as_ref().len();
        let share = count.div_ceil(self.writers).max(1);
        let mut writers = Vec::new();
        for first in (0..count).step_by(share) {
            let (to, write) = (Arc::clone(&to), write.clone());
            let write_all = async move {
                let part = first..(first + share).min(count);
                write_each(to.as_ref().as_ref().get(part).unwrap_or_default(), write).await;
            };
            writers.push(tokio::spawn(metered(Part::Delivering, write_all)));
        }
        for writer in writers {
            // What a writer that failed leaves is written by the connections' own tasks.
            let _ = writer.await;
        }
    }
}

async fn write_each(to: &[Arc<Connection>], write: impl Fn(&Connection)) {
    for (turn, ahead) in (1_usize..).zip(to.chunks(AHEAD)) {
        for connection in ahead {
            connection.look_ahead();
        }
        for connection in ahead {
            write(connection);
        }
        if turn.is_multiple_of(TURN) {
            // Others on this thread get their turn.
            tokio::task::yield_now().await;
        }
    }
}
