//! A data directory that no server has open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use klatch_domain::Clock;
use klatch_embedded::disk::RealDisk;
use klatch_embedded::log::{EmbeddedLog, LogConfig};
use klatch_embedded::stores::{Stores, StoresConfig};

use super::DataArgs;
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
    klatch_retention::open_stores(log, dir, StoresConfig::default())
}
