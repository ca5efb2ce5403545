//! The loop of a worker that builds rows and keeps its position beside them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_ports::log::{LogReader, Record};
use klatch_ports::messages::Applied;
use klatch_ports::{ErrorKind, Offset, Partition, PortError, PortResult, StreamId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::ProjectionConfig;
use crate::contain::contain;
use crate::dead_letter::{DeadLetters, Place, Verdict};
use crate::density::Density;
use crate::failure::{ApplyError, PumpError};
use crate::progress::Progress;

/// How long one look for something new waits, so that a lost wake-up costs no more than this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Builds a read model from a stream.
#[async_trait]
pub trait Projector: Send + Sync {
    /// Name in dead letters, logs and metrics.
    fn name(&self) -> &'static str;

    /// The stream it reads.
    fn stream(&self) -> StreamId;

    /// How far the rows of `partition` go; the default before the first commit.
    async fn position(&self, partition: Partition) -> PortResult<Applied>;

    /// Brings `records` into the rows and commits them with `through`, all or nothing. `through`
    /// may lie after the last record; without records the position alone is committed.
    ///
    /// Called again with the same or other records when it failed, and with records it applied
    /// before when a crash took the commit back: rows must be absolute values.
    async fn apply(
        &self,
        partition: Partition,
        through: Applied,
        records: &[Record],
    ) -> Result<(), ApplyError>;

    /// Nothing to apply up to `through`: readers that wait may go on. Need not survive a crash.
    async fn advance(&self, partition: Partition, through: Applied) -> PortResult<()>;
}

/// Drives one [`Projector`] over one partition.
pub struct Projection {
    projector: Arc<dyn Projector>,
    partition: Partition,
    log: Arc<dyn LogReader>,
    dead: DeadLetters,
    config: ProjectionConfig,
    progress: Arc<Progress>,
}

/// Where the loop is.
struct Cursor {
    /// Everything up to here is applied or was looked at.
    at: Offset,
    /// The last position that survives a crash.
    committed: Offset,
    density: Density,
    /// Failures in a row of what is tried now.
    failures: u32,
}

/// What one step came to.
enum Step {
    /// Applied a full batch: more is there.
    More,
    /// Applied what there was. Whether events come densely.
    CaughtUp { dense: bool },
}

/// How trying to apply some records ended.
enum Tried {
    Applied,
    /// The record at this offset is the cause.
    Bad(Offset, String),
    /// Failed without naming a record, and may fail so again.
    Failed(String),
    /// The engine could not; tried for ever.
    Away(String),
}

impl std::fmt::Debug for Projection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projection").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Projection {
    /// A loop that begins where the rows of `partition` end.
    pub fn new(
        projector: Arc<dyn Projector>,
        partition: Partition,
        log: Arc<dyn LogReader>,
        dead: DeadLetters,
        config: ProjectionConfig,
    ) -> Self {
        let progress = Arc::new(Progress::new(projector.name(), partition));
        Self { projector, partition, log, dead, config, progress }
    }

    /// Its counters.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Runs until `shutdown`, which never interrupts a commit. Cost when idle: one wake-up a
    /// second.
    ///
    /// # Errors
    /// [`PumpError`]; anything that may pass by itself is waited out instead.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), PumpError> {
        let Some(applied) = self.first_position(&shutdown).await else { return Ok(()) };
        self.check_epoch(applied)?;
        let density = Density::new(self.config.dense_per_second, Instant::now());
        let at = applied.offset;
        let mut cursor = Cursor { at, committed: at, density, failures: 0 };
        while !shutdown.is_cancelled() {
            match self.step(&mut cursor, &shutdown).await {
                Ok(Step::More) => cursor.failures = 0,
                Ok(Step::CaughtUp { dense }) => {
                    cursor.failures = 0;
                    self.rest(&mut cursor, dense, &shutdown).await;
                }
                Err(StepError::Stop(error)) => {
                    tracing::error!(%error, "a read model stands still until someone acts");
                    return Err(error);
                }
                Err(StepError::Port(error)) => {
                    self.back_off(&mut cursor.failures, &error.to_string(), &shutdown).await;
                }
            }
        }
        Ok(())
    }

    async fn first_position(&self, shutdown: &CancellationToken) -> Option<Applied> {
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            match self.projector.position(self.partition).await {
                Ok(applied) => return Some(applied),
                Err(error) => self.back_off(&mut failures, &error.to_string(), shutdown).await,
            }
        }
        None
    }

    fn check_epoch(&self, applied: Applied) -> Result<(), PumpError> {
        let (rows, log) = (applied.epoch, self.log.epoch());
        if applied.offset == Offset::ZERO || rows == log {
            return Ok(());
        }
        let error = PumpError::OtherEpoch { worker: self.projector.name(), rows, log };
        tracing::error!(%error, "a read model stands still until someone acts");
        Err(error)
    }

    /// Looks at the log once and applies what is there.
    async fn step(
        &self,
        cursor: &mut Cursor,
        shutdown: &CancellationToken,
    ) -> Result<Step, StepError> {
        let (stream, partition) = (self.projector.stream(), self.partition);
        let (worker, rows) = (self.projector.name(), cursor.at);
        let start = self.log.start(stream, partition).await?;
        if rows < start {
            return Err(StepError::Stop(PumpError::Forgotten { worker, rows, start }));
        }
        let end = self.log.end(stream, partition).await?;
        if end < rows {
            return Err(StepError::Stop(PumpError::Ahead { worker, rows, end }));
        }
        let batch = self.log.read(stream, partition, rows, self.config.batch).await?;
        let passed = batch.through.0.saturating_sub(rows.0);
        let dense = cursor.density.saw(passed, Instant::now());
        if passed > 0 {
            let full = batch.records.len() >= self.config.batch;
            self.take_in(cursor, batch.records, batch.through, shutdown).await;
            self.progress.looked_at(cursor.at, end);
            if full || cursor.at < end {
                return Ok(Step::More);
            }
        }
        self.progress.looked_at(cursor.at, end);
        Ok(Step::CaughtUp { dense })
    }

    /// Waits for more: while events come densely for the batch to fill, else for the next one.
    async fn rest(&self, cursor: &mut Cursor, dense: bool, shutdown: &CancellationToken) {
        if dense {
            shutdown.run_until_cancelled(tokio::time::sleep(self.config.linger)).await;
        }
        let (stream, partition) = (self.projector.stream(), self.partition);
        let more = self.log.wait(stream, partition, cursor.at, LOOK_AGAIN);
        if let Some(Err(error)) = shutdown.run_until_cancelled(more).await {
            self.back_off(&mut cursor.failures, &error.to_string(), shutdown).await;
        }
    }

    /// Applies all that can be applied and buries the rest; waits out engines that are away. False
    /// when cancelled before.
    async fn take_in(
        &self,
        cursor: &mut Cursor,
        mut records: Vec<Record>,
        through: Offset,
        shutdown: &CancellationToken,
    ) -> bool {
        let (mut failures, mut outages, mut buried) = (0, 0, false);
        while !records.is_empty() && !shutdown.is_cancelled() {
            match self.try_apply(through, &records).await {
                Tried::Applied => {
                    self.progress.did(records.len(), records.last().map(|r| r.appended_at));
                    (cursor.at, cursor.committed) = (through, through);
                    return true;
                }
                Tried::Away(reason) => self.back_off(&mut outages, &reason, shutdown).await,
                Tried::Failed(reason) if failures + 1 < self.config.retry.attempts => {
                    self.back_off(&mut failures, &reason, shutdown).await;
                }
                tried => {
                    let Some((index, reason)) = culprit(tried, &records) else {
                        return self.one_by_one(cursor, records, through, shutdown).await;
                    };
                    let record = records.remove(index);
                    if !self.bury(&record, reason, failures + 1, shutdown).await {
                        return false;
                    }
                    (failures, buried) = (0, true);
                }
            }
        }
        records.is_empty() && self.pass(cursor, through, buried, shutdown).await
    }

    /// Finds which record of a failing batch is the cause, and goes on with the others.
    async fn one_by_one(
        &self,
        cursor: &mut Cursor,
        records: Vec<Record>,
        through: Offset,
        shutdown: &CancellationToken,
    ) -> bool {
        for record in records {
            let offset = record.offset;
            // Boxed because take_in comes back here; with one record it never does so again.
            if !Box::pin(self.take_in(cursor, vec![record], offset, shutdown)).await {
                return false;
            }
        }
        self.pass(cursor, through, false, shutdown).await
    }

    /// Goes on to `through` without rows. After a dead letter, and now and then, the position is
    /// committed so that a restart does not come back here. False when cancelled before.
    async fn pass(
        &self,
        cursor: &mut Cursor,
        through: Offset,
        buried: bool,
        shutdown: &CancellationToken,
    ) -> bool {
        let far = through.0.saturating_sub(cursor.committed.0) >= self.config.commit_every;
        let commit = buried || far;
        let mut outages = 0;
        while !shutdown.is_cancelled() {
            let tried = if commit {
                self.try_apply(through, &[]).await
            } else {
                let advance = self.projector.advance(self.partition, self.applied(through));
                advance
                    .await
                    .map_or_else(|error| Tried::Away(error.to_string()), |()| Tried::Applied)
            };
            match tried {
                Tried::Applied => {
                    cursor.at = through;
                    if commit {
                        cursor.committed = through;
                    }
                    return true;
                }
                Tried::Bad(_, reason) | Tried::Failed(reason) | Tried::Away(reason) => {
                    self.back_off(&mut outages, &reason, shutdown).await;
                }
            }
        }
        false
    }

    async fn try_apply(&self, through: Offset, records: &[Record]) -> Tried {
        let work = self.projector.apply(self.partition, self.applied(through), records);
        match contain(work).await {
            Ok(Ok(())) => Tried::Applied,
            Ok(Err(ApplyError::Record { offset, reason })) => Tried::Bad(offset, reason),
            Ok(Err(ApplyError::Port(error))) if error.kind == ErrorKind::Corrupt => {
                Tried::Failed(error.to_string())
            }
            // No record is to blame for an engine that is away, full, shutting down or set up
            // wrongly: burying the whole log would help nobody.
            Ok(Err(ApplyError::Port(error))) => Tried::Away(error.to_string()),
            Err(panic) => Tried::Failed(panic),
        }
    }

    async fn bury(
        &self,
        record: &Record,
        reason: String,
        attempts: u32,
        shutdown: &CancellationToken,
    ) -> bool {
        let stream = self.projector.stream();
        let place = Place { stream, partition: self.partition, epoch: self.log.epoch() };
        let verdict = Verdict { consumer: self.projector.name(), reason, attempts };
        let done = self.dead.bury(place, record, verdict, self.config.retry, shutdown).await;
        if done {
            self.progress.buried();
        }
        done
    }

    async fn back_off(&self, failures: &mut u32, reason: &str, shutdown: &CancellationToken) {
        *failures = failures.saturating_add(1);
        self.progress.failed();
        let wait = self.config.retry.wait_after(*failures, self.dead.entropy());
        let worker = self.projector.name();
        tracing::warn!(worker, failures, reason, ?wait, "a worker failed; trying again");
        shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
    }

    fn applied(&self, offset: Offset) -> Applied {
        Applied { epoch: self.log.epoch(), offset }
    }
}

/// Which record a failed attempt is due to, and why; `None` when that is still to be found out.
fn culprit(tried: Tried, records: &[Record]) -> Option<(usize, String)> {
    match tried {
        Tried::Bad(offset, reason) => {
            let index = records.iter().position(|record| record.offset == offset)?;
            Some((index, reason))
        }
        Tried::Failed(reason) if records.len() == 1 => Some((0, reason)),
        Tried::Applied | Tried::Failed(_) | Tried::Away(_) => None,
    }
}

/// Why a step did not come to its end.
enum StepError {
    /// Try again later.
    Port(PortError),
    /// Nothing will help but a person.
    Stop(PumpError),
}

impl From<PortError> for StepError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}
