//! Collects a history from many threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::history::{Call, Entry, History, Item, Name, Reply, What};

type Clock = Box<dyn FnMut() -> u64 + Send>;

/// An operation under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpHandle {
    process: u32,
    op: u64,
}

/// Collects entries from many threads. The time is read under the lock, so that the order of
/// entries and the order of times agree. Record an invocation before the first byte is sent and
/// an outcome after the last byte has come, else real-time order (I7) is judged wrongly.
pub struct Recorder {
    inner: Mutex<Inner>,
}

struct Inner {
    clock: Clock,
    next_op: u64,
    history: History,
}

impl Recorder {
    /// A recorder on a monotonic clock that gives nanoseconds.
    pub fn new(clock: impl FnMut() -> u64 + Send + 'static) -> Self {
        let history = History::default();
        Self { inner: Mutex::new(Inner { clock: Box::new(clock), next_op: 0, history }) }
    }

    /// An operation is about to be sent.
    pub fn invoke(&self, process: u32, call: Call) -> OpHandle {
        let mut inner = self.lock();
        let op = inner.next_op;
        inner.next_op += 1;
        inner.push(What::Invoke { process, op, call });
        OpHandle { process, op }
    }

    /// The server said yes.
    pub fn ok(&self, handle: OpHandle, reply: Reply) {
        let OpHandle { process, op } = handle;
        self.lock().push(What::Ok { process, op, reply });
    }

    /// The server said no. Timeouts, lost connections and 5xx are [`Recorder::unknown`].
    pub fn fail(&self, handle: OpHandle, code: &str) {
        let OpHandle { process, op } = handle;
        self.lock().push(What::Fail { process, op, code: code.to_owned() });
    }

    /// Nobody knows whether it happened.
    pub fn unknown(&self, handle: OpHandle) {
        let OpHandle { process, op } = handle;
        self.lock().push(What::Unknown { process, op });
    }

    /// A message arrived.
    pub fn receive(&self, connection: u64, room: Name, item: Item) {
        self.lock().push(What::Receive { connection, room, item });
    }

    /// Anything else: connections, markers, other events.
    pub fn note(&self, what: What) {
        self.lock().push(what);
    }

    /// What was recorded so far.
    pub fn snapshot(&self) -> History {
        self.lock().history.clone()
    }

    /// What was recorded. Operations without an outcome count as unknown.
    pub fn finish(self) -> History {
        self.inner.into_inner().unwrap_or_else(PoisonError::into_inner).history
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic of another recording thread leaves whole entries behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, what: What) {
        let at = (self.clock)();
        self.history.entries.push(Entry { at, what });
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("entries", &self.lock().history.entries.len()).finish()
    }
}
