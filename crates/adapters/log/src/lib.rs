//! Owns the embedded event log: files of its own, one order for all streams, one sync for many.
//! Must not contain: what a record means, another engine, or file access outside `disk`.
//!
//! Every record has an offset in one dense count over all streams, which is its place in each
//! stream that shows it. What was appended at the same time is written and synced together, as a
//! batch; batches lie one after another in segments. Readers see only what is synced.
//!
//! - `log/<first offset>.seg` a segment (`segment`, `batch`: the bytes), the newest is written to
//! - `log/<first offset>.idx` beside each older one: where batches lie and the newest record of
//!   each key (`index`, `table`); `.heads`: the same of many segments. All can be made again.
//! - `log/epoch`, `log/lock`, `log/spare`; `consumers/<name>`: places of durable consumers
//! - `log/kept`: records of SYSTEM whose segments were forgotten (`forget`, `kept`)
//!
//! Threads: `klatch-log-write` writes and syncs (`writer`), `klatch-log-done` tells what became of
//! appends, `klatch-log-fill` keeps zeros ahead of the end (`space`), `klatch-log-tend` writes
//! indexes and places (`tend`). Opening (`recover`) cuts a torn end and refuses damage.
#![warn(missing_docs)]

mod batch;
mod config;
mod consumer;
mod copy;
pub mod disk;
mod draft;
mod epoch;
mod error;
mod forget;
mod glance;
mod heads;
mod image;
mod index;
mod kept;
mod port;
mod progress;
mod queue;
mod reader;
mod recover;
mod repair;
mod scan;
mod segment;
mod space;
mod stats;
mod stepped;
mod table;
mod tail;
mod tend;
mod threads;
mod writer;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use klatch_domain::{Clock, Entropy};
use klatch_ports::{Epoch, PortResult};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::disk::{Disk, DiskLock};
use consumer::Consumers;
use heads::Heads;
use kept::Kept;
use queue::Queue;
use reader::Reader;
use recover::{recover, take_lock};
use segment::Segments;
use space::Space;
use stats::Stats;
use stepped::Stepper;
use tail::Tail;
use threads::Threads;
use writer::Start;

pub use config::LogConfig;
pub use copy::CopiedLog;
pub use epoch::bump_epoch;
pub use glance::{Glance, glance};
pub use stats::{LogStats, SYNC_BUCKETS_US};

/// Reads one batch, header first, as a segment holds it; `None` when it is damaged. For tools and
/// fuzzing: the log itself reads with more context.
pub fn read_batch(bytes: &[u8]) -> Option<Vec<klatch_ports::log::Record>> {
    let header = batch::Header::read(bytes)?;
    let body = bytes.get(batch::HEADER..header.used())?;
    let mut records = Vec::new();
    let body = bytes::Bytes::copy_from_slice(body);
    batch::decode(&header, &body, &mut records).ok()?;
    Some(records)
}

/// The log of one data directory. Dropping the last handle closes it.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
    /// In place of threads, in a simulation.
    stepper: Mutex<Option<Stepper>>,
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

/// What the threads and the readers of a log share.
struct Shared {
    disk: Arc<dyn Disk>,
    config: LogConfig,
    /// Whether there are no threads.
    stepped: bool,
    clock: Arc<dyn Clock>,
    epoch: Epoch,
    queue: Queue,
    segments: Segments,
    heads: Heads,
    tail: Tail,
    reader: Reader,
    kept: Kept,
    space: Space,
    consumers: Consumers,
    stats: Stats,
    /// Held while segments are removed; whether that was broken off the last time.
    forgetting: Mutex<bool>,
    /// Offset of the last record that readers may see.
    durable: AtomicU64,
    /// Changes after `durable` did.
    moved: watch::Sender<()>,
    /// Why the log is of no more use.
    fatal: watch::Sender<Option<Arc<str>>>,
}

