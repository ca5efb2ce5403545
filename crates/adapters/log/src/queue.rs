//! What waits to become durable.

use std::time::Duration;

use klatch_ports::ErrorKind;
use klatch_ports::log::{Append, Completion};
use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::batch::encoded_len;

/// An append and whom to tell.
pub(super) struct Pending {
    pub(super) append: Append,
    pub(super) done: Completion,
    /// Bytes it takes in a batch.
    pub(super) encoded: usize,
}

/// What an append takes in memory besides its bodies, about.
const OVERHEAD: usize = size_of::<Pending>() + 64;

impl Pending {
    pub(super) fn new(append: Append, done: Completion) -> Self {
        let encoded = encoded_len(&append);
        Self { append, done, encoded }
    }

    /// Bytes it counts for in the queue.
    pub(super) fn weight(&self) -> usize {
        self.encoded + OVERHEAD
    }
}

/// An append that the queue did not take, and why.
pub(super) struct Refusal {
    pub(super) pending: Pending,
    pub(super) kind: ErrorKind,
}

impl Refusal {
    fn new(pending: Pending, kind: ErrorKind) -> Box<Self> {
        Box::new(Self { pending, kind })
    }
}

/// What the writer finds when it looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Appends were taken.
    Work,
    /// Nothing came in the given time.
    Idle,
    /// The queue is closed and empty.
    Closed,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Pending>,
    /// Of what waits and of what the writer took and is not durable yet.
    bytes: usize,
    closed: bool,
    /// Whether the writer must be woken.
    asleep: bool,
}

impl Queue {
    /// Adds an append unless more than `bytes_max` would wait then. An append that is larger than
    /// that by itself is taken when nothing else waits.
    pub(super) fn push(&self, pending: Pending, bytes_max: usize) -> Result<(), Box<Refusal>> {
        let weight = pending.weight();
        let wake = {
            let mut state = self.state.lock();
            if state.closed {
                return Err(Refusal::new(pending, ErrorKind::Closed));
            }
            if state.bytes > 0 && state.bytes.saturating_add(weight) > bytes_max {
                return Err(Refusal::new(pending, ErrorKind::Throttled));
            }
            state.bytes += weight;
            state.waiting.push(pending);
            std::mem::take(&mut state.asleep)
        };
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Swaps what waits with `into`, which is empty; waits up to `most` (for ever when `None`) for
    /// the first.
    pub(super) fn take(&self, into: &mut Vec<Pending>, most: Option<Duration>) -> Next {
        let deadline = most.map(|most| Instant::now() + most);
        let mut state = self.state.lock();
        loop {
            if !state.waiting.is_empty() {
                std::mem::swap(&mut state.waiting, into);
                return Next::Work;
            }
            if state.closed {
                return Next::Closed;
            }
            state.asleep = true;
            match deadline {
                None => self.arrived.wait(&mut state),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if self.arrived.wait_for(&mut state, left).timed_out()
                        && state.waiting.is_empty()
                        && !state.closed
                    {
                        state.asleep = false;
                        return Next::Idle;
                    }
                }
            }
            state.asleep = false;
        }
    }

    /// So many bytes do not wait any more.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Takes nothing more; what waits is still served.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Takes nothing more and gives up what waits.
    pub(super) fn abandon(&self) -> Vec<Pending> {
        let mut state = self.state.lock();
        state.closed = true;
        std::mem::take(&mut state.waiting)
    }

    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}
