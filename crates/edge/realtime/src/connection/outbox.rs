//! What waits to be written to one connection. Empty and without memory of its own most of the
//! time.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use bytes::{Buf, Bytes};
use klatch_ports::{Offset, Partition, Position};

use super::stream::Stream;

/// Frames that one system call takes at most.
const SLICES: usize = 64;

/// Frames in the order in which they go out.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The first may be written in part; what is written is cut off it.
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Whether the first frame is written in part and must be finished before anything else.
    begun: bool,
    held: Option<Box<Held>>,
    phase: Phase,
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

/// Live events that wait for the client's first frame, which may ask for older ones.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Live events begin after these.
    live_from: Vec<Position>,
    /// What came since.
    frames: Vec<LiveFrame>,
    bytes: usize,
    /// Tick of the sweep when it began.
    since: u32,
    /// Whether older events are being sent first, however long that takes.
    resuming: bool,
}

/// A live event as every recipient gets it.
#[derive(Clone, Debug)]
pub(crate) struct LiveFrame {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) frame: Bytes,
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
        Self { queue: VecDeque::new(), bytes: 0, begun: false, held: None, phase }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes that wait, held ones included.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes + self.held.as_ref().map_or(0, |held| held.bytes)
    }

    /// Bytes that wait for the socket alone.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The positions of `hello`, while live events are held. They stay held from here on until
    /// they are released.
    pub(crate) fn begin_resume(&mut self) -> Option<Vec<Position>> {
        let held = self.held.as_mut()?;
        held.resuming = true;
        Some(held.live_from.clone())
    }

    /// Whether live events were held for more than `ticks` without a reason.
    pub(crate) fn is_held_too_long(&self, now: u32, ticks: u32) -> bool {
        let too_long = |held: &Held| !held.resuming && now.saturating_sub(held.since) > ticks;
        self.held.as_deref().is_some_and(too_long)
    }

    /// Queues a frame that answers this connection alone. Dropped once it closes.
    pub(crate) fn push(&mut self, frame: Bytes, cap: usize) -> Result<(), Overfull> {
        if !matches!(self.phase, Phase::Open | Phase::Arriving) {
            return Ok(());
        }
        if self.waiting_bytes() + frame.len() > cap {
            return Err(Overfull);
        }
        self.bytes += frame.len();
        self.queue.push_back(frame);
        Ok(())
    }

    /// Queues or holds a live event. True: it is now at the head of the queue, so someone must
    /// write it.
    pub(crate) fn push_live(&mut self, live: &LiveFrame, cap: usize) -> Result<bool, Overfull> {
        if self.phase != Phase::Open {
            return Ok(false);
        }
        if self.waiting_bytes() + live.frame.len() > cap {
            return Err(Overfull);
        }
        if let Some(held) = &mut self.held {
            held.bytes += live.frame.len();
            held.frames.push(live.clone());
            return Ok(false);
        }
        let first = self.queue.is_empty();
        self.bytes += live.frame.len();
        self.queue.push_back(live.frame.clone());
        Ok(first)
    }

    /// Writes a live event straight to the socket if nothing is before it; queues or holds what
    /// the socket does not take. True: someone must write the rest.
    ///
    /// # Errors
    /// Too much waits, or the connection is over.
    pub(crate) fn write_live(
        &mut self,
        live: &LiveFrame,
        cap: usize,
        stream: &Stream,
    ) -> Result<bool, NotWritten> {
        if self.phase != Phase::Open || self.held.is_some() || !self.queue.is_empty() {
            self.push_live(live, cap).map_err(|Overfull| NotWritten::Overfull)?;
            return Ok(false);
        }
        let written = match stream.try_write(&live.frame) {
            Ok(count) if count == live.frame.len() => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return Err(NotWritten::Ended),
        };
        let rest = live.frame.slice(written..);
        self.begun = written > 0;
        self.bytes += rest.len();
        self.queue.push_back(rest);
        Ok(true)
    }

    /// From here on live events come, held back at first.
    pub(crate) fn open(&mut self, hello: Bytes, live_from: Vec<Position>, since: u32) {
        if self.phase != Phase::Arriving {
            return;
        }
        self.phase = Phase::Open;
        self.bytes += hello.len();
        self.queue.push_back(hello);
        self.held = Some(Box::new(Held { live_from, since, ..Held::default() }));
    }

    /// Lets held events go, except those that `passed` says the client has seen.
    pub(crate) fn release(&mut self, passed: impl Fn(Partition, Offset) -> bool) {
        let Some(held) = self.held.take() else { return };
        for LiveFrame { partition, offset, frame } in held.frames {
            if !passed(partition, offset) && self.phase == Phase::Open {
                self.bytes += frame.len();
                self.queue.push_back(frame);
            }
        }
    }

    /// Queues the close frame as the last one; `forget` drops what is not written yet, except for
    /// the rest of a frame that is. False: it was closing already.
    pub(crate) fn close(&mut self, frame: Bytes, forget: bool, since: u32) -> bool {
        if !matches!(self.phase, Phase::Open | Phase::Arriving) {
            return false;
        }
        if forget {
            self.held = None;
            self.queue.truncate(usize::from(self.begun));
        }
        self.release(|_, _| false);
        self.queue.push_back(frame);
        self.bytes = self.queue.iter().map(Bytes::len).sum();
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
        self.held = None;
    }

    /// Writes what the socket takes. True: nothing waits any more.
    ///
    /// # Errors
    /// As the socket reports; the connection is over.
    pub(crate) fn flush(&mut self, stream: &Stream) -> io::Result<bool> {
        while let Some(first) = self.queue.front() {
            let written = if self.queue.len() == 1 {
                stream.try_write(first)
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let filled = slices.iter_mut().zip(&self.queue).map(|(slice, frame)| {
                    *slice = IoSlice::new(frame);
                });
                let count = filled.count();
                stream.try_write_vectored(slices.get(..count).unwrap_or_default())
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.queue.capacity() > 0 {
            self.queue = VecDeque::new();
        }
        Ok(true)
    }

    fn written(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(first) = self.queue.front_mut() {
            if count < first.len() {
                first.advance(count);
                self.begun |= count > 0;
                return;
            }
            count -= first.len();
            self.begun = false;
            self.queue.pop_front();
        }
    }
}
