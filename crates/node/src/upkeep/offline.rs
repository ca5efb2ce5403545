//! A data directory that no server has open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use klatch_domain::Clock;
use klatch_embedded::disk::RealDisk;
use klatch_embedded::log::{EmbeddedLog, LogConfig};
use klatch_embedded::stores::{ReadModel, Stores, StoresConfig};
use klatch_ports::Offset;

use super::DataArgs;
use super::fold::{P0, start};
use super::models::Here;
use super::snapshot::Snapshot;
use crate::config::{self, Config};
use crate::host::{SystemClock, SystemEntropy};

const MIB: u64 = 1 << 20;

/// What the flags and the configuration say, and where the data is.
pub(super) fn settings(args: &DataArgs) -> anyhow::Result<(Config, PathBuf)> {
    let mut config = config::load(&args.config)?;
    if let Some(dir) = &args.data_dir {
        config.server.data_dir.clone_from(dir);
    }
    let dir = config.server.data_dir.clone();
    Ok((config, dir))
}

/// How the log uses its disk.
pub(crate) fn log_config(config: &Config) -> LogConfig {
    LogConfig {
        segment_bytes: config.log.segment_mib * MIB,
        reserve_bytes: config.log.reserve_mib * MIB,
        ..LogConfig::default()
    }
}

/// Opens the log that is in `dir`, and with it the directory for this process alone.
///
/// # Errors
/// There is none, a server has it open, or it is damaged.
pub(super) fn open_log(config: &Config, dir: &Path) -> anyhow::Result<Arc<EmbeddedLog>> {
    let shown = dir.display();
    if !dir.join("log").join("epoch").is_file() {
        bail!("{shown} is no data directory: name it with --data-dir");
    }
    let disk = RealDisk::open(dir).with_context(|| format!("opening {shown}"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    EmbeddedLog::open(Arc::new(disk), log_config(config), clock, &SystemEntropy)
        .with_context(|| format!("opening the log in {shown}"))
}

/// Opens the read models in `dir` as they are.
pub(super) fn open_stores(log: &Arc<EmbeddedLog>, dir: &Path) -> anyhow::Result<Stores> {
    let refuse_older = start(log)? > Offset::ZERO;
    let config = StoresConfig { refuse_older, ..StoresConfig::default() };
    Stores::open(dir, config).context("opening the read models")
}

/// Opens the read models in `dir`. Those that end before the log begins, because they are new or
/// were lost, are made of the snapshot first.
///
/// # Errors
/// They cannot be opened, or there is no snapshot, or it is damaged.
pub(crate) fn stores_for(
    log: &Arc<EmbeddedLog>,
    dir: &Path,
    snapshot: &Snapshot,
) -> anyhow::Result<Stores> {
    let (stores, start) = (open_stores(log, dir)?, start(log)?);
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
    let here = Here { log, dir, held: &held };
    here.mend(&short).with_context(|| {
        let names: Vec<_> = short.iter().map(|model| model.as_str()).collect();
        format!(
            "the log begins after offset {start}, and these read models end before: {}",
            names.join(", ")
        )
    })?;
    open_stores(log, dir)
}
