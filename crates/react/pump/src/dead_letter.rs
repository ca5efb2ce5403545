//! Writing down what was given up.

use std::sync::Arc;

use klatch_domain::Entropy;
use klatch_ports::log::{Append, EventAppender, Expected, Record};
use klatch_ports::{Epoch, Offset, Partition, Position, StreamId};
use klatch_protocol::dead_letter::{self, DeadLetter};
use smallvec::smallvec;
use tokio_util::sync::CancellationToken;

use crate::config::RetryConfig;

/// Appends dead letters to the SYSTEM stream.
#[derive(Clone)]
pub struct DeadLetters {
    log: Arc<dyn EventAppender>,
    entropy: Arc<dyn Entropy>,
}

/// The place a loop reads, to name a record's position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) stream: StreamId,
    pub(crate) partition: Partition,
    pub(crate) epoch: Epoch,
}

/// Why a record is given up, and by whom.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) consumer: &'static str,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
}

impl Place {
    pub(crate) fn at(self, offset: Offset) -> Position {
        let Self { stream, partition, epoch } = self;
        Position { stream, partition, epoch, offset }
    }
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").finish_non_exhaustive()
    }
}

impl DeadLetters {
    /// Dead letters go to `log`; `entropy` spreads repeats and the loops' own.
    pub fn new(log: Arc<dyn EventAppender>, entropy: Arc<dyn Entropy>) -> Self {
        Self { log, entropy }
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// Records that `record` is given up; tries until it is durable. False when cancelled before:
    /// the record then is not given up either. An append whose outcome is unknown is repeated, so
    /// a record can have two letters; the reader tells by the position in them.
    pub(crate) async fn bury(
        &self,
        place: Place,
        record: &Record,
        verdict: Verdict,
        retry: RetryConfig,
        shutdown: &CancellationToken,
    ) -> bool {
        let position = place.at(record.offset);
        let Verdict { consumer, reason, attempts } = verdict;
        tracing::error!(consumer, %position, attempts, reason, "a record becomes a dead letter");
        let letter = dead_letter::encode(&DeadLetter {
            consumer: consumer.to_owned(),
            position,
            key: record.key,
            kind: record.kind,
            reason,
            attempts,
        });
        let append = Append {
            stream: StreamId::System,
            key: record.key,
            expected: Expected::Any,
            records: smallvec![letter],
        };
        let mut failures = 0;
        loop {
            // Not cancelled half-way: a shutdown waits for the one append that is under way.
            let Err(error) = self.log.append(append.clone()).await else { return true };
            failures += 1;
            tracing::warn!(consumer, ?error, "a dead letter could not be written; trying again");
            let wait = retry.wait_after(failures, self.entropy());
            if shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return false;
            }
        }
    }
}
