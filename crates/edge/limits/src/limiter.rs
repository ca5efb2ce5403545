//! The limiter: tokens from memory when there are some, else from the KV.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use klatch_domain::Clock;
use klatch_ports::PortResult;
use klatch_ports::kv::{KvReader, KvWriter};

use crate::address::CROWD;
use crate::bucket::Rate;
use crate::policy::{Action, Caller, Class, Policy, Window};
use crate::table::{Key, Spent, Table};

/// A chunk is the window's count through this.
const CHUNK_PART: u32 = 8;
/// Most tokens of a chunk.
const CHUNK_MAX: u32 = 32;
/// Tries to take a chunk while others take theirs.
const TRIES: usize = 8;
/// A bucket's number stays in the KV this much longer than it means anything.
const SPARE: Duration = Duration::from_secs(1);

/// Both halves of the KV port.
pub trait Kv: KvReader + KvWriter {}
impl<T: KvReader + KvWriter> Kv for T {}

/// Where a caller stands after they asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What they wanted.
    pub action: Action,
    /// How often they may.
    pub window: Window,
    /// How often they still may at once.
    pub remaining: u32,
    /// When they may as often as ever again.
    pub full_after: Duration,
    /// Set when they may not now: how long to wait.
    pub refused: Option<Duration>,
}

/// What is known without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// There is no limit.
    Free,
    /// Decided.
    Known(Standing),
    /// The KV has to be asked: [`Limiter::take`].
    Unknown,
}

/// Says who may do something now. One per process; all instances share their buckets.
pub struct Limiter {
    policy: Policy,
    kv: Arc<dyn Kv>,
    clock: Arc<dyn Clock>,
    table: Table,
    refused: [AtomicU64; Action::ALL.len()],
    /// Times the KV could not be asked.
    alone: AtomicU64,
}

/// What an action is held to.
#[derive(Clone, Copy)]
struct Of {
    action: Action,
    window: Window,
    rate: Rate,
}

/// Tokens taken out of the shared bucket, and the bucket after it.
struct Lease {
    taken: u32,
    full_at: u64,
    revision: u64,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("buckets", &self.table.len()).finish_non_exhaustive()
    }
}

impl Limiter {
    /// A limiter over the buckets in `kv`.
    pub fn new(policy: Policy, kv: Arc<dyn Kv>, clock: Arc<dyn Clock>) -> Self {
        let refused = std::array::from_fn(|_| AtomicU64::new(0));
        Self { policy, kv, clock, table: Table::default(), refused, alone: AtomicU64::new(0) }
    }

    /// Connections that a kind of caller may have open at a time; 0: no limit.
    pub fn connections(&self, class: Class) -> u32 {
        self.policy.connections(class)
    }

    /// Whether `caller` may do `action` now, if memory knows; then a token is spent. Takes no time
    /// but a short lock. Refusals are known mostly, so who is over their limit costs no KV.
    pub fn ask(&self, caller: Caller, action: Action) -> Asked {
        let Some(of) = self.of(caller, action) else { return Asked::Free };
        let key = Key::new(caller, action);
        self.spend(key, of).map_or(Asked::Unknown, Asked::Known)
    }

