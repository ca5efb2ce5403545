//! The newest messages of busy rooms, opened and ready to be shown, so that a thousand readers of
//! one room cost one read of the store.
//!
//! **Never stale.** A tail says which head of its room it shows, and up to where the store had come
//! when that was last seen to be so. It is served to a reader only if the store has come no further
//! than that since the reader asked; otherwise the head is read, and if the room went on, the tail
//! too. Everything that changes what a room's history shows takes a seq, so the head tells it all;
//! only a destroyed key does not, and makes all tails void.
//!
//! **Single flight.** One reader at a time looks at the store for a room. Those who waited take
//! what it brought, if that was read after they had asked. Simultaneous readers of one row set are
//! merged by Discord's data services in the same way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use klatch_domain::{RoomId, Seq};
use klatch_ports::api::queries::Shown;
use klatch_ports::log::{Key, LogReader};
use klatch_ports::messages::{Applied, MessageReader, Range, StoredHead};
use klatch_ports::{PortResult, StreamId};
use klatch_protocol::sealed::KeyRing;
use parking_lot::Mutex;

use crate::history;

/// Messages of a tail: a page of the default size, and one more to know whether there is another.
const TAIL: usize = klatch_domain::limits::PAGE_ITEMS_DEFAULT + 1;
/// What a message takes in memory besides its words, twice (as fields and as encoded), about.
const OVERHEAD: usize = 1_024;
/// How often a room that goes on while it is read is read again before it is served uncached.
const TRIES: usize = 3;

/// The end of a room's history.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Newest first.
    pub(crate) items: Vec<Arc<Shown>>,
    /// Whether nothing older is there.
    pub(crate) is_whole: bool,
    head: StoredHead,
    /// Keys that had been destroyed before this was read.
    destroyed: u64,
    /// Bytes in memory, about.
    weight: usize,
}

impl Tail {
    /// The part of the tail that answers a request; `None` when it goes beyond. Beside the items,
    /// whether there are more in the same direction.
    pub(crate) fn page(&self, range: Range, limit: usize) -> Option<(&[Arc<Shown>], bool)> {
        let from = match range {
            Range::Latest => 0,
            Range::Before(before) => {
                self.items.partition_point(|item| item.view.message.seq >= before)
            }
            Range::After(after) => return self.after(after, limit),
        };
        let rest = self.items.get(from..)?;
        if rest.len() > limit {
            return Some((rest.get(..limit)?, true));
        }
        self.is_whole.then_some((rest, false))
    }

    fn after(&self, after: Seq, limit: usize) -> Option<(&[Arc<Shown>], bool)> {
        let end = self.items.partition_point(|item| item.view.message.seq > after);
        // Something between may be missing here.
        if end == self.items.len() && !self.is_whole {
            return None;
        }
        let from = end.saturating_sub(limit);
        Some((self.items.get(from..end)?, from > 0))
    }
}

/// What is known of a room.
#[derive(Debug, Default)]
struct Slot {
    asked: AtomicBool,
    known: Mutex<Option<Known>>,
    /// Held by whoever looks at the store.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Known {
    tail: Arc<Tail>,
    /// The store had come this far, and the tail was still the room's.
    seen: Applied,
}

/// Two generations of rooms: when the young one is full it becomes the old one.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<RoomId, Arc<Slot>>,
    old: HashMap<RoomId, Arc<Slot>>,
    weight: usize,
}

/// The tails of the rooms that were read lately.
pub(crate) struct Tails {
    messages: Arc<dyn MessageReader>,
    log: Arc<dyn LogReader>,
    keys: Arc<KeyRing>,
    rooms: Mutex<Generations>,
    /// Bytes of a generation.
    cap: usize,
}

impl std::fmt::Debug for Tails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tails").field("cap", &self.cap).finish_non_exhaustive()
    }
}

impl Tails {
    /// Tails of at most `bytes` in all, about.
    pub(crate) fn new(
        messages: Arc<dyn MessageReader>,
        log: Arc<dyn LogReader>,
        keys: Arc<KeyRing>,
        bytes: usize,
    ) -> Self {
        Self { messages, log, keys, rooms: Mutex::default(), cap: bytes / 2 }
    }

