//! Folding the log into stores, with the code that the workers run.

use std::sync::Arc;

use anyhow::bail;
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::{ReadModel, Stores};
use klatch_ports::log::LogReader as _;
use klatch_ports::messages::Applied;
use klatch_ports::{Offset, Partition, StreamId};
use klatch_pump::{Projector, Replayed, replay};
use klatch_workers::{MessageWriterProjector, MetaWriterProjector};

use super::pace::Pace;

/// An embedded log has one partition.
pub const P0: Partition = Partition(0);
/// Records folded between two breaths.
const SLICE: u64 = 4_000;

/// Folds the log from where the model is up to exactly `to`. `told` hears how far it has come.
///
/// # Errors
/// What the log or the store says; `Closed` when the pace says so.
pub fn fold(
    log: &Arc<EmbeddedLog>,
    (stores, model): (&Stores, ReadModel),
    to: Offset,
    pace: &mut Pace,
    told: &mut dyn FnMut(Offset),
) -> anyhow::Result<Replayed> {
    let projector = projector(stores, model);
    run(async {
        let mut done = Replayed::default();
        let mut at = projector.position(P0).await?.offset;
        while at < to {
            let next = to.min(Offset(at.0 + SLICE));
            let part = replay(&*projector, P0, &**log, next, &mut *told).await?;
            done.records += part.records;
            done.refused += part.refused;
            at = next;
            pace.breathe()?;
        }
        Ok(done)
    })?
}

fn projector(stores: &Stores, model: ReadModel) -> Box<dyn Projector> {
    let (messages, metadata) = (stores.messages.clone(), stores.metadata.clone());
    match model {
        ReadModel::Messages => Box::new(MessageWriterProjector::new(messages.clone(), messages)),
        ReadModel::Metadata => Box::new(MetaWriterProjector::new(metadata.clone(), metadata)),
    }
}

/// Writes beside the rows how far they go. A worker that finds nothing to store says so to readers,
/// and writes it only now and then. A commit of the worker that comes first makes this one nothing.
///
/// # Errors
/// What the store says.
pub fn settle(stores: &Stores, model: ReadModel) -> anyhow::Result<()> {
    let projector = projector(stores, model);
    run(async {
        let at = projector.position(P0).await?;
        if at.offset > Offset::ZERO {
            projector.apply(P0, at, &[]).await?;
        }
        Ok(())
    })?
}

/// Whether rows at `position` can be compared with this log at all.
///
/// # Errors
/// They cannot: they are of another life of the log, or go further than it does.
pub fn judge(log: &Arc<EmbeddedLog>, position: Applied) -> anyhow::Result<()> {
    if position.offset == Offset::ZERO {
        return Ok(());
    }
    if position.epoch != log.epoch() {
        bail!(
            "its rows come from another life of the log (epoch {:08x}, the log is in {:08x})",
            position.epoch.0,
            log.epoch().0
        );
    }
    let end = end(log)?;
    if position.offset > end {
        bail!("its rows go up to offset {}, the log ends at {end}", position.offset);
    }
    Ok(())
}

/// The offset before the first record that the log still holds for read models.
///
/// # Errors
/// What the log says.
pub fn start(log: &Arc<EmbeddedLog>) -> anyhow::Result<Offset> {
    Ok(run(log.start(StreamId::Messages, P0))??)
}

/// Where the log ends.
///
/// # Errors
/// What the log says.
pub fn end(log: &Arc<EmbeddedLog>) -> anyhow::Result<Offset> {
    Ok(run(log.end(StreamId::Messages, P0))??)
}

/// Runs to the end on a runtime of its own: this work does one thing after the other.
///
/// # Errors
/// There can be no runtime.
pub fn run<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