    /// Whether `caller` may do `action` now; then a token is spent. `None`: there is no limit.
    /// Costs at most a read and a write of the KV per chunk. Never fails: without a KV this
    /// instance counts for itself.
    pub async fn take(&self, caller: Caller, action: Action) -> Option<Standing> {
        let of = self.of(caller, action)?;
        let mut key = Key::new(caller, action);
        if !self.table.has_room(key, self.now_us()) {
            key = Key::new(Caller::Address(CROWD), action);
        }
        if let Some(standing) = self.spend(key, of) {
            return Some(standing);
        }
        let wish = (of.window.count / CHUNK_PART).clamp(1, CHUNK_MAX);
        let back = self.table.reclaim(key);
        let lease = self.lease(key, of.rate, back, wish).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "limits are counted alone");
            None
        });
        let now = self.now_us();
        let Lease { taken, full_at, revision } = lease.unwrap_or_else(|| {
            // Contended or unreachable: what this instance knows has to do.
            self.alone.fetch_add(1, Ordering::Relaxed);
            let (full_at, revision) = self.table.last(key).unwrap_or_default();
            let (taken, full_at) = of.rate.take(full_at, now, back, wish);
            Lease { taken, full_at, revision }
        });
        let held = taken.saturating_sub(1);
        self.table.learn(key, now, revision, full_at, held);
        let standing = of.standing(full_at, held, now);
        Some(if taken == 0 { self.refuse(standing, of.rate.wait(full_at, now)) } else { standing })
    }

    fn of(&self, caller: Caller, action: Action) -> Option<Of> {
        let window = self.policy.window(caller, action);
        Rate::of(window).map(|rate| Of { action, window, rate })
    }

    fn spend(&self, key: Key, of: Of) -> Option<Standing> {
        let now = self.now_us();
        match self.table.spend(key, of.rate, now) {
            Spent::Yes(full_at, held) => Some(of.standing(full_at, held, now)),
            Spent::No(full_at) => {
                let standing = of.standing(full_at, 0, now);
                Some(self.refuse(standing, of.rate.wait(full_at, now)))
            }
            Spent::Ask => None,
        }
    }

    /// Takes up to `wish` tokens out of the shared bucket after `back` were put back. `None`:
    /// others were faster again and again.
    async fn lease(&self, key: Key, rate: Rate, back: u32, wish: u32) -> PortResult<Option<Lease>> {
        let name = key.name();
        for _ in 0..TRIES {
            let found = self.kv.get(&name).await?;
            let before = found.as_ref().map_or(0, |entry| number(&entry.value));
            let revision = found.map(|entry| entry.revision);
            let now = self.now_us();
            let is_ahead = rate.sane(before, now) < before;
            let local = self.table.last(key).filter(|_| is_ahead);
            let start = local.map_or(before, |(full_at, _)| full_at);
            let (taken, full_at) = rate.take(start, now, back, wish);
            if taken == 0 && back == 0 && !is_ahead {
                let revision = revision.unwrap_or_default().0;
                return Ok(Some(Lease { taken, full_at, revision }));
            }
            let ttl = rate.full_after(full_at, now) + SPARE;
            let value = Bytes::copy_from_slice(&full_at.to_be_bytes());
            if let Some(new) = self.kv.put_if(&name, value, Some(ttl), revision).await? {
                return Ok(Some(Lease { taken, full_at, revision: new.0 }));
            }
        }
        Ok(None)
    }

    fn refuse(&self, standing: Standing, wait: Duration) -> Standing {
        if let Some(count) = self.refused.get(standing.action as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Standing { refused: Some(wait), ..standing }
    }

    /// How often each action was refused.
    pub fn refusals(&self) -> impl Iterator<Item = (Action, u64)> {
        let counts = self.refused.iter().map(|count| count.load(Ordering::Relaxed));
        Action::ALL.into_iter().zip(counts)
    }

    /// How often the KV could not be asked.
    pub fn alone(&self) -> u64 {
        self.alone.load(Ordering::Relaxed)
    }

    /// Buckets in memory: at most 65,536.
    pub fn buckets(&self) -> usize {
        self.table.len()
    }

    fn now_us(&self) -> u64 {
        self.clock.now().0.saturating_mul(1_000)
    }
}

impl Of {
    fn standing(self, full_at: u64, held: u32, now: u64) -> Standing {
        let Self { action, window, rate } = self;
        let remaining = rate.left(full_at, now).saturating_add(held).min(window.count);
        let full_after = rate.full_after(rate.without(full_at, now, held), now);
        Standing { action, window, remaining, full_after, refused: None }
    }
}

/// A bucket as it lies in the KV; anything else is a full one.
fn number(value: &Bytes) -> u64 {
    value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
