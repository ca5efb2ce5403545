//! The bus inside one process: a bounded queue per subscription.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use klatch_ports::PortResult;
use klatch_ports::bus::{BusPublisher, BusSubscriber, Subscription};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

/// What one subscription may hold before new payloads are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusLimits {
    /// Most payloads.
    pub payloads: usize,
    /// Most bytes of subjects and payloads.
    pub bytes: usize,
}

impl Default for BusLimits {
    fn default() -> Self {
        Self { payloads: 1024, bytes: 8 * 1024 * 1024 }
    }
}

/// A bus for one process; clones are handles to the same bus. Payloads are shared, never copied.
#[derive(Clone, Debug, Default)]
pub struct MemoryBus(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    limits: BusLimits,
    routes: RwLock<Routes>,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Routes {
    exact: HashMap<String, Vec<Arc<Queue>>>,
    /// By what the subject must begin with. Few: an instance has a constant number of them.
    prefixes: HashMap<String, Vec<Arc<Queue>>>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    payloads: VecDeque<(String, Bytes)>,
    bytes: usize,
    closed: bool,
}

impl MemoryBus {
    /// A bus whose subscriptions keep to `limits`.
    pub fn with_limits(limits: BusLimits) -> Self {
        Self(Arc::new(Shared { limits, ..Shared::default() }))
    }

    /// How many payloads were dropped because a subscription's queue was full.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Ends every subscription once it has taken what is queued; new ones end at once.
    pub fn close(&self) {
        let routes = {
            let mut routes = self.0.routes.write();
            std::mem::replace(&mut *routes, Routes { closed: true, ..Routes::default() })
        };
        for queue in routes.exact.values().chain(routes.prefixes.values()).flatten() {
            queue.close();
        }
    }
}

impl Shared {
    fn deliver(&self, queue: &Queue, subject: &str, payload: &Bytes) {
        if !queue.push(subject, payload, self.limits) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Queue {
    /// Whether there was room.
    fn push(&self, subject: &str, payload: &Bytes, limits: BusLimits) -> bool {
        let bytes = subject.len() + payload.len();
        {
            let mut waiting = self.waiting.lock();
            let full = waiting.payloads.len() >= limits.payloads
                || waiting.bytes.saturating_add(bytes) > limits.bytes;
            if full {
                return false;
            }
            waiting.bytes += bytes;
            waiting.payloads.push_back((subject.to_owned(), payload.clone()));
        }
        self.arrived.notify_one();
        true
    }

    fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_one();
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.waiting.lock();
        f.debug_struct("Queue")
            .field("payloads", &waiting.payloads.len())
            .field("bytes", &waiting.bytes)
            .field("closed", &waiting.closed)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl BusPublisher for MemoryBus {
    async fn publish(&self, subject: &str, payload: Bytes) -> PortResult<()> {
        let routes = self.0.routes.read();
        for queue in routes.exact.get(subject).into_iter().flatten() {
            self.0.deliver(queue, subject, &payload);
        }
        for (prefix, queues) in &routes.prefixes {
            if subject.starts_with(prefix.as_str()) {
                for queue in queues {
                    self.0.deliver(queue, subject, &payload);
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl BusSubscriber for MemoryBus {
    async fn subscribe(&self, subject: &str) -> PortResult<Box<dyn Subscription>> {
        let queue = Arc::new(Queue::default());
        let mut routes = self.0.routes.write();
        if routes.closed {
            queue.close();
        } else {
            let list = routes.list(subject).entry(bare(subject).to_owned()).or_default();
            list.push(Arc::clone(&queue));
        }
        let shared = Arc::clone(&self.0);
        Ok(Box::new(MemorySubscription { shared, subject: subject.to_owned(), queue }))
    }
}

impl Routes {
    fn list(&mut self, subject: &str) -> &mut HashMap<String, Vec<Arc<Queue>>> {
        if subject.ends_with('>') { &mut self.prefixes } else { &mut self.exact }
    }
}

/// A subscription's subject without the `>` that makes it a prefix.
fn bare(subject: &str) -> &str {
    subject.strip_suffix('>').unwrap_or(subject)
}

#[derive(Debug)]
struct MemorySubscription {
    shared: Arc<Shared>,
    subject: String,
    queue: Arc<Queue>,
}

impl MemorySubscription {
    /// The next payload, or whether none will come.
    fn take(&self) -> Result<(String, Bytes), bool> {
        let mut waiting = self.queue.waiting.lock();
        let Some((subject, payload)) = waiting.payloads.pop_front() else {
            return Err(waiting.closed);
        };
        waiting.bytes -= subject.len() + payload.len();
        Ok((subject, payload))
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self) -> Option<(String, Bytes)> {
        loop {
            // The queue is this handle's alone, so a permit left by `notify_one` cannot be lost to
            // another waiter.
            match self.take() {
                Ok(found) => return Some(found),
                Err(true) => return None,
                Err(false) => self.queue.arrived.notified().await,
            }
        }
    }

    fn try_next(&mut self) -> Option<(String, Bytes)> {
        self.take().ok()
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        let mut routes = self.shared.routes.write();
        let lists = routes.list(&self.subject);
        let key = bare(&self.subject);
        if let Some(queues) = lists.get_mut(key) {
            queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
            if queues.is_empty() {
                lists.remove(key);
            }
        }
    }
}
