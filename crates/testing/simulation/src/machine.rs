//! What a crash leaves: the disk, accounts and keys (synced by their engines), and the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use klatch_domain::{Clock, Entropy, Timestamp};
use klatch_log::LogConfig;
use klatch_log::disk::sim::SimDisk;
use klatch_memory::accounts::Accounts;
use klatch_memory::keys::Keys;
use klatch_soak::dice::Dice;
use klatch_testkit::SeededEntropy;
use parking_lot::Mutex;
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z.
pub(crate) const BEGINNING: Timestamp = Timestamp(1_767_225_600_000);

/// A machine, over all lives of its servers.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) entropy: Arc<SeededEntropy>,
    dice: Mutex<Dice>,
    /// Most milliseconds that a batch takes to the disk.
    disk_ms: AtomicU64,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        let entropy = Arc::new(SeededEntropy::new(seed));
        Self {
            disk: SimDisk::new(seed),
            accounts: Arc::new(Accounts::new()),
            keys: Arc::new(Keys::new(Arc::clone(&entropy) as Arc<dyn Entropy>)),
            clock: Arc::new(VirtualClock { begun: Instant::now(), skew_ms: AtomicI64::new(0) }),
            entropy,
            dice: Mutex::new(Dice::new(seed).part(1 << 32)),
            disk_ms: AtomicU64::new(4),
        }
    }

    /// Segments of a few dozen records, so that every life rolls some.
    pub(crate) fn log_config() -> LogConfig {
        LogConfig {
            segment_bytes: 64 * 1024,
            batch_bytes: 16 * 1024,
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
}

impl VirtualClock {
    /// Sets the clock off by so many milliseconds.
    pub(crate) fn set_skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = BEGINNING.plus_ms(passed).0;
        Timestamp(now.saturating_add_signed(self.skew_ms.load(Ordering::Relaxed)))
    }
}
