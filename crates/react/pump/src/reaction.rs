//! The loop of a worker that does a job per record, with a durable consumer of the log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_ports::log::{Consumer, Delivery, EventConsumer, LogReader, Record};
use klatch_ports::{ErrorKind, Offset, Partition, PortError, PortResult, StreamId};
use tokio_util::sync::CancellationToken;

use crate::config::ReactionConfig;
use crate::contain::contain;
use crate::dead_letter::{DeadLetters, Place, Verdict};
use crate::progress::Progress;

/// How long one fetch waits for something new.
const FETCH_WAIT: Duration = Duration::from_secs(1);

/// Does a job for each record of a stream.
#[async_trait]
pub trait Reactor: Send + Sync {
    /// Name of the durable consumer, and in dead letters, logs and metrics. Renaming it begins
    /// anew at [`Reactor::start`].
    fn name(&self) -> &'static str;

    /// The stream it reads.
    fn stream(&self) -> StreamId;

    /// Where its consumer begins when it is new.
    fn start(&self) -> Start;

    /// Does the job. At least once per record, one at a time, in order but for those tried again:
    /// others go on meanwhile.
    async fn react(&self, record: &Record) -> Result<(), ReactError>;
}

/// Where a new consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record the log still has.
    Oldest,
    /// At the first record after now.
    Now,
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub enum ReactError {
    /// It may be tried again, as often as configured.
    #[error("{0}")]
    Failed(String),
    /// It can never be done.
    #[error("{0}")]
    Refused(String),
    /// Something the job needs is not there now; tried again for ever.
    #[error("{0}")]
    Away(String),
}

/// Drives one [`Reactor`] over one partition.
pub struct Reaction {
    reactor: Arc<dyn Reactor>,
    partition: Partition,
    log: Arc<dyn LogReader>,
    consumers: Arc<dyn EventConsumer>,
    dead: DeadLetters,
    config: ReactionConfig,
    progress: Arc<Progress>,
}

impl std::fmt::Debug for Reaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reaction").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Reaction {
    /// A loop over one partition of `log`, whose durable consumers are `consumers`.
    pub fn new(
        reactor: Arc<dyn Reactor>,
        partition: Partition,
        (log, consumers): (Arc<dyn LogReader>, Arc<dyn EventConsumer>),
        dead: DeadLetters,
        config: ReactionConfig,
    ) -> Self {
        let progress = Arc::new(Progress::new(reactor.name(), partition));
        Self { reactor, partition, log, consumers, dead, config, progress }
    }

    /// Its counters.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Runs until `shutdown`. A job under way is then abandoned and comes again after a restart.
    ///
    /// # Errors
    /// Another holder opened the same consumer ([`ErrorKind::Closed`]), or it cannot be opened as
    /// it is ([`ErrorKind::Misconfigured`]). Anything that may pass by itself is waited out.
    pub async fn run(&self, shutdown: CancellationToken) -> PortResult<()> {
        let mut failures = 0;
        let mut consumer = None;
        while !shutdown.is_cancelled() {
            let Err(error) = self.turn(&mut consumer, &shutdown).await else {
                failures = 0;
                continue;
            };
            if matches!(error.kind, ErrorKind::Closed | ErrorKind::Misconfigured) {
                tracing::error!(%error, worker = self.reactor.name(), "a worker stands still");
                return Err(error);
            }
            consumer = None;
            failures += 1;
            self.progress.failed();
            let wait = self.config.retry.wait_after(failures, self.dead.entropy());
            tracing::warn!(%error, worker = self.reactor.name(), ?wait, "the log failed");
            shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    /// Opens the consumer if need be, fetches once, and does what came.
    async fn turn(
        &self,
        consumer: &mut Option<Box<dyn Consumer>>,
        shutdown: &CancellationToken,
    ) -> PortResult<()> {
        let consumer = match consumer {
            Some(consumer) => consumer,
            None => consumer.insert(self.open().await?),
        };
        let fetch = consumer.fetch(self.config.batch, FETCH_WAIT);
        let Some(mut deliveries) = shutdown.run_until_cancelled(fetch).await.transpose()? else {
            return Ok(());
        };
        if deliveries.is_empty() {
            return self.note_place(consumer.as_mut()).await;
        }
        // In order of offset, so that what was done before a shutdown can be acknowledged alone.
        deliveries.sort_unstable_by_key(|delivery| delivery.record.offset);
        let mut done = None;
        for (index, delivery) in deliveries.iter().enumerate() {
            if !self.handle(consumer.as_mut(), delivery, shutdown).await? {
                break;
            }
            done = Some((index + 1, &delivery.record));
        }
        if let Some((count, last)) = done {
            consumer.ack(last.offset).await?;
            self.progress.did(count, Some(last.appended_at));
        }
        self.note_place(consumer.as_mut()).await
    }

    async fn open(&self) -> PortResult<Box<dyn Consumer>> {
        let (stream, partition) = (self.reactor.stream(), self.partition);
        let start = match self.reactor.start() {
            Start::Oldest => Offset::ZERO,
            Start::Now => self.log.end(stream, partition).await?,
        };
        self.consumers.open(self.reactor.name(), stream, partition, start).await
    }

    async fn note_place(&self, consumer: &mut dyn Consumer) -> PortResult<()> {
        let end = self.log.end(self.reactor.stream(), self.partition).await?;
        self.progress.looked_at(consumer.floor().await?, end);
        Ok(())
    }

    /// Does one job and puts the record back or gives it up when that fails. False when cancelled
    /// before: neither it nor anything after it may be acknowledged then.
    async fn handle(
        &self,
        consumer: &mut dyn Consumer,
        delivery: &Delivery,
        shutdown: &CancellationToken,
    ) -> PortResult<bool> {
        let Delivery { record, attempt } = delivery;
        let Some(outcome) = shutdown.run_until_cancelled(self.attempt(record)).await else {
            return Ok(false);
        };
        let (reason, last) = match outcome {
            Ok(()) => return Ok(true),
            Err(ReactError::Refused(reason)) => (reason, true),
            Err(ReactError::Failed(reason)) => (reason, *attempt >= self.config.retry.attempts),
            Err(ReactError::Away(reason)) => (reason, false),
        };
        self.progress.failed();
        if !last {
            let wait = self.config.retry.wait_after(*attempt, self.dead.entropy());
            let worker = self.reactor.name();
            tracing::warn!(worker, offset = %record.offset, attempt, reason, ?wait, "job failed");
            consumer.nak(record.offset, wait).await?;
            return Ok(true);
        }
        let (stream, partition) = (self.reactor.stream(), self.partition);
        let place = Place { stream, partition, epoch: self.log.epoch() };
        let verdict = Verdict { consumer: self.reactor.name(), reason, attempts: *attempt };
        if !self.dead.bury(place, record, verdict, self.config.retry, shutdown).await {
            return Ok(false);
        }
        self.progress.buried();
        consumer.term(record.offset).await?;
        Ok(true)
    }

    async fn attempt(&self, record: &Record) -> Result<(), ReactError> {
        let job = contain(self.reactor.react(record));
        match tokio::time::timeout(self.config.job_timeout, job).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(ReactError::Failed(panic)),
            Err(_) => Err(ReactError::Failed("the job took too long".to_owned())),
        }
    }
}

impl From<PortError> for ReactError {
    /// What may pass is waited out; contradictions and set-ups count as failures.
    fn from(error: PortError) -> Self {
        if error.is_transient() {
            Self::Away(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}
