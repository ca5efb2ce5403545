//! One queue and one append in flight per room.
//!
//! What arrives while an append runs goes with the next one, decided on the state the one before
//! it left. Nothing here waits: a batch is decided where the last wish or the log's completion
//! arrived, and what must be read first is read by a task that comes back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use klatch_domain::{Rejection, RoomId};
use klatch_meter::{Part, metered};
use klatch_ports::StreamId;
use klatch_ports::api::ServiceError;
use klatch_ports::log::{APPEND_RECORDS_MAX, Key};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::append::{Decided, Pending};
use crate::decide::{Context, decide};
use crate::keys::{KeyMemory, Known};
use crate::room_state::RoomState;
use crate::service::Deps;
use crate::wish::{Job, Wish};

const SHARDS: usize = 64;
/// Rooms remembered per shard; idle ones beyond are forgotten.
const ROOMS_PER_SHARD: usize = 2048;
/// Wishes waiting at one room; more are refused as busy.
const ROOM_QUEUE_MAX: usize = 10_000;
/// Wishes waiting at all rooms together; more are refused as busy.
const QUEUE_MAX: usize = 100_000;
/// Wishes decided in one batch: a wish becomes at most two events.
const BATCH_MAX: usize = APPEND_RECORDS_MAX / 2;
/// Lost races for a room's head before its wishes are refused as busy.
const CONFLICTS_MAX: u32 = 10;
/// How often a refusal is decided again because the room had moved on.
const RECHECKS_MAX: u32 = 5;

/// All rooms with something to do, or remembered for the next time.
pub(crate) struct Sequencer {
    pub(crate) deps: Arc<Deps>,
    pub(crate) keys: Arc<KeyMemory>,
    tasks: TaskTracker,
    /// The log answers on threads of its own, which belong to no runtime.
    runtime: Handle,
    shards: Box<[Mutex<Shard>]>,
    waiting: AtomicUsize,
}

type Shard = HashMap<RoomId, Arc<Slot>>;

/// A room's place in the sequencer.
pub(crate) struct Slot {
    pub(crate) room: RoomId,
    pub(crate) inner: Mutex<SlotInner>,
}

#[derive(Default)]
pub(crate) struct SlotInner {
    pub(crate) state: Option<RoomState>,
    pub(crate) queue: VecDeque<Job>,
    /// An append is in flight, or a task reads what the queue needs.
    pub(crate) busy: bool,
    pub(crate) conflicts: u32,
    /// How often the state was loaded: what was decided on an earlier load may be out of date.
    pub(crate) loads: u64,
}

/// What to do next at a room.
enum Step {
    Nothing,
    Prepare,
    Append(Decided),
    /// Only refusals and repeats came of the batch.
    Again(Decided),
}

