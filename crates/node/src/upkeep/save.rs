//! `klatch backup`: asks the server that runs on the data directory, or works on it itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use klatch_embedded::accounts::Accounts;
use klatch_embedded::keys::Keys;
use klatch_retention::{Snapshot, run};

use super::backup::{BackedUp, Places, Sources};
use super::{DataArgs, bar, offline};
use crate::config::Config;
use crate::control;
use crate::host::{self, SystemClock, SystemEntropy};

/// Flags of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    data: DataArgs,
    /// A new directory for the log and the accounts.
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
    /// Where the keys go, apart from the rest; the same directory every time: the newest keys open
    /// all backups, and those of erased people are gone from them.
    #[arg(long, value_name = "DIRECTORY")]
    keys_to: PathBuf,
}

pub(crate) fn backup(args: &BackupArgs) -> anyhow::Result<()> {
    let (config, dir) = offline::settings(&args.data)?;
    let places =
        Places { to: std::path::absolute(&args.to)?, keys_to: std::path::absolute(&args.keys_to)? };
    let bar = bar::bytes("of the log copied")?;
    let told = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let asked = run(async {
        match control::find(&dir).await? {
            Some(running) => running.ask("/backup", &places, &told).await.map(Some),
            None => Ok(None),
        }
    })??;
    let (done, how) = match asked {
        Some(answer) => (serde_json::from_value(answer)?, "while the server runs"),
        None => (sources(&config, &dir)?.back_up(&places, &told)?, "of a server at rest"),
    };
    bar.finish_and_clear();
    report(&done, &places, how);
    Ok(())
}

/// What a server at rest has to be backed up.
pub(super) fn sources(config: &Config, dir: &Path) -> anyhow::Result<Sources> {
    let log = offline::open_log(config, dir)?;
    let keys = Keys::open(dir, Arc::new(SystemEntropy)).context("opening the keys")?;
    let accounts = Accounts::open(dir).context("opening the accounts")?;
    Ok(Sources {
        dir: dir.to_owned(),
        log,
        snapshot: Snapshot::of(dir),
        accounts: Arc::new(accounts),
        keys: Arc::new(keys),
        ledger: config.erasures(dir),
        clock: Arc::new(SystemClock),
    })
}

fn report(done: &BackedUp, places: &Places, how: &str) {
    let BackedUp { position, records, files, bytes, account_rows, keys, erasures, notes } = done;
    host::say(&format!(
        "backed up {how}, everything acknowledged up to position {position}\n  \
         {}: {records} records, {account_rows} rows of accounts; {files} files, {bytes} bytes\n  \
         {}: keys of {keys} people, {erasures} erasures",
        places.to.display(),
        places.keys_to.display(),
    ));
    for note in notes {
        host::say(&format!("  note: {note}"));
    }
}
