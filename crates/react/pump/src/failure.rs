//! How applying fails, and why a projection ends.

use klatch_ports::{Epoch, Offset, PortError};

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The store failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// One record can never be applied, whatever is repeated; the others may.
    #[error("the record at {offset} cannot be applied: {reason}")]
    Record {
        /// Which record.
        offset: Offset,
        /// Why; never the record's words.
        reason: String,
    },
}

/// Why a projection ended. Each needs someone to act; none goes away by itself.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// The rows come from another life of the log.
    #[error(
        "{worker}: the read model was built from log epoch {rows:08x}, but the log is in epoch \
         {log:08x} and may hold other events at the same offsets; rebuild it: klatch rebuild \
         {worker}",
        rows = rows.0,
        log = log.0
    )]
    OtherEpoch {
        /// Whose rows.
        worker: &'static str,
        /// Epoch of the rows.
        rows: Epoch,
        /// Epoch of the log.
        log: Epoch,
    },
    /// The log has forgotten events that the rows lack.
    #[error(
        "{worker}: the read model goes up to offset {rows}, but the log begins after {start}; the \
         events between are gone from it: restore a snapshot of the read model and start again"
    )]
    Forgotten {
        /// Whose rows.
        worker: &'static str,
        /// How far the rows go.
        rows: Offset,
        /// Where the log begins.
        start: Offset,
    },
    /// The rows go further than the log.
    #[error(
        "{worker}: the read model goes up to offset {rows}, but the log ends at {end}; the log has \
         lost its tail without a new epoch: restore the log, or rebuild with: klatch rebuild \
         {worker}"
    )]
    Ahead {
        /// Whose rows.
        worker: &'static str,
        /// How far the rows go.
        rows: Offset,
        /// Where the log ends.
        end: Offset,
    },
}
