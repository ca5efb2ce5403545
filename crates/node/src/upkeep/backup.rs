//! Making a backup, of engines that may be serving meanwhile.
//!
//! The order is what makes it whole. The places of consumers come first, so that none lies behind
//! the log's end; the log next, up to what is durable, and the snapshot of what it has forgotten;
//! then accounts and keys, which are written before the events that need them. So whatever the log
//! of the backup speaks of is in it. What came between is too much, never too little; restoring
//! mends that.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use klatch_domain::Clock;
use klatch_embedded::accounts::Accounts;
use klatch_embedded::disk::{RealDisk, create_private};
use klatch_embedded::erasures::LedgerFile;
use klatch_embedded::keys::Keys;
use klatch_embedded::log::EmbeddedLog;
use klatch_ports::log::LogReader as _;
use klatch_ports::{Offset, Partition, Position, StreamId};
use klatch_retention::{Snapshot, run, start};
use serde::{Deserialize, Serialize};

use super::manifest::{FORMAT, Half, Manifest};

/// The dump of the accounts in the half of the data.
pub(super) const ACCOUNTS: &str = "accounts.rows";
/// The ledger of erasures in the half of the keys.
pub(super) const LEDGER: &str = "erasures";

/// What is copied.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) dir: PathBuf,
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) snapshot: Snapshot,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) ledger: LedgerFile,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Where to, as absolute paths.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Places {
    pub(crate) to: PathBuf,
    pub(crate) keys_to: PathBuf,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackedUp {
    pub(crate) position: String,
    pub(crate) records: u64,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) account_rows: u64,
    pub(crate) keys: usize,
    pub(crate) erasures: usize,
    /// What the operator should know.
    pub(crate) notes: Vec<String>,
}

impl Sources {
    /// Copies everything to `places`; `told` hears how many bytes of the log are done. Blocks.
    pub(crate) fn back_up(
        &self,
        places: &Places,
        told: impl FnMut(u64, u64),
    ) -> anyhow::Result<BackedUp> {
        let notes = self.check(places)?;
        let Places { to, keys_to } = places;
        make_private(to)?;
        let disk = RealDisk::open(to)?;
        // The log begins where it does until all is copied.
        let held = self.snapshot.hold();
        let is_whole = start(&self.log)? == Offset::ZERO;
        let dumped = if is_whole { Ok(Vec::new()) } else { held.dump(to) };
        let dumped = dumped.context("copying the snapshot")?;
        let copied = self.log.copy_to(&disk, told).context("copying the log")?;
        drop(held);
        let position = Position {
            stream: StreamId::Messages,
            partition: Partition(0),
            epoch: self.log.epoch(),
            offset: copied.end,
        };
        let account_rows = self.dump_accounts(&to.join(ACCOUNTS)).context("copying accounts")?;
        let mut files = copied.files;
        files.extend(dumped);
        files.push(ACCOUNTS.to_owned());
        let manifest = |half| Manifest {
            format: FORMAT,
            half,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: self.clock.now().to_string(),
            position: position.to_string(),
            files: Vec::new(),
        };
        // The keys before the manifest of the data: without keys it is no backup.
        let erasures = self.copy_keys(keys_to, manifest(Half::Keys)).context("copying keys")?;
        let written = manifest(Half::Data).write(to, &files)?;
        Ok(BackedUp {
            position: position.to_string(),
            records: copied.end.0 - copied.start.0,
            files: written.files.len(),
            bytes: written.bytes(),
            account_rows,
            keys: self.keys.people(),
            erasures,
            notes,
        })
    }

    fn dump_accounts(&self, path: &Path) -> anyhow::Result<u64> {
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(path)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let rows = self.accounts.dump(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        Ok(rows)
    }

    /// Puts the keys as they are now into `dir`, in the place of older ones: keys never change, and
    /// those that are gone must be gone from there too. How many were ever erased.
    fn copy_keys(&self, dir: &Path, manifest: Manifest) -> anyhow::Result<usize> {
        make_private(dir)?;
        let fresh = format!("keys-{}", self.clock.now().0);
        let fresh_dir = dir.join(&fresh);
        fs::DirBuilder::new().mode(0o700).create(&fresh_dir)?;
        run(self.keys.copy_to(&fresh_dir))??;
        let ledger = LedgerFile::new(dir.join(LEDGER));
        ledger.add_all(&self.ledger.read()?)?;
        let erasures = ledger.read()?.len();
        let mut files = vec![format!("{fresh}/slots"), format!("{fresh}/server.key")];
        if erasures > 0 {
            files.push(LEDGER.to_owned());
        }
        manifest.write(dir, &files)?;
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let is_older = name.to_str().is_some_and(|name| name.starts_with("keys-"));
            if is_older && name.to_str() != Some(&fresh) {
                fs::remove_dir_all(dir.join(name))?;
            }
        }
        File::open(dir)?.sync_all()?;
        Ok(erasures)
    }

    /// Refuses places that would make the backup worthless; what to know about the others.
    fn check(&self, places: &Places) -> anyhow::Result<Vec<String>> {
        let Places { to, keys_to } = places;
        let data = real(&self.dir)?;
        let (to_real, keys_real) = (real(to)?, real(keys_to)?);
        for (one, other) in [(&to_real, &keys_real), (&to_real, &data), (&keys_real, &data)] {
            if one.starts_with(other) || other.starts_with(one) {
                bail!(
                    "{} and {} are not apart: the backup, its keys and the data directory must \
                     each have a place of their own",
                    one.display(),
                    other.display()
                );
            }
        }
        let is_empty = !to.exists() || fs::read_dir(to)?.next().is_none();
        ensure!(is_empty, "{} is not empty: every backup wants a new directory", to.display());
        let foreign = || format!("{} holds something that is no backup of keys", keys_to.display());
        if keys_to.exists() && fs::read_dir(keys_to)?.next().is_some() {
            let found = Manifest::find(keys_to)?.with_context(foreign)?;
            ensure!(found.half == Half::Keys, foreign());
        }
        let mut notes = Vec::new();
        let device = fs::metadata(&self.dir)?.dev();
        for (place, what) in [(&to_real, "the backup"), (&keys_real, "its keys")] {
            if fs::metadata(existing(place))?.dev() == device {
                let place = place.display();
                notes.push(format!("on the same disk as the data: {what} in {place}"));
            }
        }
        Ok(notes)
    }
}

/// The path without links and dots, also of what is not there yet.
fn real(path: &Path) -> anyhow::Result<PathBuf> {
    let path = &std::path::absolute(path)?;
    let there = existing(path);
    let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
    let there = there.canonicalize().with_context(|| format!("looking at {}", there.display()))?;
    Ok(there.join(rest))
}

/// The part of a path that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|part| part.exists()).unwrap_or(Path::new("/"))
}

fn make_private(dir: &Path) -> anyhow::Result<()> {
    create_private(dir).with_context(|| format!("making {}", dir.display()))
}