impl EmbeddedLog {
    /// Opens the log on `disk`, or makes an empty one. Blocks; a log of any size takes the time to
    /// read its newest segment, and those whose index is missing. A full disk is no hindrance: what
    /// there is no space for stays in memory and is written when there is.
    ///
    /// # Errors
    /// `Corrupt` names the damaged place, and nothing was changed; `Unavailable` when another
    /// process has the directory; `Full` when there is no space for a first segment;
    /// `Misconfigured`.
    pub fn open(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> PortResult<Arc<Self>> {
        let (shared, start, lock) = Self::prepare(disk, config, clock, entropy, false)?;
        let threads = Threads::start(&shared, start).map_err(error::io("open"))?;
        let (threads, lock) = (Mutex::new(Some(threads)), Mutex::new(Some(lock)));
        Ok(Arc::new(Self { shared, threads, stepper: Mutex::new(None), lock }))
    }

    /// As [`EmbeddedLog::open`], without threads: nothing is written but by [`EmbeddedLog::step`],
    /// and reads run on the caller's thread. For simulations, where the same calls on the same
    /// disk must do the same.
    ///
    /// # Errors
    /// As [`EmbeddedLog::open`].
    pub fn open_stepped(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> PortResult<Arc<Self>> {
        let (shared, start, lock) = Self::prepare(disk, config, clock, entropy, true)?;
        let stepper = Mutex::new(Some(Stepper::new(&shared, start)));
        Ok(Arc::new(Self {
            shared,
            threads: Mutex::new(None),
            stepper,
            lock: Mutex::new(Some(lock)),
        }))
    }

    /// Serves what waits as one batch on this thread, completions included; whether there was any.
    /// Of a log with threads: does nothing.
    pub fn step(&self) -> bool {
        let mut stepper = self.stepper.lock();
        stepper.as_mut().is_some_and(|stepper| stepper.step(&self.shared))
    }

    /// Ends a stepped log as a crash does: nothing that waits is served (its outcome is told to be
    /// unknown), nothing is written, and the directory is let go of. Of a log with threads: does
    /// nothing.
    pub fn abandon(&self) {
        let stepper = self.stepper.lock().take();
        if let Some(stepper) = stepper {
            stepper.abandon(&self.shared);
            *self.lock.lock() = None;
        }
    }

    fn prepare(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        stepped: bool,
    ) -> PortResult<(Arc<Shared>, Start, Box<dyn DiskLock>)> {
        config.validate()?;
        let lock = take_lock(&*disk)?;
        let recovered = recover(&*disk, &config, entropy)?;
        let start = recovered.start;
        let kept = Kept::load(&*disk, recovered.segments.first())?;
        let consumers =
            Consumers::load(&*disk, start.last, clock.now()).map_err(error::io("open"))?;
        let file = Arc::clone(&recovered.segments.active().file);
        let shared = Arc::new(Shared {
            epoch: recovered.epoch,
            queue: Queue::default(),
            segments: recovered.segments,
            heads: recovered.heads,
            tail: Tail::new(config.tail_bytes),
            reader: Reader::new(Arc::clone(&disk), config.read_cache_bytes),
            space: Space::new(file, start.filled, config.reserve_bytes, config.space_interval),
            kept,
            consumers,
            forgetting: Mutex::default(),
            stats: Stats::default(),
            durable: AtomicU64::new(start.last),
            moved: watch::Sender::new(()),
            fatal: watch::Sender::new(None),
            disk,
            config,
            stepped,
            clock,
        });
        Ok((shared, start, lock))
    }

    /// Serves what is queued, marks the end, saves the places of consumers and lets go of the
    /// directory. Blocks until then; later appends are refused as closed. Reading still works.
    pub fn close(&self) {
        let (threads, stepper) = (self.threads.lock().take(), self.stepper.lock().take());
        self.shared.queue.close();
        match (threads, stepper) {
            (Some(threads), _) => threads.join(&self.shared),
            (None, Some(mut stepper)) => stepper.finish(&self.shared),
            (None, None) => return,
        }
        if self.shared.fatal.borrow().is_none() {
            self.shared.consumers.save_durably(&*self.shared.disk);
        }
        *self.lock.lock() = None;
    }

    /// Tells when the disk failed, and how. The log then takes nothing more: the process should
    /// end, or drop the log and open it again from what is on the disk.
    pub fn fatal(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.fatal.subscribe()
    }

    /// What the log did since it was opened.
    pub fn stats(&self) -> LogStats {
        self.shared.stats.snapshot(self.shared.queue.bytes())
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog")
            .field("epoch", &self.shared.epoch)
            .field("end", &self.shared.end())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("end", &self.end()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Offset of the last durable record.
    fn end(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The disk failed: nothing that was written since the last sync can be trusted.
    fn poison(&self, error: &io::Error) {
        tracing::error!("the disk of the log failed, nothing more is appended: {error}");
        self.fatal.send_replace(Some(error.to_string().into()));
    }
}
