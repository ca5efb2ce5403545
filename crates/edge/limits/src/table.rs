//! What this instance knows of the buckets that were used lately. Bounded.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::bucket::Rate;
use crate::policy::{Action, Caller};

const SHARDS: usize = 16;
/// Most buckets of a shard.
const BUCKETS_MAX: usize = 4_096;
/// Buckets of a shard before full ones are looked for.
const SWEEP_AT: usize = 64;
/// How long tokens may lie here before they are given back.
const LEASE_US: u64 = 1_000_000;

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    who: u128,
    is_user: bool,
    action: Action,
}

/// A bucket as this instance saw it last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// When the bucket is full again, without the tokens held here.
    pub(crate) full_at: u64,
    /// Tokens held here.
    pub(crate) held: u32,
    /// Until when they may be spent.
    pub(crate) until: u64,
    /// The change of the KV that this is from.
    pub(crate) revision: u64,
}

#[derive(Debug)]
pub(crate) struct Table {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug)]
struct Shard {
    known: HashMap<Key, Known>,
    sweep_at: usize,
}

/// What the table alone can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// A token held here was spent.
    Yes(u64, u32),
    /// There is none, here or elsewhere.
    No(u64),
    /// The bucket has to be asked.
    Ask,
}

impl Key {
    pub(crate) fn new(caller: Caller, action: Action) -> Self {
        match caller {
            Caller::User(_, user) => Self { who: user.bits(), is_user: true, action },
            Caller::Address(address) => Self { who: address.0, is_user: false, action },
        }
    }

    /// Its name in the KV.
    pub(crate) fn name(self) -> String {
        let kind = if self.is_user { "user" } else { "address" };
        format!("limit.{}.{kind}.{:032x}", self.action.name(), self.who)
    }
}

impl Default for Table {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { known: HashMap::new(), sweep_at: SWEEP_AT });
        Self { shards: std::array::from_fn(|_| shard()) }
    }
}

impl Table {
    /// Spends a token held here.
    pub(crate) fn spend(&self, key: Key, rate: Rate, now: u64) -> Spent {
        let mut shard = self.shard(key).lock();
        let Some(known) = shard.known.get_mut(&key) else { return Spent::Ask };
        known.full_at = rate.sane(known.full_at, now).min(known.full_at);
        // The second bound is for a clock that went back.
        let fresh = now < known.until && known.until - now <= LEASE_US;
        if known.held > 0 && fresh {
            known.held -= 1;
            return Spent::Yes(known.full_at, known.held);
        }
        if known.held == 0 && rate.left(known.full_at, now) == 0 {
            return Spent::No(known.full_at);
        }
        Spent::Ask
    }

    /// Takes out what is held here, to be given back.
    pub(crate) fn reclaim(&self, key: Key) -> u32 {
        let mut shard = self.shard(key).lock();
        shard.known.get_mut(&key).map_or(0, |known| std::mem::take(&mut known.held))
    }

    /// Remembers a bucket as it is after a change of the KV, and tokens taken out of it.
    pub(crate) fn learn(&self, key: Key, now: u64, revision: u64, full_at: u64, held: u32) {
        let mut shard = self.shard(key).lock();
        let known = shard.known.entry(key).or_default();
        if revision >= known.revision || known.full_at <= now {
            (known.full_at, known.revision) = (full_at, revision);
        }
        known.held = known.held.saturating_add(held);
        known.until = now + LEASE_US;
    }

    /// The bucket as this instance saw it last: when it is full, and the change that is from.
    pub(crate) fn last(&self, key: Key) -> Option<(u64, u64)> {
        let shard = self.shard(key).lock();
        shard.known.get(&key).map(|known| (known.full_at, known.revision))
    }

    /// Makes room for another bucket. False: there is none, only addresses are known that are at
    /// it right now. Users' buckets give way: the KV has them, they cost a look there.
    pub(crate) fn has_room(&self, key: Key, now: u64) -> bool {
        let mut shard = self.shard(key).lock();
        if shard.known.contains_key(&key) || shard.known.len() < shard.sweep_at {
            return true;
        }
        shard.known.retain(|_, known| known.full_at > now);
        if shard.known.len() >= BUCKETS_MAX {
            shard.known.retain(|key, _| !key.is_user);
        }
        shard.known.shrink_to_fit();
        shard.sweep_at = (shard.known.len() * 2).clamp(SWEEP_AT, BUCKETS_MAX);
        shard.known.len() < BUCKETS_MAX
    }

    /// Buckets in memory.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().known.len()).sum()
    }

    fn shard(&self, key: Key) -> &Mutex<Shard> {
        // The last bits of ids are random; of addresses, those of both versions that differ most.
        let mixed = key.who ^ (key.who >> 64) ^ (key.who >> 72);
        let index = usize::try_from(mixed % SHARDS as u128).unwrap_or(0);
        // In range by the remainder; the fallback is never taken.
        self.shards.get(index).unwrap_or(&self.shards[0])
    }
}
