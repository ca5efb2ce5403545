//! Bringing a read model from where it is to a place in the log, once.

use klatch_ports::log::LogReader;
use klatch_ports::messages::Applied;
use klatch_ports::{ErrorKind, Offset, Partition, PortError};

use crate::failure::ApplyError;
use crate::projection::Projector;

/// Most records applied and committed together: nobody reads meanwhile, so larger than while
/// serving.
const BATCH: usize = 2_000;

/// Why a replay ended before its goal.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log or the store failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What is to be read first is not in the log any more.
    #[error(
        "the log begins after offset {start}, and the rows go only up to {rows}: what lies between \
         cannot be read"
    )]
    Forgotten {
        /// How far the rows go.
        rows: Offset,
        /// Where the log begins.
        start: Offset,
    },
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records that were applied.
    pub records: u64,
    /// Records that cannot be applied and were left out, as the worker does that buries them.
    pub refused: u64,
}

/// Applies everything after the projector's position up to exactly `to`, and commits that position.
/// Does not wait for more, and writes no dead letters. `told` hears how far it has come.
///
/// # Errors
/// [`ReplayError`]; what was committed until then stays, and replaying again goes on there.
pub async fn replay(
    projector: &dyn Projector,
    partition: Partition,
    log: &dyn LogReader,
    to: Offset,
    mut told: impl FnMut(Offset),
) -> Result<Replayed, ReplayError> {
    let stream = projector.stream();
    let mut at = projector.position(partition).await?.offset;
    let start = log.start(stream, partition).await?;
    if at < start {
        return Err(ReplayError::Forgotten { rows: at, start });
    }
    let mut done = Replayed::default();
    while at < to {
        let mut batch = log.read(stream, partition, at, BATCH).await?;
        batch.records.retain(|record| record.offset <= to);
        let through = batch.through.min(to);
        if through == at {
            let error = PortError::new(ErrorKind::Corrupt, "log", "replay");
            return Err(error.because(format!("nothing can be read after offset {at}")).into());
        }
        let applied = Applied { epoch: log.epoch(), offset: through };
        loop {
            match projector.apply(partition, applied, &batch.records).await {
                Ok(()) => break,
                Err(ApplyError::Port(error)) => return Err(error.into()),
                Err(ApplyError::Record { offset, .. }) => {
                    let before = batch.records.len();
                    batch.records.retain(|record| record.offset != offset);
                    if batch.records.len() == before {
                        let error = PortError::new(ErrorKind::Corrupt, "log", "replay");
                        return Err(error.because("a record that is not there is refused").into());
                    }
                    done.refused += 1;
                }
            }
        }
        done.records += batch.records.len() as u64;
        at = through;
        told(at);
    }
    Ok(done)
}
