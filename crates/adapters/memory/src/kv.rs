//! The KV inside one process. Expiry costs no task: whoever writes, reads or watches next sweeps.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use klatch_ports::PortResult;
use klatch_ports::kv::{Entry, KvChange, KvReader, KvWatch, KvWriter, Revision};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Most changes a watch may hold before it ends.
const WATCH_CHANGES: usize = 1024;
/// Most bytes of keys and values a watch may hold before it ends.
const WATCH_BYTES: usize = 8 * 1024 * 1024;

/// A KV for one process; clones are handles to the same KV.
///
/// Times are tokio's, so a test that pauses them decides what expires.
#[derive(Clone, Debug, Default)]
pub struct MemoryKv(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<Arc<str>, Slot>,
    /// Every slot that expires, soonest first; exactly one entry for each, so renewing a key does
    /// not make this grow.
    expiries: BTreeSet<(Due, Arc<str>)>,
    /// What dues count from: the first time a key was given an end.
    origin: Option<Instant>,
    revision: u64,
    watches: HashMap<u64, Watched>,
    /// The number of the newest watch.
    newest_watch: u64,
    closed: bool,
}

/// When a key ends, in milliseconds after the origin, at least one. A key may stay for a month
/// after its user has left, so that every byte of it counts.
type Due = NonZeroU64;

#[derive(Debug)]
struct Slot {
    value: Box<[u8]>,
    revision: Revision,
    expires: Option<Due>,
}

impl Slot {
    fn entry(&self) -> Entry {
        Entry { value: Bytes::copy_from_slice(&self.value), revision: self.revision }
    }
}

#[derive(Debug)]
struct Watched {
    prefix: String,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    /// What was there when the watch began; not counted, it is as large as the KV.
    initial: VecDeque<KvChange>,
    changes: VecDeque<KvChange>,
    bytes: usize,
    ended: bool,
}

impl MemoryKv {
    /// Ends every watch; values stay readable.
    pub fn close(&self) {
        let watches = {
            let mut state = self.0.lock();
            state.closed = true;
            std::mem::take(&mut state.watches)
        };
        for watched in watches.values() {
            watched.queue.end();
        }
    }

    /// How many keys are present.
    pub fn len(&self) -> usize {
        self.with(|state| state.slots.len())
    }

    /// Whether no key is present.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Acts on the state after everything that is over has been removed from it.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock();
        state.sweep(Instant::now());
        act(&mut state)
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        while let Some((due, key)) = self.expiries.first().cloned() {
            if self.time(due).is_none_or(|due| due > now) {
                break;
            }
            self.remove(&key);
        }
    }

    /// When `ttl` from now is. A span beyond what can be counted never ends.
    fn due(&mut self, ttl: Duration) -> Option<Due> {
        let now = Instant::now();
        let due = now.checked_add(ttl)?;
        let after = due.duration_since(*self.origin.get_or_insert(now));
        // Never too early: a part of a millisecond counts as a whole one.
        let ms = u64::try_from(after.as_nanos().div_ceil(1_000_000)).ok()?;
        Some(Due::new(ms).unwrap_or(Due::MIN))
    }

    fn time(&self, due: Due) -> Option<Instant> {
        self.origin?.checked_add(Duration::from_millis(due.get()))
    }

    fn next_revision(&mut self) -> Revision {
        self.revision += 1;
        Revision(self.revision)
    }

    fn set(&mut self, key: &str, value: &Bytes, ttl: Option<Duration>) -> Revision {
        let revision = self.next_revision();
        let key: Arc<str> = Arc::from(key);
        let expires = ttl.and_then(|ttl| self.due(ttl));
        let slot = Slot { value: value[..].into(), revision, expires };
        let old = self.slots.insert(Arc::clone(&key), slot);
        if let Some(due) = old.and_then(|old| old.expires) {
            self.expiries.remove(&(due, Arc::clone(&key)));
        }
        if let Some(due) = expires {
            self.expiries.insert((due, Arc::clone(&key)));
        }
        self.tell(&key, Some(value), revision);
        revision
    }

    fn remove(&mut self, key: &str) -> Revision {
        let revision = self.next_revision();
        if let Some((key, slot)) = self.slots.remove_entry(key) {
            if let Some(due) = slot.expires {
                self.expiries.remove(&(due, Arc::clone(&key)));
            }
            self.tell(&key, None, revision);
        }
        revision
    }

    fn tell(&mut self, key: &str, value: Option<&Bytes>, revision: Revision) {
        let concerned = |watched: &Watched| key.starts_with(watched.prefix.as_str());
        // A watch that fell behind leaves the table at once: it gets nothing more.
        self.watches.retain(|_, watched| {
            !concerned(watched)
                || watched.queue.push(KvChange {
                    key: key.to_owned(),
                    value: value.cloned(),
                    revision,
                })
        });
    }

    fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&Arc<str>, &Slot)> {
        let from = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        self.slots.range::<str, _>(from).take_while(move |(key, _)| key.starts_with(prefix))
    }

    fn present(&self, prefix: &str) -> VecDeque<KvChange> {
        let changes = self.with_prefix(prefix).map(|(key, slot)| KvChange {
            key: key.to_string(),
            value: Some(slot.entry().value),
            revision: slot.revision,
        });
        changes.collect()
    }
}