impl Sequencer {
    pub(crate) fn new(deps: Arc<Deps>, keys: Arc<KeyMemory>, tasks: TaskTracker) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let (runtime, waiting) = (Handle::current(), AtomicUsize::new(0));
        Self { deps, keys, tasks, runtime, shards, waiting }
    }

    /// Puts a wish into its room's queue. Its answer is called when its outcome is known.
    pub(crate) fn submit(self: &Arc<Self>, room: RoomId, job: Job) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return job.answer.refuse(ServiceError::Busy);
        }
        let slot = self.slot(room);
        let refused = {
            let mut inner = slot.inner.lock();
            if inner.queue.len() < ROOM_QUEUE_MAX {
                inner.queue.push_back(job);
                None
            } else {
                Some(job)
            }
        };
        match refused {
            None => self.drive(&slot),
            Some(job) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                job.answer.refuse(ServiceError::Busy);
            }
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(metered(Part::Deciding, work), &self.runtime);
    }

    fn slot(&self, room: RoomId) -> Arc<Slot> {
        let mut shard = self.shard(room).lock();
        if let Some(slot) = shard.get(&room) {
            return Arc::clone(slot);
        }
        if shard.len() >= ROOMS_PER_SHARD {
            forget_idle(&mut shard);
        }
        let slot = Arc::new(Slot { room, inner: Mutex::default() });
        shard.insert(room, Arc::clone(&slot));
        slot
    }

    fn shard(&self, room: RoomId) -> &Mutex<Shard> {
        let index = usize::try_from(room.bits() % SHARDS as u128).unwrap_or(0);
        self.shards.get(index).unwrap_or_else(|| unreachable!("fewer shards than SHARDS"))
    }

    /// Forgets a room of which nothing is known, so that made-up ids leave nothing behind.
    pub(crate) fn forget(&self, slot: &Slot) {
        let mut shard = self.shard(slot.room).lock();
        let idle = slot.inner.try_lock().is_some_and(|inner| inner.is_idle());
        if idle {
            shard.remove(&slot.room);
        }
    }

    /// Does what can be done at a room now.
    pub(crate) fn drive(self: &Arc<Self>, slot: &Arc<Slot>) {
        loop {
            let step = self.step(slot);
            match step {
                Step::Nothing => return,
                Step::Prepare => {
                    let (this, slot) = (Arc::clone(self), Arc::clone(slot));
                    self.spawn(async move { this.prepare(slot).await });
                    return;
                }
                Step::Append(decided) => {
                    let rest = self.settle_refused(slot, decided);
                    return self.append(slot, rest);
                }
                Step::Again(decided) => {
                    self.settle_refused(slot, decided);
                }
            }
        }
    }

    fn step(&self, slot: &Slot) -> Step {
        let mut guard = slot.inner.lock();
        let inner = &mut *guard;
        if inner.busy || inner.queue.is_empty() {
            return Step::Nothing;
        }
        let Some(state) = &mut inner.state else {
            inner.busy = true;
            return Step::Prepare;
        };
        let expected = state.head_offset;
        let mut decided = Decided::new(slot.room, expected, inner.loads);
        let mut keys = HashSet::new();
        let mut looked_at = 0;
        while looked_at < BATCH_MAX {
            let Some(job) = inner.queue.front() else { break };
            let first = decided.is_empty();
            if !self.is_ready(state, job) || (job.wish.needs_facts() && !first) {
                break;
            }
            if job.key().is_some_and(|key| keys.contains(&key)) {
                break;
            }
            keys.extend(job.key());
            let alone = job.wish.needs_facts();
            let Some(job) = inner.queue.pop_front() else { break };
            looked_at += 1;
            self.decide_one(state, job, &mut decided);
            if alone {
                break;
            }
        }
        inner.busy = looked_at == 0 || !decided.is_empty();
        match (looked_at, decided.is_empty()) {
            (0, _) => Step::Prepare,
            (_, true) => Step::Again(decided),
            (_, false) => Step::Append(decided),
        }
    }

    /// Whether everything a wish is decided on is in memory.
    fn is_ready(&self, state: &RoomState, job: &Job) -> bool {
        let known = |user| state.member(user).is_some();
        let writer = job.wish.writer(job.actor);
        known(job.actor.user)
            && job.wish.target().is_none_or(known)
            && (!job.wish.needs_facts() || job.facts.is_some())
            && writer.is_none_or(|user| {
                job.cipher.is_some() || self.deps.key_ring.cached(user).is_some()
            })
    }

    fn decide_one(&self, state: &mut RoomState, mut job: Job, decided: &mut Decided) {
        if let Some(key) = job.key() {
            match self.keys.look_up(state.room.id, key) {
                Ok(None) => {}
                Ok(Some(known)) => return decided.repeated.push((known, job)),
                Err(error) => return decided.refused.push((ServiceError::Port(error), job)),
            }
        }
        if job.cipher.is_none() {
            let writer = job.wish.writer(job.actor);
            job.cipher = writer.and_then(|user| self.deps.key_ring.cached(user));
        }
        let ctx = Context {
            actor: job.actor,
            now: self.deps.clock.now(),
            entropy: &*self.deps.entropy,
            cipher: job.cipher.clone(),
            facts: job.facts.as_ref(),
        };
        match decide(state, &job.wish, &ctx) {
            Ok(events) => decided.accept(job, events),
            Err(rejection) => decided.refused.push((rejection.into(), job)),
        }
    }

    /// Answers what will not be appended; returns the rest.
    fn settle_refused(self: &Arc<Self>, slot: &Arc<Slot>, mut decided: Decided) -> Pending {
        for (error, job) in decided.refused.drain(..) {
            match error {
                ServiceError::Rejected(rejection) => {
                    let (this, slot, loads) = (Arc::clone(self), Arc::clone(slot), decided.loads);
                    self.spawn(async move {
                        this.refuse_at_head(&slot, loads, job, rejection).await;
                    });
                }
                error => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    job.answer.refuse(error);
                }
            }
        }
        for (known, job) in decided.repeated.drain(..) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.repeat(known, job);
        }
        decided.into_pending()
    }

    /// Refuses a wish, if the state it was refused on is that of the head of the log. An accepted
    /// wish proves this by its append; a refused one has to look: another instance may have
    /// changed the room since.
    async fn refuse_at_head(
        self: Arc<Self>,
        slot: &Arc<Slot>,
        loads: u64,
        mut job: Job,
        rejection: Rejection,
    ) {
        let head = self.deps.reader.head(StreamId::Messages, Key(slot.room.bits())).await;
        let is_current = {
            let mut inner = slot.inner.lock();
            let seen = inner.state.as_ref().and_then(|state| state.head_offset);
            // Newer than the log's end: an append of our own became durable meanwhile.
            let current = head.is_ok_and(|head| head <= seen) && inner.loads == loads;
            if !current && !inner.busy {
                inner.state = None;
            }
            current
        };
        if is_current || job.rechecks >= RECHECKS_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return job.answer.refuse(rejection.into());
        }
        job.rechecks += 1;
        job.facts = None;
        slot.inner.lock().queue.push_back(job);
        self.drive(slot);
    }

    /// Answers a repeated send as the first one was answered.
    fn repeat(self: &Arc<Self>, known: Known, job: Job) {
        let this = Arc::clone(self);
        self.spawn(async move {
            let Wish::Send(wish) = &job.wish else { return };
            let first = this.keys.repeat(known, wish.request_hash, &this.deps).await;
            job.answer.sent(first);
        });
    }

    /// Refuses everything in a room's queue.
    pub(crate) fn refuse_all(&self, slot: &Slot, mut error: impl FnMut() -> ServiceError) {
        let jobs = {
            let mut inner = slot.inner.lock();
            inner.busy = false;
            inner.state = None;
            std::mem::take(&mut inner.queue)
        };
        for job in jobs {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            job.answer.refuse(error());
        }
    }

    /// Counts wishes that were answered.
    pub(crate) fn answered(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Slot {
    /// Puts the wishes of a lost race back in front; false when the race was lost too often.
    pub(crate) fn put_back(&self, jobs: Vec<Job>) -> bool {
        let mut inner = self.inner.lock();
        inner.state = None;
        inner.busy = false;
        inner.conflicts += 1;
        for mut job in jobs.into_iter().rev() {
            job.facts = None;
            inner.queue.push_front(job);
        }
        inner.conflicts <= CONFLICTS_MAX
    }
}

impl SlotInner {
    /// Takes a state that was read at the head of the log.
    pub(crate) fn load(&mut self, state: RoomState) {
        self.state = Some(state);
        self.loads += 1;
    }

    fn is_idle(&self) -> bool {
        !self.busy && self.queue.is_empty()
    }
}

fn forget_idle(shard: &mut Shard) {
    let mut over = shard.len() / 4;
    shard.retain(|_, slot| {
        // A slot that somebody holds may be about to get a wish.
        let held = Arc::strong_count(slot) > 1;
        let idle = !held && slot.inner.try_lock().is_some_and(|inner| inner.is_idle());
        let drop = idle && over > 0;
        over -= usize::from(drop);
        !drop
    });
}
