//! A KV that counts and fails on demand, and limiters over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use klatch_domain::UserId;
use klatch_limits::{Action, Asked, Caller, Class, Limiter, Policy, Standing, Window};
use klatch_memory::kv::MemoryKv;
use klatch_ports::kv::{Entry, KvReader, KvWatch, KvWriter, Revision};
use klatch_ports::{ErrorKind, PortError, PortResult};
use klatch_testkit::ManualClock;

pub(crate) const MINUTE: Duration = Duration::from_mins(1);

/// The KV in memory; counts what is asked of it.
#[derive(Clone, Default)]
pub(crate) struct Watched {
    pub(crate) inner: MemoryKv,
    pub(crate) reads: Arc<AtomicU64>,
    pub(crate) writes: Arc<AtomicU64>,
    pub(crate) is_down: Arc<AtomicBool>,
}

impl Watched {
    fn count(&self, counter: &AtomicU64) -> PortResult<()> {
        counter.fetch_add(1, Ordering::Relaxed);
        if self.is_down.load(Ordering::Relaxed) {
            return Err(PortError::new(ErrorKind::Unavailable, "memory", "kv"));
        }
        Ok(())
    }

    pub(crate) fn asked(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl KvReader for Watched {
    async fn get(&self, key: &str) -> PortResult<Option<Entry>> {
        self.count(&self.reads)?;
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<(String, Entry)>> {
        self.inner.list(prefix).await
    }

    async fn watch(&self, prefix: &str) -> PortResult<Box<dyn KvWatch>> {
        self.inner.watch(prefix).await
    }
}

#[async_trait]
impl KvWriter for Watched {
    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> PortResult<Revision> {
        self.inner.put(key, value, ttl).await
    }

    async fn put_if(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
        expected: Option<Revision>,
    ) -> PortResult<Option<Revision>> {
        self.count(&self.writes)?;
        self.inner.put_if(key, value, ttl, expected).await
    }

    async fn delete(&self, key: &str) -> PortResult<Revision> {
        self.inner.delete(key).await
    }
}

/// Instances over one KV.
pub(crate) struct World {
    pub(crate) kv: Watched,
    pub(crate) clock: ManualClock,
    pub(crate) instances: Vec<Arc<Limiter>>,
}

impl World {
    pub(crate) fn new(policy: &Policy, instances: usize) -> Self {
        let (kv, clock) = (Watched::default(), ManualClock::default());
        let instance =
            || Arc::new(Limiter::new(*policy, Arc::new(kv.clone()), Arc::new(clock.clone())));
        let instances = (0..instances).map(|_| instance()).collect();
        Self { kv, clock, instances }
    }

    /// One instance.
    pub(crate) fn one(policy: &Policy) -> Self {
        Self::new(policy, 1)
    }

    /// Time goes on, for the KV too.
    pub(crate) async fn pass(&self, span: Duration) {
        self.clock.advance(span);
        tokio::time::advance(span).await;
    }

    /// Asks as connections do: memory first.
    pub(crate) async fn send(&self, instance: usize, caller: Caller) -> Standing {
        let Some(limiter) = self.instances.get(instance) else { panic!("no such instance") };
        match limiter.ask(caller, Action::Send) {
            Asked::Known(standing) => standing,
            Asked::Unknown => match limiter.take(caller, Action::Send).await {
                Some(standing) => standing,
                None => panic!("there is a limit"),
            },
            Asked::Free => panic!("there is a limit"),
        }
    }

    /// How many of so many sends are let through.
    pub(crate) async fn sends(&self, instance: usize, caller: Caller, count: usize) -> usize {
        let mut through = 0;
        for _ in 0..count {
            through += usize::from(self.send(instance, caller).await.refused.is_none());
        }
        through
    }
}

pub(crate) fn person(number: u128) -> Caller {
    Caller::User(Class::Person, UserId::from_bits(number))
}

/// The defaults, but for the messages of people.
pub(crate) fn messages(count: u32, per: Duration) -> Policy {
    let mut policy = Policy::default();
    policy.person.messages = Window { count, per };
    policy
}
