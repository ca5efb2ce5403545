//! What the next flush writes: one system call per connection, whatever the number of events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Connection, LiveFrame};

/// Connections from which on a flush is a large one: when another has just been done, it waits a
/// moment for more to send with it. A write costs ten times what one more frame in it costs.
const LARGE: usize = 256;
/// Longest such wait; it is never longer than the flush before took.
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// Connections that have something new, and what it is if it is one event alone.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The only event since the last flush. It is in no queue: it is written as it is.
    alone: Option<LiveFrame>,
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
}

/// An event on its way to its recipients.
pub(super) struct Event<'a> {
    to: &'a mut Vec<Arc<Connection>>,
    /// `None`: the event is alone.
    queued: Option<LiveFrame>,
}

impl Event<'_> {
    /// `connection` gets the event.
    pub(super) fn to(&mut self, connection: &Arc<Connection>) {
        if self.queued.as_ref().is_none_or(|live| connection.queue_live(live)) {
            self.to.push(Arc::clone(connection));
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
        }
    }

    /// The next event.
    pub(super) fn event(&mut self, live: LiveFrame) -> Event<'_> {
        let is_first = self.to.is_empty() && self.alone.is_none();
        let queued = if is_first {
            self.alone = Some(live);
            None
        } else {
            self.queue_alone();
            Some(live)
        };
        Event { to: &mut self.to, queued }
    }

    /// Queues the event that was alone, like all others.
    fn queue_alone(&mut self) {
        if let Some(live) = self.alone.take() {
            self.to.retain(|connection| connection.queue_live(&live));
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

fn write(connection: &Connection, alone: Option<&LiveFrame>) {
    match alone {
        Some(live) => connection.write_live(live),
        None => connection.flush(),
    }
}
