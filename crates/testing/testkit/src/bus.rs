use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use klatch_ports::PortResult;
use klatch_ports::bus::{BusSubscriber, Subscription};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What a [`FlakyBus`] does to payloads on their way to subscribers, in percent of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusFaults {
    /// Never arrives.
    pub drop: u8,
    /// Arrives, and once more right after.
    pub repeat: u8,
}

/// A bus that keeps the letter of its port and no more: it drops, and it repeats. Clones share
/// their faults.
#[derive(Clone)]
pub struct FlakyBus {
    inner: Arc<dyn BusSubscriber>,
    state: Arc<Mutex<State>>,
}

struct State {
    faults: BusFaults,
    random: StdRng,
    dropped: u64,
}

impl std::fmt::Debug for FlakyBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlakyBus")
            .field("faults", &self.state.lock().faults)
            .finish_non_exhaustive()
    }
}

impl FlakyBus {
    /// A bus over `inner` without faults so far; which payloads they hit repeats with `seed`.
    pub fn new(inner: Arc<dyn BusSubscriber>, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let state = State { faults: BusFaults::default(), random, dropped: 0 };
        Self { inner, state: Arc::new(Mutex::new(state)) }
    }

    /// From now on these faults.
    pub fn set(&self, faults: BusFaults) {
        self.state.lock().faults = faults;
    }

    /// How many payloads were dropped.
    pub fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }
}

#[async_trait]
impl BusSubscriber for FlakyBus {
    async fn subscribe(&self, subject: &str) -> PortResult<Box<dyn Subscription>> {
        let inner = self.inner.subscribe(subject).await?;
        let state = Arc::clone(&self.state);
        Ok(Box::new(FlakySubscription { inner, state, again: None }))
    }
}

struct FlakySubscription {
    inner: Box<dyn Subscription>,
    state: Arc<Mutex<State>>,
    again: Option<(String, Bytes)>,
}

impl FlakySubscription {
    /// The payload unless it is lost.
    fn pass(&mut self, payload: (String, Bytes)) -> Option<(String, Bytes)> {
        let mut state = self.state.lock();
        let BusFaults { drop, repeat } = state.faults;
        let mut happens = |percent: u8| state.random.random_range(0..100) < percent;
        if happens(drop) {
            state.dropped += 1;
            return None;
        }
        self.again = happens(repeat).then(|| payload.clone());
        Some(payload)
    }
}

#[async_trait]
impl Subscription for FlakySubscription {
    async fn next(&mut self) -> Option<(String, Bytes)> {
        loop {
            if let Some(again) = self.again.take() {
                return Some(again);
            }
            let payload = self.inner.next().await?;
            if let Some(payload) = self.pass(payload) {
                return Some(payload);
            }
        }
    }

    fn try_next(&mut self) -> Option<(String, Bytes)> {
        loop {
            if let Some(again) = self.again.take() {
                return Some(again);
            }
            let payload = self.inner.try_next()?;
            if let Some(payload) = self.pass(payload) {
                return Some(payload);
            }
        }
    }
}
