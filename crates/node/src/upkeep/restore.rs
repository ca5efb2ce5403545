//! `klatch restore`: a new data directory from a backup.
//!
//! Everything is read and compared with its checksum before anything is made. The directory gets
//! its name at the very end, so that what was broken off is never taken for a whole one.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Args;
use klatch_domain::Clock as _;
use klatch_embedded::accounts::{Accounts, Settled};
use klatch_embedded::disk::{RealDisk, create_private};
use klatch_embedded::erasures::LedgerFile;
use klatch_embedded::keys::Keys;
use klatch_embedded::log::{EmbeddedLog, bump_epoch};
use klatch_embedded::stores::{ReadModel, Stores, StoresConfig};
use klatch_ports::log::LogReader as _;
use klatch_protocol::sealed::KeyRing;
use klatch_retention::{Pace, Snapshot, dump_name, end, fold, run, start};

use super::backup::{ACCOUNTS, LEDGER};
use super::manifest::{Half, Manifest};
use super::models::Here;
use super::people::{Engines, compliance};
use super::{bar, offline};
use crate::cli::ConfigArgs;
use crate::config::{self, Config};
use crate::host::{self, SystemClock, SystemEntropy};

/// Expanded keys remembered.
const KEY_RING: usize = 64;

/// Flags of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The backup.
    #[arg(long, value_name = "DIRECTORY")]
    from: PathBuf,
    /// Its keys: the newest there are.
    #[arg(long, value_name = "DIRECTORY")]
    keys_from: PathBuf,
    /// The data directory to make.
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: PathBuf,
    /// More ledgers of erasures, besides the one that lies with the keys.
    #[arg(long, value_name = "FILE")]
    erasures: Vec<PathBuf>,
}

pub(crate) fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let config = config::load(&args.config)?;
    let target = std::path::absolute(&args.data_dir)?;
    let is_free = !target.exists() || (target.is_dir() && fs::read_dir(&target)?.next().is_none());
    ensure!(is_free, "{} is there already: name a new directory", target.display());
    let data = Manifest::read(&args.from, Half::Data)?;
    let keys = Manifest::read(&args.keys_from, Half::Keys)?;
    let bar = bar::bytes("of the backup checked")?;
    bar.set_length(data.bytes() + keys.bytes());
    data.check(&args.from, &mut |bytes| bar.inc(bytes))?;
    keys.check(&args.keys_from, &mut |bytes| bar.inc(bytes))?;
    bar.finish_and_clear();

    let mut name = target.file_name().context("the data directory has no name")?.to_owned();
    name.push(".restoring");
    let unfinished = target.with_file_name(name);
    ensure!(
        !unfinished.exists(),
        "{} is left of a restore that was broken off: remove it",
        unfinished.display()
    );
    let told = fill(args, &config, (&data, &keys), &unfinished)?;
    fs::rename(&unfinished, &target)?;
    if let Some(parent) = target.parent() {
        File::open(parent)?.sync_all()?;
    }
    host::say(&format!("restored {} as of position {}", target.display(), data.position));
    for line in told {
        host::say(&format!("  {line}"));
    }
    Ok(())
}

/// Makes the data directory `dir` of what was checked; what there is to tell.
fn fill(
    args: &RestoreArgs,
    config: &Config,
    (data, keys): (&Manifest, &Manifest),
    dir: &Path,
) -> anyhow::Result<Vec<String>> {
    let dumps = ReadModel::ALL.map(dump_name);
    let is_rows = |path: &str| path == ACCOUNTS || dumps.iter().any(|dump| dump == path);
    copy(data, &args.from, dir, |path| (!is_rows(path)).then(|| path.to_owned()))?;
    copy(keys, &args.keys_from, dir, |path| {
        let name = path.rsplit('/').next().filter(|_| path != LEDGER)?;
        Some(format!("keys/{name}"))
    })?;
    // The configured ledger of the server that is to run here: entries only ever come to it.
    let ledger = config.erasures(dir);
    for file in args.erasures.iter().cloned().chain([args.keys_from.join(LEDGER)]) {
        ledger.add_all(&LedgerFile::new(&file).read()?)?;
    }
    let disk = RealDisk::open(dir)?;
    // Positions of the life before mean nothing here any more.
    let epoch = bump_epoch(&disk, &SystemEntropy)?;
    let mut dump = BufReader::with_capacity(1 << 20, File::open(args.from.join(ACCOUNTS))?);
    Accounts::load(dir, &mut dump).context("restoring the accounts")?;

    let log = offline::open_log(config, dir)?;
    let (start, end) = (start(&log)?, end(&log)?);
    let accounts = Arc::new(Accounts::open(dir)?);
    let keys = Arc::new(Keys::open(dir, Arc::new(SystemEntropy)).context("opening the keys")?);
    let records = end.0 - start.0;
    let mut lines = vec![format!("{records} records, log epoch {:08x}", epoch.0)];
    // The ledger is applied to people whom the log may have forgotten: the read models know them.
    lines.push(make_models(args, dir, &log, &dumps)?);
    lines.extend(forget(dir, &log, &accounts, &keys, &ledger)?);
    follow(dir, &log)?;
    lines.extend(mend(dir, &log, &accounts)?);
    log.close();
    Ok(lines)
}

