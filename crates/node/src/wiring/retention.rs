//! The job that lets the log forget: a snapshot that is found right, then the oldest segments.
//!
//! It has nothing to do until a whole segment is older than retention, so a young server pays
//! nothing. Then, now and then, it brings the snapshot up to the read models at a quarter of a
//! core, and removes what is old, covered, and passed by every consumer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use klatch_ports::Offset;
use klatch_ports::log::LogReader as _;
use klatch_ports::{Partition, StreamId};
use klatch_retention::{Behind, Retention, is_stopped};
use tokio_util::sync::CancellationToken;

use super::{Adapters, Process};
use crate::config::Keep;

/// A server looks this soon after its start.
const FIRST: Duration = Duration::from_mins(1);
/// Between two looks.
const OFTEN_MOST: Duration = Duration::from_secs(1);
const SELDOM_MOST: Duration = Duration::from_hours(24);
/// Looks per retention.
const LOOKS: u32 = 30;

/// What the job did, for metrics.
#[derive(Debug, Default)]
pub(crate) struct RetentionStats {
    /// Offset before the first record that the log holds.
    pub(crate) start: AtomicU64,
    /// Segments that were removed.
    pub(crate) forgotten: AtomicU64,
    /// The number of the snapshot, and everything up to where is in it.
    pub(crate) snapshot: AtomicU64,
    pub(crate) covers: AtomicU64,
    /// When it was found right, in seconds since 1970.
    pub(crate) verified_at: AtomicU64,
    /// What the last round took, in milliseconds.
    pub(crate) took_ms: AtomicU64,
    /// Rounds that failed.
    pub(crate) failures: AtomicU64,
    /// Whether one is running.
    pub(crate) running: AtomicBool,
}

/// Starts the job, unless everything is kept.
pub(crate) fn start(process: &Process, adapters: &Adapters) -> Arc<RetentionStats> {
    let stats = Arc::<RetentionStats>::default();
    let Keep::For(retention) = process.config.log.retention else { return stats };
    let job = Job {
        dir: process.config.server.data_dir.clone(),
        retention: Retention {
            log: Arc::clone(&adapters.log),
            live: adapters.stores(),
            snapshot: adapters.snapshot.clone(),
            clock: Arc::clone(&process.clock),
            kept_for: retention.0,
        },
        stop: process.stop.clone(),
        stats: Arc::clone(&stats),
    };
    process.tasks.spawn(Arc::new(job).run());
    stats
}

struct Job {
    dir: PathBuf,
    retention: Retention,
    stop: CancellationToken,
    stats: Arc<RetentionStats>,
}

impl Job {
    async fn run(self: Arc<Self>) {
        let pause = (self.retention.kept_for / LOOKS).clamp(OFTEN_MOST, SELDOM_MOST);
        let mut wait = pause.min(FIRST);
        while self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            wait = pause;
            if !self.has_work().await {
                continue;
            }
            let job = Arc::clone(&self);
            // Ends soon when it is told to stop; a panic was told by its thread.
            match tokio::task::spawn_blocking(move || job.round()).await {
                Ok(true) => {}
                Ok(false) => wait = pause.min(FIRST),
                Err(_) => {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    async fn has_work(&self) -> bool {
        let start = self.retention.log.start(StreamId::Messages, Partition(0)).await;
        let start = start.unwrap_or(Offset::ZERO);
        self.stats.start.store(start.0, Ordering::Relaxed);
        self.retention.forgettable() > start
    }

    /// False when it stepped aside for somebody, or read models are being made again: it is done
    /// again soon.
    fn round(&self) -> bool {
        let began = Instant::now();
        self.stats.running.store(true, Ordering::Relaxed);
        let done = self.forget();
        self.stats.running.store(false, Ordering::Relaxed);
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.stats.took_ms.store(took, Ordering::Relaxed);
        match done {
            Ok(done) => done,
            Err(error) if is_stopped(&error) => false,
            Err(error) if error.is::<Behind>() => {
                tracing::info!("the log forgets nothing yet: {error}");
                false
            }
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                let (dir, error) = (self.dir.display(), format!("{error:#}"));
                tracing::error!(%dir, error, "the log forgets nothing until this is mended");
                true
            }
        }
    }

    /// One snapshot, then what it lets go of; false when somebody else is at it. Blocks.
    fn forget(&self) -> anyhow::Result<bool> {
        let Retention { log, snapshot, clock, .. } = &self.retention;
        let Some(held) = snapshot.try_hold() else { return Ok(false) };
        let now = clock.now();
        let mut pace = snapshot.gentle_pace(self.stop.clone());
        let manifest = self.retention.cover(&held, &mut pace)?;
        self.stats.snapshot.store(manifest.number, Ordering::Relaxed);
        self.stats.covers.store(manifest.covers().0, Ordering::Relaxed);
        self.stats.verified_at.store(now.0 / 1_000, Ordering::Relaxed);
        let segments = log.segments();
        let start = self.retention.let_go(&manifest)?;
        let gone = segments.saturating_sub(log.segments()) as u64;
        self.stats.start.store(start.0, Ordering::Relaxed);
        self.stats.forgotten.fetch_add(gone, Ordering::Relaxed);
        let (number, covers) = (manifest.number, manifest.covers());
        tracing::info!(
            snapshot = number, %covers, segments = gone, %start,
            "the log has forgotten what is old"
        );
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
