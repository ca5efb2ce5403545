//! One connection: who it is, its socket, what waits for it.

mod choosing;
mod in_flight;
mod outbox;
mod person;
mod session;
mod stream;
mod strikes;
mod talk;
mod tls;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::task::AtomicWaker;
use klatch_domain::permission::Actor;
use klatch_domain::scope::Scopes;
use klatch_domain::{ConnectionId, UserId};
use klatch_limits::Caller;
use klatch_ports::Position;
use klatch_ports::api::auth::Identity;
use klatch_protocol::ws::close::CloseCode;
use parking_lot::Mutex;

use crate::framing::{close_echo, close_frame};
use crate::state::Shared;
use crate::stats::Stats;
use crate::sweep;
pub(crate) use outbox::{Concerns, LiveFrame, Passing, Phase};
use outbox::{NotWritten, Outbox, Overfull, Terms};
use person::Person;
pub(crate) use session::Session;
use stream::Drained;
pub(crate) use stream::Stream;
pub(crate) use tls::Tls;

/// A connection as everyone who may write to it holds it.
///
/// What a delivery needs comes first, so that it is in three lines of the cache: among thousands of
/// connections none is in there when its turn comes.
#[repr(C)]
pub(crate) struct Connection {
    outbox: Mutex<Outbox>,
    stream: Stream,
    /// Most bytes of a message that may be sent compressed; 0 when compression was not agreed on.
    packed_bytes_max: u32,
    shared: Arc<Shared>,
    pub(crate) id: ConnectionId,
    pub(crate) user: UserId,
    /// Wakes the connection's task.
    waker: AtomicWaker,
    identity: Mutex<Identity>,
    /// Tick of the sweep at which the client was heard last.
    heard: AtomicU32,
    /// Whether a ping was sent since.
    pinged: AtomicBool,
    person: Person,
    /// Commands that wait for their answer.
    in_flight: AtomicU32,
    /// Set at the most that may be in flight, cleared at half of it.
    saturated: AtomicBool,
    /// How often the client was told to be heard.
    heartbeat_ms: u32,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}, {:?})", self.id, self.outbox.lock().phase())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.door.give_back(self.user);
    }
}

/// What becomes of that which waits when a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Is sent before the close frame.
    Keep,
    /// Is forgotten.
    Forget,
}