    /// Whether a tail is likely to answer this: a newest page of the usual size of a room that was
    /// asked for lately, or a part of what is known. A room read once is not worth a tail.
    pub(crate) fn may_answer(&self, room: RoomId, range: Range, limit: usize) -> bool {
        if range == Range::Latest && limit < TAIL {
            return self.slot(room).asked.swap(true, Ordering::Relaxed);
        }
        let rooms = self.rooms.lock();
        let Some(slot) = rooms.young.get(&room).or_else(|| rooms.old.get(&room)) else {
            return false;
        };
        let known = slot.known.lock();
        known.as_ref().is_some_and(|known| known.tail.page(range, limit).is_some())
    }

    /// The tail of a room as it is now, or later. `None`: the room has nothing, or goes on too fast
    /// to be caught.
    ///
    /// # Errors
    /// As the store reports.
    pub(crate) async fn of(&self, room: RoomId) -> PortResult<Option<Arc<Tail>>> {
        let partition = self.log.partition_of(StreamId::Messages, Key(room.bits()));
        let asked = self.messages.applied(partition).await?;
        let slot = self.slot(room);
        if let Some(tail) = self.fresh(&slot, asked) {
            return Ok(Some(tail));
        }
        let _looking = slot.looking.lock().await;
        if let Some(tail) = self.fresh(&slot, asked) {
            return Ok(Some(tail));
        }
        let seen = self.messages.applied(partition).await?;
        let known = slot.known.lock().as_ref().map(|known| Arc::clone(&known.tail));
        let Some(tail) = self.look(room, known).await? else { return Ok(None) };
        let is_new = {
            let mut known = slot.known.lock();
            let is_new = known.as_ref().is_none_or(|known| !Arc::ptr_eq(&known.tail, &tail));
            *known = Some(Known { tail: Arc::clone(&tail), seen });
            is_new
        };
        if is_new {
            self.count(room, &slot, tail.weight);
        }
        Ok(Some(tail))
    }

    /// What is known, if it was seen to be so after a reader had asked.
    fn fresh(&self, slot: &Slot, asked: Applied) -> Option<Arc<Tail>> {
        let known = slot.known.lock();
        let known = known.as_ref()?;
        let later = known.seen.epoch == asked.epoch && known.seen.offset >= asked.offset;
        (later && known.tail.destroyed == self.keys.destroyed()).then(|| Arc::clone(&known.tail))
    }

    /// The tail as the store has it: the known one, if the room did not go on.
    async fn look(&self, room: RoomId, known: Option<Arc<Tail>>) -> PortResult<Option<Arc<Tail>>> {
        let destroyed = self.keys.destroyed();
        let Some(mut head) = self.messages.head(room).await? else { return Ok(None) };
        if let Some(tail) = known
            && tail.head == head
            && tail.destroyed == destroyed
        {
            return Ok(Some(tail));
        }
        for _ in 0..TRIES {
            let mut rows = self.messages.history(room, Range::Latest, TAIL).await?;
            let Some(after) = self.messages.head(room).await? else { return Ok(None) };
            if after != head {
                head = after;
                continue;
            }
            let is_whole = rows.len() < TAIL;
            rows.truncate(TAIL);
            let items = history::open_all(&self.keys, rows).await?;
            let weight = items.iter().map(|item| weight(item)).sum();
            return Ok(Some(Arc::new(Tail { items, is_whole, head, destroyed, weight })));
        }
        Ok(None)
    }

    fn slot(&self, room: RoomId) -> Arc<Slot> {
        let mut rooms = self.rooms.lock();
        if let Some(slot) = rooms.young.get(&room) {
            return Arc::clone(slot);
        }
        let slot = rooms.old.remove(&room).unwrap_or_default();
        if let Some(known) = slot.known.lock().as_ref() {
            rooms.weight += known.tail.weight;
        }
        rooms.weight += OVERHEAD;
        rooms.young.insert(room, Arc::clone(&slot));
        slot
    }

    /// Counts a new tail, and lets go of the rooms that nobody read lately.
    fn count(&self, room: RoomId, slot: &Arc<Slot>, weight: usize) {
        let mut rooms = self.rooms.lock();
        if rooms.young.get(&room).is_some_and(|young| Arc::ptr_eq(young, slot)) {
            rooms.weight += weight;
        }
        if rooms.weight > self.cap {
            rooms.old = std::mem::take(&mut rooms.young);
            rooms.weight = 0;
        }
    }
}

fn weight(item: &Shown) -> usize {
    let words = item.view.body.as_ref();
    OVERHEAD + 2 * words.map_or(0, |body| body.content.len() + body.metadata.len())
}
