//! Read models at the start of a server, where the log may begin after their end.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::{ReadModel, Stores, StoresConfig};
use klatch_ports::Offset;

use super::fold::{P0, start};
use super::pace::Pace;
use super::snapshot::Snapshot;

/// Opens the read models in `dir` as they are.
///
/// # Errors
/// They cannot be opened, or an older build wrote them and the log cannot give them again.
pub fn open_stores(
    log: &Arc<EmbeddedLog>,
    dir: &Path,
    config: StoresConfig,
) -> anyhow::Result<Stores> {
    let refuse_older = start(log)? > Offset::ZERO;
    Stores::open(dir, StoresConfig { refuse_older, ..config }).context("opening the read models")
}

/// Opens the read models in `dir`. Those that end before the log begins, because they are new or
/// were lost, are made of the snapshot first; the workers do the rest. Nobody may have them open.
///
/// # Errors
/// They cannot be opened, or there is no snapshot, or it is damaged.
pub fn stores_for(
    log: &Arc<EmbeddedLog>,
    dir: &Path,
    snapshot: &Snapshot,
    config: StoresConfig,
) -> anyhow::Result<Stores> {
    let (stores, start) = (open_stores(log, dir, config)?, start(log)?);
    let mut short = Vec::new();
    for model in ReadModel::ALL {
        if stores.freeze(model).position(P0)?.offset < start {
            short.push(model);
        }
    }
    if short.is_empty() {
        return Ok(stores);
    }
    drop(stores);
    let held = snapshot.hold();
    for model in short {
        let (manifest, at) = held.fill(dir, model, &mut Pace::full()).with_context(|| {
            let word = model.as_str();
            format!("the log begins after offset {start}, and the {word} end before")
        })?;
        tracing::warn!(
            model = model.as_str(),
            snapshot = manifest.number,
            offset = at.0,
            "a read model ended before the log begins, and was made of the snapshot"
        );
    }
    open_stores(log, dir, config)
}