fn size(change: &KvChange) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, Bytes::len)
}

impl Queue {
    /// Whether the watch goes on.
    fn push(&self, change: KvChange) -> bool {
        let fits = {
            let mut waiting = self.waiting.lock();
            waiting.bytes += size(&change);
            waiting.changes.push_back(change);
            waiting.changes.len() <= WATCH_CHANGES && waiting.bytes <= WATCH_BYTES
        };
        if fits {
            self.arrived.notify_one();
        } else {
            self.end();
        }
        fits
    }

    /// Ends the watch and frees what it held.
    fn end(&self) {
        *self.waiting.lock() = Waiting { ended: true, ..Waiting::default() };
        self.arrived.notify_one();
    }

    /// The next change, or whether the watch has ended.
    fn take(&self) -> Result<KvChange, bool> {
        let mut waiting = self.waiting.lock();
        if let Some(change) = waiting.initial.pop_front() {
            if waiting.initial.is_empty() {
                waiting.initial = VecDeque::new();
            }
            return Ok(change);
        }
        let change = waiting.changes.pop_front().ok_or(waiting.ended)?;
        waiting.bytes -= size(&change);
        Ok(change)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.waiting.lock();
        f.debug_struct("Queue")
            .field("initial", &waiting.initial.len())
            .field("changes", &waiting.changes.len())
            .field("bytes", &waiting.bytes)
            .field("ended", &waiting.ended)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KvReader for MemoryKv {
    async fn get(&self, key: &str) -> PortResult<Option<Entry>> {
        Ok(self.with(|state| state.slots.get(key).map(Slot::entry)))
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<(String, Entry)>> {
        Ok(self.with(|state| {
            let found = state.with_prefix(prefix);
            found.map(|(key, slot)| (key.to_string(), slot.entry())).collect()
        }))
    }

    async fn watch(&self, prefix: &str) -> PortResult<Box<dyn KvWatch>> {
        let queue = Arc::new(Queue::default());
        let number = self.with(|state| {
            if state.closed {
                queue.end();
            } else {
                queue.waiting.lock().initial = state.present(prefix);
            }
            state.newest_watch += 1;
            let watched = Watched { prefix: prefix.to_owned(), queue: Arc::clone(&queue) };
            if !state.closed {
                state.watches.insert(state.newest_watch, watched);
            }
            state.newest_watch
        });
        Ok(Box::new(MemoryWatch { kv: self.clone(), number, queue }))
    }
}

#[async_trait]
impl KvWriter for MemoryKv {
    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> PortResult<Revision> {
        Ok(self.with(|state| state.set(key, &value, ttl)))
    }

    async fn put_if(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
        expected: Option<Revision>,
    ) -> PortResult<Option<Revision>> {
        Ok(self.with(|state| {
            let present = state.slots.get(key).map(|slot| slot.revision);
            (present == expected).then(|| state.set(key, &value, ttl))
        }))
    }

    async fn delete(&self, key: &str) -> PortResult<Revision> {
        Ok(self.with(|state| state.remove(key)))
    }
}

#[derive(Debug)]
struct MemoryWatch {
    kv: MemoryKv,
    number: u64,
    queue: Arc<Queue>,
}

#[async_trait]
impl KvWatch for MemoryWatch {
    async fn next(&mut self) -> Option<KvChange> {
        loop {
            // Sweeping here is what makes an expiry visible while nobody else uses the KV.
            let soonest =
                self.kv.with(|state| state.expiries.first().and_then(|(due, _)| state.time(*due)));
            match self.queue.take() {
                Ok(change) => return Some(change),
                Err(true) => return None,
                Err(false) => {}
            }
            let arrived = self.queue.arrived.notified();
            match soonest {
                Some(due) => {
                    // Either way the next round finds out what happened.
                    let _ = tokio::time::timeout_at(due, arrived).await;
                }
                None => arrived.await,
            }
        }
    }

    fn try_next(&mut self) -> Option<KvChange> {
        self.kv.with(|_| ());
        self.queue.take().ok()
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.kv.0.lock().watches.remove(&self.number);
    }
}
