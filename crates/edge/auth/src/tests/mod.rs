//! The role on the engines that keep everything in memory, with a clock that stands still.

mod audited;
mod letters;
mod listing;
mod provisioning;
mod published;
mod registration;
mod sessions;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use klatch_domain::{Clock, Entropy, Event};
use klatch_memory::accounts::Accounts;
use klatch_memory::keys::Keys;
use klatch_memory::log::MemoryLog;
use klatch_ports::api::auth::{AuthApi, Register, SignedIn};
use klatch_ports::log::{Append, AppendError, Completion, EventAppender, LogReader};
use klatch_ports::position::{Epoch, Offset, Partition, StreamId};
use klatch_ports::{ErrorKind, PortError};
use klatch_protocol::event;
use klatch_protocol::sealed::KeyRing;
use klatch_testkit::{ManualClock, SeededEntropy};
use parking_lot::Mutex;

use crate::config::{Config, HashCost, TrustedIssuer, TrustedKeys};
use crate::signing::SigningKeys;
use crate::{AuditLog, Auth, Parts, Stores};

const PASSWORD: &str = "a long enough one";
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// A log that can lose an append, or only the answer to it.
struct UnsureLog {
    inner: MemoryLog,
    trouble: AtomicU8,
}

#[derive(Clone, Copy)]
enum Trouble {
    None = 0,
    LoseAppend = 1,
    LoseAnswer = 2,
}

impl UnsureLog {
    fn have(&self, trouble: Trouble) {
        self.trouble.store(trouble as u8, Ordering::SeqCst);
    }
}

#[async_trait]
impl EventAppender for UnsureLog {
    fn submit(&self, append: Append, done: Completion) {
        let lost = || Err(AppendError::Port(PortError::new(ErrorKind::Timeout, "log", "append")));
        match self.trouble.load(Ordering::SeqCst) {
            0 => self.inner.submit(append, done),
            1 => done(lost()),
            _ => self.inner.submit(append, Box::new(move |_| done(lost()))),
        }
    }
}

/// A server's auth role, and what it works on. Restarting keeps what is durable.
struct World {
    clock: ManualClock,
    accounts: Arc<Accounts>,
    keys: Arc<Keys>,
    ring: Arc<KeyRing>,
    log: Arc<UnsureLog>,
    entropy: Arc<dyn Entropy>,
    /// What was written down of the signing keys.
    secrets: Arc<Mutex<Vec<[u8; 32]>>>,
    auth: Auth,
}

impl World {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        let clock = ManualClock::default();
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
        let keys = Arc::new(Keys::new(Arc::clone(&entropy)));
        let inner = MemoryLog::new(Epoch(1), 1, Arc::new(clock.clone()));
        let parts = Durable {
            accounts: Arc::default(),
            ring: Arc::new(KeyRing::new(Arc::clone(&keys) as _, 100)),
            log: Arc::new(UnsureLog { inner, trouble: AtomicU8::new(0) }),
            keys,
        };
        Self::start(clock, entropy, parts, config)
    }

    fn start(
        clock: ManualClock,
        entropy: Arc<dyn Entropy>,
        durable: Durable,
        config: Config,
    ) -> Self {
        let Durable { accounts, keys, ring, log } = durable;
        let secrets = Arc::new(Mutex::new(vec![[1; 32]]));
        let kept = Arc::clone(&secrets);
        let parts = Parts {
            stores: Stores::of(&accounts),
            keys: Arc::clone(&keys) as _,
            ring: Arc::clone(&ring),
            log: Arc::clone(&log) as _,
            audit: Arc::new(AuditLog::new(Arc::clone(&log) as _, Arc::new(log.inner.clone()))),
            keep_keys: Arc::new(move |secrets| {
                *kept.lock() = secrets.to_vec();
                Ok(())
            }),
            mailer: None,
            clock: Arc::new(clock.clone()),
            entropy: Arc::clone(&entropy),
        };
        let auth = Auth::new(parts, config, SigningKeys::new(&[1; 32], &[])).unwrap();
        Self { clock, accounts, keys, ring, log, entropy, secrets, auth }
    }

    fn restarted(self) -> Self {
        let Self { clock, accounts, keys, ring, log, entropy, secrets: _, auth: _ } = self;
        Self::start(clock, entropy, Durable { accounts, keys, ring, log }, config())
    }

    async fn register(&self, name: &str) -> SignedIn {
        self.auth.register(wish(name)).await.unwrap()
    }

    /// All events of users, oldest first.
    async fn events(&self) -> Vec<Event> {
        let log = &self.log.inner;
        let batch = log.read(StreamId::Meta, Partition(0), Offset::ZERO, 10_000).await.unwrap();
        batch.records.into_iter().map(|record| event::decode(record.body).unwrap()).collect()
    }

    fn now_seconds(&self) -> u64 {
        self.clock.now().0 / 1_000
    }
}

struct Durable {
    accounts: Arc<Accounts>,
    keys: Arc<Keys>,
    ring: Arc<KeyRing>,
    log: Arc<UnsureLog>,
}

fn config() -> Config {
    Config {
        trusted: vec![TrustedIssuer {
            issuer: "shop".to_owned(),
            keys: TrustedKeys::Secret(SECRET.to_vec()),
            audience: None,
            provision: true,
        }],
        // The cheapest there is: these tests are not about the cost.
        hash: HashCost { memory_kib: 8, passes: 1, at_once: 2, waiting_max: 1_000 },
        ..Config::default()
    }
}

fn wish(name: &str) -> Register {
    Register {
        username: name.to_owned(),
        email: format!("{name}@example.org"),
        password: PASSWORD.to_owned(),
        display_name: None,
        setup_token: None,
        invitation: None,
        device: "test".to_owned(),
    }
}
