//! What a crash leaves: the disk, accounts and keys (synced by their engines), and the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use klatch_domain::{Clock, Entropy, Timestamp};
use klatch_log::LogConfig;
use klatch_log::disk::sim::SimDisk;
use klatch_memory::accounts::Accounts;
use klatch_memory::keys::Keys;
use klatch_memory::whereabouts::MemoryWhereabouts;
use klatch_soak::dice::Dice;
use klatch_testkit::SeededEntropy;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clerk;
use crate::files::Files;
use crate::forget::Forgotten;

/// 2026-01-01T00:00:00Z.
pub(crate) const BEGINNING: Timestamp = Timestamp(1_767_225_600_000);

/// Longer than a log keeps what is appended.
const MONTH_MS: u64 = 31 * 24 * 3_600 * 1_000;

/// A machine, over all lives of its servers.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) whereabouts: Arc<MemoryWhereabouts>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) entropy: Arc<SeededEntropy>,
    dice: Mutex<Dice>,
    /// Most milliseconds that a batch takes to the disk.
    disk_ms: AtomicU64,
    /// The read models and their snapshot, when the log forgets; else they are in memory.
    pub(crate) files: Option<Files>,
    pub(crate) forgotten: Mutex<Forgotten>,
    pub(crate) clerk: clerk::Done,
    /// Whether the disk has little space left.
    full: AtomicBool,
    /// Whether its syncs fail.
    failing: AtomicBool,
    /// Promises that were broken, beside those to people.
    broken: Mutex<Vec<anyhow::Error>>,
}

impl Machine {
    pub(crate) fn new(seed: u64, forgets: bool) -> anyhow::Result<Self> {
        let files = forgets.then(|| Files::new(Dice::new(seed).part(1 << 33))).transpose()?;
        let entropy = Arc::new(SeededEntropy::new(seed));
        Ok(Self {
            disk: SimDisk::new(seed),
            accounts: Arc::new(Accounts::new()),
            whereabouts: Arc::default(),
            keys: Arc::new(Keys::new(Arc::clone(&entropy) as Arc<dyn Entropy>)),
            clock: Arc::new(VirtualClock {
                begun: Instant::now(),
                skew_ms: AtomicI64::new(0),
                months: Arc::default(),
            }),
            entropy,
            dice: Mutex::new(Dice::new(seed).part(1 << 32)),
            disk_ms: AtomicU64::new(4),
            files,
            forgotten: Mutex::default(),
            clerk: clerk::Done::default(),
            full: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            broken: Mutex::default(),
        })
    }

    /// Segments of a few hundred records, so that every life rolls some; where the log forgets, of
    /// a few dozen.
    pub(crate) fn log_config(&self) -> LogConfig {
        let forgets = self.files.is_some();
        LogConfig {
            segment_bytes: if forgets { 12 * 1024 } else { 64 * 1024 },
            batch_bytes: if forgets { 6 * 1024 } else { 16 * 1024 },
            tail_bytes: 32 * 1024,
            read_cache_bytes: 128 * 1024,
            fill_bytes_min: 4 * 1024,
            fill_bytes_max: 16 * 1024,
            reserve_bytes: 0,
            sync_interval: Duration::ZERO,
            ..LogConfig::default()
        }
    }

    /// From now on a batch takes up to so many milliseconds.
    pub(crate) fn set_disk_ms(&self, most: u64) {
        self.disk_ms.store(most, Ordering::Relaxed);
    }

    /// Whether the disk has little space from now on.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.full.store(is_full, Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether syncs fail from now on.
    pub(crate) fn set_failing(&self, is_failing: bool) {
        self.failing.store(is_failing, Ordering::Relaxed);
    }

    /// Whether the disk may refuse what is written to it.
    pub(crate) fn is_ailing(&self) -> bool {
        self.is_full() || self.failing.load(Ordering::Relaxed)
    }

    /// Notes a broken promise.
    pub(crate) fn breaks(&self, promise: anyhow::Error) {
        self.broken.lock().push(promise);
    }

    /// # Errors
    /// The first promise that was broken.
    pub(crate) fn judge(&self) -> anyhow::Result<()> {
        let mut broken = self.broken.lock();
        if broken.is_empty() { Ok(()) } else { Err(broken.remove(0)) }
    }

    /// How long the next batch takes.
    pub(crate) fn disk_time(&self) -> Duration {
        self.dice.lock().millis(0, 1 + self.disk_ms.load(Ordering::Relaxed))
    }
}

/// A wall clock that goes with virtual time, and can be set.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    begun: Instant,
    skew_ms: AtomicI64,
    /// How many passed while the machine was off.
    months: Arc<AtomicU64>,
}

impl VirtualClock {
    /// A month passes.
    pub(crate) fn pass_a_month(&self) {
        self.months.fetch_add(1, Ordering::Relaxed);
    }

    /// How many passed.
    pub(crate) fn months(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.months)
    }

    /// Sets the clock off by so many milliseconds.
    pub(crate) fn set_skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let months = self.months.load(Ordering::Relaxed) * MONTH_MS;
        let now = BEGINNING.plus_ms(passed + months).0;
        Timestamp(now.saturating_add_signed(self.skew_ms.load(Ordering::Relaxed)))
    }
}