/// Whether a connection still has something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Goes,
    Ended,
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        stream: Stream,
        identity: Identity,
        heartbeat_ms: u32,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            id,
            user: identity.actor.user,
            stream,
            outbox: Mutex::new(Outbox::new()),
            waker: AtomicWaker::new(),
            identity: Mutex::new(identity),
            heard: AtomicU32::new(shared.tick()),
            pinged: AtomicBool::new(false),
            person: Person::new(shared.tick()),
            in_flight: AtomicU32::new(0),
            saturated: AtomicBool::new(false),
            heartbeat_ms,
            packed_bytes_max: 0,
            shared,
        }
    }

    /// Who may act through this connection now.
    pub(crate) fn actor(&self) -> Actor {
        self.identity.lock().actor
    }

    /// Whose limits count here.
    pub(crate) fn caller(&self) -> Caller {
        Caller::from(&*self.identity.lock())
    }

    /// What its token may be used for.
    pub(crate) fn scopes(&self) -> Scopes {
        self.identity.lock().scopes
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    pub(crate) fn set_identity(&self, identity: Identity) {
        *self.identity.lock() = identity;
    }

    pub(crate) fn set_actor(&self, actor: Actor) {
        self.identity.lock().actor = actor;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.outbox.lock().phase()
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.outbox.lock().waiting_bytes()
    }

    /// Bytes that wait for the socket.
    fn queued_bytes(&self) -> usize {
        self.outbox.lock().queued_bytes()
    }

    /// Tick at which the client was heard last.
    pub(crate) fn heard(&self) -> u32 {
        self.heard.load(Ordering::Relaxed)
    }

    fn hear(&self) {
        self.heard.store(self.shared.tick(), Ordering::Relaxed);
        self.pinged.store(false, Ordering::Relaxed);
    }

    pub(crate) fn heartbeat_ms(&self) -> u64 {
        u64::from(self.heartbeat_ms)
    }

    /// Whether a ping is due after this many ticks of silence; at most one until the client is
    /// heard again. A client that is heard as often as it was told to gets none.
    pub(crate) fn wants_ping(&self, silent: u32) -> bool {
        let late = u64::from(silent) * 1_000 > self.heartbeat_ms() * 5 / 4;
        late && !self.pinged.swap(true, Ordering::Relaxed)
    }

    /// Sends a frame that is for this connection alone. Written by the connection's own task, so
    /// that answers that come together go out together.
    pub(crate) fn answer(&self, frame: Bytes) {
        let pushed = {
            let mut outbox = self.outbox.lock();
            let first = outbox.is_empty();
            outbox.push(frame, self.cap()).map(|()| first)
        };
        self.see_to(pushed);
    }

    /// Sees to it that what was queued is written by the connection's task.
    fn see_to(&self, pushed: Result<bool, Overfull>) {
        match pushed {
            Ok(true) => self.waker.wake(),
            Ok(false) => {}
            Err(Overfull) => self.close_slow(),
        }
    }

    fn cap(&self) -> usize {
        self.shared.config.outbox_bytes_max
    }

    fn terms(&self) -> Terms<'_> {
        Terms { user: &self.user, cap: self.cap(), tick: self.shared.tick() }
    }

    /// Queues a live event. True: the caller must see to it that [`Connection::flush`] is called.
    pub(crate) fn queue_live(&self, live: &LiveFrame) -> bool {
        let queued = self.outbox.lock().push_live(live, self.terms());
        queued.unwrap_or_else(|Overfull| {
            self.close_slow();
            false
        })
    }

    /// Looks at what [`Connection::write_run`] will need, so that it is in the cache by then: one
    /// word of each line. The processor fetches many of them at once when nothing depends on them.
    pub(crate) fn look_ahead(&self) {
        let lines = (self.outbox.is_locked(), self.stream.number(), self.packed_bytes_max);
        std::hint::black_box(lines);
    }

    /// Writes live events of one room at once, if nothing is before them; else queues them.
    /// `bytes` are their frames, one after the other.
    pub(crate) fn write_run(&self, bytes: &Bytes, events: &[LiveFrame]) {
        let written = self.outbox.lock().write_run(bytes, events, self.terms(), &self.stream);
        match written {
            Ok(false) => {}
            Ok(true) => self.waker.wake(),
            Err(NotWritten::Overfull) => self.close_slow(),
            Err(NotWritten::Ended) => self.end(),
        }
    }

    /// Writes what waits, as far as the socket takes it; the connection's task writes the rest.
    pub(crate) fn flush(&self) {
        let flushed = self.outbox.lock().flush(&self.stream);
        match flushed {
            Ok(true) => {}
            Ok(false) => self.waker.wake(),
            Err(_) => self.end(),
        }
    }

    /// Sends `hello`; live events begin after `live_from` and are held until the client was heard.
    pub(crate) fn open(&self, hello: Bytes, live_from: Vec<Position>) {
        self.outbox.lock().open(hello, live_from, self.shared.tick());
        self.waker.wake();
    }

    /// The positions of `hello`, unless live events have gone out already; they are held from here
    /// on until [`Connection::release`].
    pub(crate) fn begin_resume(&self) -> Option<Vec<Position>> {
        self.outbox.lock().begin_resume()
    }

    /// Once per tick: lets held events go when their time is over, and tells what was noted to be
    /// told later.
    pub(crate) fn tend(&self, tick: u32) {
        let ticks = sweep::ticks(self.shared.config.hold);
        let mut outbox = self.outbox.lock();
        let is_due = outbox.is_held_too_long(tick, ticks);
        let collapsed = outbox.take_collapsed();
        let told = outbox.tell_noted(tick, self.cap());
        drop(outbox);
        self.see_to(told);
        self.shared.stats.collapsed(collapsed);
        if is_due {
            self.release(|_| false);
        }
    }

    /// Queues a frame of a resume once less than half of what may wait is waiting. False: the
    /// connection closes.
    pub(crate) async fn answer_paced(&self, frame: Bytes) -> bool {
        let half = self.cap() / 2;
        // Runs within the connection's task, which is polled again whenever the socket takes more.
        poll_fn(|_| {
            let outbox = self.outbox.lock();
            match outbox.phase() {
                Phase::Open if outbox.queued_bytes() > half => Poll::Pending,
                phase => Poll::Ready(phase),
            }
        })
        .await;
        self.answer(frame);
        self.phase() == Phase::Open
    }

    /// Lets held events go, except those that the client has seen elsewhere.
    pub(crate) fn release(&self, passed: impl Fn(Position) -> bool) {
        self.outbox.lock().release(passed);
        self.waker.wake();
    }

    /// Closes with a code; the peer has some seconds to answer.
    pub(crate) fn close(&self, code: CloseCode, reason: &str, waiting: Waiting) {
        let frame = close_frame(code, reason);
        let forget = waiting == Waiting::Forget;
        if self.outbox.lock().close(frame, forget, self.shared.tick()) {
            self.shared.stats.closed(code);
            tracing::debug!(connection.id = %self.id, code = code.number(), reason, "closing");
        }
        self.waker.wake();
    }

    /// Answers the peer's close frame after what waits already; unless it answers ours, then there
    /// is nothing to say.
    fn close_in_kind(&self, code: Option<u16>) {
        let mut outbox = self.outbox.lock();
        outbox.close(close_echo(code), false, self.shared.tick());
        outbox.peer_closed();
    }

    fn close_slow(&self) {
        let reason = "too much waits to be read: resume";
        self.close(CloseCode::SlowConsumer, reason, Waiting::Forget);
    }

    /// Ends the connection without another word.
    pub(crate) fn end(&self) {
        self.outbox.lock().end();
        self.stream.shutdown();
        self.waker.wake();
    }

    /// Writes what waits whenever the socket takes it; wakes the task when there is more to do.
    fn poll_drain(&self, cx: &mut Context<'_>) -> Life {
        self.waker.register(cx.waker());
        loop {
            match self.drain_once() {
                Drained::Ended => return Life::Ended,
                Drained::Nothing => return Life::Goes,
                Drained::More => {}
            }
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    self.end();
                    return Life::Ended;
                }
                Poll::Pending => return Life::Goes,
            }
        }
    }

    fn drain_once(&self) -> Drained {
        let mut outbox = self.outbox.lock();
        let flushed: io::Result<bool> = outbox.flush(&self.stream);
        match (flushed, outbox.phase()) {
            (Err(_), _) | (_, Phase::Closed) | (Ok(true), Phase::Closing { both: true, .. }) => {
                Drained::Ended
            }
            (Ok(true), _) => Drained::Nothing,
            (Ok(false), _) => Drained::More,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.shared.stats
    }
}
