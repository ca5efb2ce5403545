//! What the next flush writes: one system call per connection, whatever the number of events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Connection, LiveFrame};
use crate::framing::{PACK_BYTES_MIN, Packer, payload_bytes};

/// Connections from which on a flush is a large one: when another has just been done, it waits a
/// moment for more to send with it. A write costs ten times what one more frame in it costs.
const LARGE: usize = 256;
/// Longest such wait; it is never longer than the flush before took.
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// Connections that have something new, and what it is if it is one event alone.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The only event since the last flush. It is in no queue: it is written as it is.
    alone: Option<Forms>,
    /// Those who get `alone`, or whose queue has something that nobody writes yet.
    to: Vec<Arc<Connection>>,
    /// Those of a large flush that waits for more.
    postponed: Vec<Arc<Connection>>,
    /// Until when a large flush waits.
    quiet_until: Instant,
    /// Threads that may share a flush.
    writers: usize,
    /// From how many connections on they do.
    share_from: usize,
    /// Compresses; made when the first event is.
    packer: Option<Box<Packer>>,
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
}

/// An event on its way to its recipients.
pub(super) struct Event<'a> {
    outgoing: &'a mut Outgoing,
    /// `None`: the event is alone.
    queued: Option<Forms>,
}

impl Event<'_> {
    /// `connection` gets the event.
    pub(super) fn to(&mut self, connection: &Arc<Connection>) {
        let Outgoing { alone, to, packer, .. } = &mut *self.outgoing;
        if let Some(forms) = self.queued.as_mut().or(alone.as_mut()) {
            forms.prepare(connection, packer);
        }
        let queued = self.queued.as_ref();
        if queued.is_none_or(|forms| connection.queue_live(forms.of(connection))) {
            to.push(Arc::clone(connection));
        }
    }
}

impl Outgoing {
    pub(super) fn new(share_from: usize) -> Self {
        Self {
            alone: None,
            to: Vec::new(),
            postponed: Vec::new(),
            quiet_until: Instant::now(),
            writers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            share_from,
            packer: None,
        }
    }

    /// The next event.
    pub(super) fn event(&mut self, live: LiveFrame) -> Event<'_> {
        let forms = Forms::new(live);
        let is_first = self.to.is_empty() && self.alone.is_none();
        let queued = if is_first {
            self.alone = Some(forms);
            None
        } else {
            self.queue_alone();
            Some(forms)
        };
        Event { outgoing: self, queued }
    }

    /// Queues the event that was alone, like all others.
    fn queue_alone(&mut self) {
        if let Some(forms) = self.alone.take() {
            self.to.retain(|connection| connection.queue_live(forms.of(connection)));
        }
    }

    /// When a flush that was postponed is due.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.postponed.is_empty()).then_some(self.quiet_until)
    }

    /// Writes what was handed out, or postpones it for a moment.
    pub(super) async fn flush(&mut self) {
        let now = Instant::now();
        if self.to.len() >= LARGE && now < self.quiet_until {
            self.queue_alone();
            self.postponed.append(&mut self.to);
            return;
        }
        if !self.postponed.is_empty() && now >= self.quiet_until {
            self.queue_alone();
            self.to.append(&mut self.postponed);
        }
        let count = self.to.len();
        if count < self.share_from {
            let alone = self.alone.take();
            for connection in self.to.drain(..) {
                write(&connection, alone.as_ref());
            }
        } else {
            self.share().await;
        }
        if count >= LARGE {
            let end = Instant::now();
            self.quiet_until = end + (end - now).min(PAUSE_MAX);
        }
    }

    /// Writes on all threads, and waits until all is written: later events come after.
    async fn share(&mut self) {
        let share = self.to.len().div_ceil(self.writers).max(1);
        let alone = self.alone.take();
        let mut to = self.to.drain(..);
        let mut writers = Vec::new();
        loop {
            let part: Vec<Arc<Connection>> = to.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            let alone = alone.clone();
            writers.push(tokio::spawn(async move {
                for connection in part {
                    write(&connection, alone.as_ref());
                    // Others on this thread get their turn.
                    tokio::task::coop::consume_budget().await;
                }
            }));
        }
        for writer in writers {
            // What a writer that failed leaves is written by the connections' own tasks.
            let _ = writer.await;
        }
    }
}

fn write(connection: &Connection, alone: Option<&Forms>) {
    match alone {
        Some(forms) => connection.write_live(forms.of(connection)),
        None => connection.flush(),
    }
}