/// Makes the read models of what is in the backup; what to tell of it.
fn make_models(
    args: &RestoreArgs,
    dir: &Path,
    log: &Arc<EmbeddedLog>,
    dumps: &[String],
) -> anyhow::Result<String> {
    let snapshot = Snapshot::of(dir);
    let held = snapshot.hold();
    let has_snapshot = dumps.iter().all(|dump| args.from.join(dump).is_file());
    if has_snapshot {
        held.load(&args.from, log.epoch(), SystemClock.now()).context("restoring the snapshot")?;
    }
    let here = Here { log, dir, held: &held };
    for model in ReadModel::ALL {
        here.make_again(model)?;
    }
    let of = if has_snapshot { "the snapshot and the log" } else { "the log" };
    Ok(format!("read models made again from {of}"))
}

/// Folds what was appended since into the read models.
fn follow(dir: &Path, log: &Arc<EmbeddedLog>) -> anyhow::Result<()> {
    let stores = Stores::open(dir, StoresConfig::default())?;
    let end = end(log)?;
    for model in ReadModel::ALL {
        fold(log, (&stores, model), end, &mut Pace::full(), &mut |_| {})?;
    }
    Ok(())
}

/// Copies the files of a manifest, checked a moment ago, to where `place` says, synced.
fn copy(
    manifest: &Manifest,
    from: &Path,
    to: &Path,
    place: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    create_private(to)?;
    for entry in &manifest.files {
        let Some(place) = place(&entry.path) else { continue };
        let (source, target) = (from.join(&entry.path), to.join(place));
        let copying = || format!("copying {}", source.display());
        let parent = target.parent().unwrap_or(to).to_owned();
        create_private(&parent).with_context(copying)?;
        let mut input = File::open(&source).with_context(copying)?;
        let mut options = File::options();
        let mut output =
            options.write(true).create_new(true).mode(0o600).open(&target).with_context(copying)?;
        std::io::copy(&mut input, &mut output).with_context(copying)?;
        output.sync_all()?;
        File::open(&parent)?.sync_all()?;
    }
    Ok(File::open(to)?.sync_all()?)
}

/// Erases everyone in the ledger whom the backup brought back.
fn forget(
    dir: &Path,
    log: &Arc<EmbeddedLog>,
    accounts: &Arc<Accounts>,
    keys: &Arc<Keys>,
    ledger: &LedgerFile,
) -> anyhow::Result<Vec<String>> {
    let stores = Stores::open(dir, StoresConfig::default())?;
    let engines = Engines {
        log: Arc::clone(log),
        accounts: Arc::clone(accounts),
        keys: Arc::clone(keys),
        ring: Arc::new(KeyRing::new(keys.clone(), KEY_RING)),
        ledger: ledger.clone(),
        messages: stores.messages,
        metadata: stores.metadata,
        clock: Arc::new(SystemClock),
    };
    let people = compliance(engines, Vec::new());
    let erased = run(people.finish())?.context("applying the ledger of erasures")?;
    let entries = ledger.read()?.len();
    Ok(vec![format!("{entries} erasures in the ledger, {} applied again", erased.len())])
}

/// Brings the accounts, which were copied a moment later than the log, in line with it.
fn mend(dir: &Path, log: &EmbeddedLog, accounts: &Accounts) -> anyhow::Result<Vec<String>> {
    let stores = Stores::open(dir, StoresConfig::default())?;
    let settled = run(accounts.settle(log, &*stores.metadata))?;
    let settled = settled.context("settling the accounts")?;
    let Settled { accounts, unannounced, released, sessions } = settled;
    Ok(vec![
        format!("{accounts} accounts, {unannounced} of them told to the log at the next start"),
        format!("{released} names given back that the log does not know of"),
        format!("{sessions} sessions ended: everyone signs in again"),
    ])
}
