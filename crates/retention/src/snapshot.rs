//! The snapshot: a second copy of the read models, folded from the log apart from the first.
//!
//! It is what lets the log forget. It lies in `snapshot` in the data directory, a store of its own
//! that is brought further now and then, and beside it a manifest says up to where its rows were
//! right: they were compared with those that the workers made, all of them, and synced. Whoever
//! relies on it reads it all and compares it with the manifest first.

mod dump;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail, ensure};
use klatch_domain::Timestamp;
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::{Digest, ReadModel, Stores, StoresConfig};
use klatch_ports::log::LogReader as _;
use klatch_ports::messages::Applied;
use klatch_ports::{Epoch, Offset};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::fold::{P0, fold, judge, settle, start};
use super::pace::Pace;
use super::sealed_file;

pub use dump::dump_name;

const MIB: u64 = 1 << 20;
const DIR: &str = "snapshot";
const MANIFEST: &str = "MANIFEST";
const FORMAT: u32 = 1;
/// Rows that differ are named up to this many.
const NAMED_MOST: usize = 5;

/// The snapshot of one data directory. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Snapshot {
    dir: PathBuf,
    busy: Arc<Mutex<()>>,
    /// How many wait for it.
    wanted: Arc<AtomicUsize>,
}

/// What was found to be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// Counts them.
    pub number: u64,
    /// The version of Klatch that wrote it.
    version: String,
    /// When its rows were found right.
    pub verified_at: String,
    /// The life of the log that the positions are of.
    epoch: u32,
    models: BTreeMap<String, Part>,
}

/// One model of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    offset: u64,
    rows: u64,
    digest: String,
}

impl Manifest {
    /// Everything up to here is in it.
    pub fn covers(&self) -> Offset {
        let offsets = ReadModel::ALL.map(|model| self.offset(model));
        offsets.into_iter().min().unwrap_or(Offset::ZERO)
    }

    /// How far the rows of one model go.
    pub fn offset(&self, model: ReadModel) -> Offset {
        Offset(self.models.get(model.as_str()).map_or(0, |part| part.offset))
    }

    fn rows(&self) -> u64 {
        self.models.values().map(|part| part.rows).sum()
    }

    /// What to tell of it, in two lines.
    pub fn summary(&self) -> String {
        let (number, rows, at) = (self.number, self.rows(), &self.verified_at);
        format!(
            "snapshot: {rows} rows, all as they were written\n  snapshot {number}, verified \
             {at}, covers offsets 1 to {}",
            self.covers()
        )
    }
}

impl Part {
    fn new(at: Applied, Digest { rows, digest }: Digest) -> Self {
        Self { offset: at.offset.0, rows, digest: format!("{digest:032x}") }
    }
}

impl Snapshot {
    /// That of the data directory `dir`; there may be none yet.
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.join(DIR), busy: Arc::default(), wanted: Arc::default() }
    }

    /// Waits until nobody else works on it; work at a [`Pace`] that is ready to step aside does so.
    /// While this is held the log forgets nothing.
    pub fn hold(&self) -> Held<'_> {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let alone = self.busy.lock();
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        Held { dir: &self.dir, _alone: alone }
    }

    /// A quarter of a core, until `stop` or until somebody waits for the snapshot.
    pub fn gentle_pace(&self, stop: CancellationToken) -> Pace {
        Pace::gentle(stop, Arc::clone(&self.wanted))
    }

    /// As [`Snapshot::hold`]; `None` while somebody works on it.
    pub fn try_hold(&self) -> Option<Held<'_>> {
        Some(Held { dir: &self.dir, _alone: self.busy.try_lock()? })
    }
}

/// The snapshot, with nobody else at it.
pub struct Held<'a> {
    dir: &'a Path,
    _alone: MutexGuard<'a, ()>,
}

impl Held<'_> {
    /// What it says of itself; `None` when there is none.
    ///
    /// # Errors
    /// The manifest is damaged.
    pub fn manifest(&self) -> anyhow::Result<Option<Manifest>> {
        sealed_file::read(&self.dir.join(MANIFEST), FORMAT)
    }

    fn open(&self) -> anyhow::Result<Stores> {
        let config = StoresConfig {
            cache_bytes: 4 * MIB,
            message_buffer_bytes: 4 * MIB,
            metadata_buffer_bytes: 4 * MIB,
            refuse_older: true,
            ..StoresConfig::default()
        };
        Ok(Stores::open(self.dir, config)?)
    }

    fn damaged(&self, what: &str) -> anyhow::Error {
        anyhow::anyhow!(
            "the snapshot in {} is damaged: {what}; make it anew with: klatch rebuild snapshot",
            self.dir.display()
        )
    }

    /// Reads every row and compares it with the manifest; `None` when there is no snapshot.
    ///
    /// # Errors
    /// It is damaged, and how.
    pub fn verify(&self, pace: &mut Pace) -> anyhow::Result<Option<Manifest>> {
        let Some(manifest) = self.manifest()? else { return Ok(None) };
        let stores = self.open().map_err(|error| self.damaged(&format!("{error:#}")))?;
        for model in ReadModel::ALL {
            self.compare(&stores, &manifest, model, pace)?;
        }
        Ok(Some(manifest))
    }

    /// Whether the rows of `model` are those that the manifest speaks of. Rows that were brought
    /// further since, before a crash, are not: they have to be compared anew.
    fn compare(
        &self,
        stores: &Stores,
        manifest: &Manifest,
        model: ReadModel,
        pace: &mut Pace,
    ) -> anyhow::Result<()> {
        let word = model.as_str();
        let part = manifest.models.get(word).ok_or_else(|| self.damaged("its manifest"))?;
        let frozen = stores.freeze(model);
        let at = frozen.position(P0).map_err(|error| self.damaged(&error.to_string()))?;
        if at.offset.0 < part.offset || at.epoch.0 != manifest.epoch {
            let (found, wanted) = (at.offset, part.offset);
            let why = format!("its {word} go up to offset {found}, and went up to {wanted}");
            return Err(self.damaged(&why));
        }
        if at.offset.0 > part.offset {
            return Ok(());
        }
        let found = frozen.digest(&mut |_| pace.breathe());
        let found = found.map_err(|error| match error.kind {
            klatch_ports::ErrorKind::Closed => error.into(),
            _ => self.damaged(&format!("its {word}: {error}")),
        })?;
        if Part::new(at, found) == *part {
            return Ok(());
        }
        let (rows, wanted) = (found.rows, part.rows);
        let why = format!(
            "its {word} are {rows} rows with digest {:032x}, and were {wanted} with {}",
            found.digest, part.digest
        );
        Err(self.damaged(&why))
    }

    /// Brings it up to where `live` is now: folds the log, compares every row with those of `live`
    /// at the same position, syncs, and writes the manifest. Blocks for long.
    ///
    /// # Errors
    /// [`Behind`] while `live` goes less far. It is damaged, or differs from `live`, and in which
    /// rows: then it covers what it covered before, and is not to be relied on for more.
    pub fn advance(
        &self,
        log: &Arc<EmbeddedLog>,
        live: &Stores,
        now: Timestamp,
        pace: &mut Pace,
    ) -> anyhow::Result<Manifest> {
        let start = start(log)?;
        let before = match self.verify(pace) {
            Ok(before) => before,
            Err(error) if start == Offset::ZERO && !is_stopped(&error) => {
                // Nothing was forgotten yet: the log has it all.
                tracing::warn!(error = format!("{error:#}"), "the snapshot is made anew");
                self.discard()?;
                None
            }
            Err(error) => return Err(error),
        };
        if before.is_none() && start > Offset::ZERO {
            bail!(
                "the log begins after offset {start}, and there is no snapshot of what was before: \
                 make one with: klatch rebuild snapshot"
            );
        }
        let stores = self.open()?;
        let mut models = BTreeMap::new();
        for model in ReadModel::ALL {
            let part = bring_up(log, live, &stores, model, pace)?;
            models.insert(model.as_str().to_owned(), part);
        }
        stores.persist()?;
        self.write(before.map_or(1, |before| before.number + 1), log.epoch(), now, models)
    }

    /// Makes it anew of the rows of `live`, whatever it was: for when it was lost and the log does
    /// not hold what is needed to make it. What `live` has wrong it has wrong, too. Blocks.
    ///
    /// # Errors
    /// The rows of `live` do not belong to `log`, or do not reach to where it begins.
    pub fn renew(
        &self,
        log: &Arc<EmbeddedLog>,
        live: &Stores,
        now: Timestamp,
    ) -> anyhow::Result<Manifest> {
        let (number, start) = (self.manifest().ok().flatten().map_or(0, |m| m.number), start(log)?);
        let mut parts = Vec::new();
        for model in ReadModel::ALL {
            let frozen = live.freeze(model);
            let at = frozen.position(P0)?;
            judge(log, at)?;
            ensure!(
                at.offset >= start,
                "the {} go up to offset {}, and the log begins after {start}",
                model.as_str(),
                at.offset
            );
            parts.push(frozen);
        }
        self.discard()?;
        let mut models = BTreeMap::new();
        for frozen in parts {
            Stores::copy_frozen(self.dir, &frozen, &mut |_| Ok(()))?;
            let digest = frozen.digest(&mut |_| Ok(()))?;
            let word = frozen.model().as_str().to_owned();
            models.insert(word, Part::new(frozen.position(P0)?, digest));
        }
        let manifest = self.write(number + 1, log.epoch(), now, models)?;
        self.verify(&mut Pace::full())?;
        Ok(manifest)
    }

    fn write(
        &self,
        number: u64,
        epoch: Epoch,
        now: Timestamp,
        models: BTreeMap<String, Part>,
    ) -> anyhow::Result<Manifest> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (format, verified_at, epoch) = (FORMAT, now.to_string(), epoch.0);
        let manifest = Manifest { format, number, version, verified_at, epoch, models };
        sealed_file::write(&self.dir.join(MANIFEST), &manifest)?;
        Ok(manifest)
    }

    fn discard(&self) -> anyhow::Result<()> {
        match std::fs::remove_dir_all(self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.dir.display()))
            }
            _ => Ok(()),
        }
    }

    /// Makes the rows of one model in `<dir>/stores` those of the snapshot, once they were read and
    /// found right. Rows that a fold brought further before a crash ended it are in no manifest:
    /// for them the engine's checksums stand. Nobody may have that model open.
    ///
    /// # Errors
    /// There is no snapshot, or it is damaged: then the rows in `dir` are untouched.
    pub fn fill(
        &self,
        dir: &Path,
        model: ReadModel,
        pace: &mut Pace,
    ) -> anyhow::Result<(Manifest, Offset)> {
        let manifest = self.manifest()?.context("there is no snapshot")?;
        let stores = self.open().map_err(|error| self.damaged(&format!("{error:#}")))?;
        self.compare(&stores, &manifest, model, pace)?;
        let frozen = stores.freeze(model);
        let at = frozen.position(P0)?.offset;
        Stores::copy_frozen(dir, &frozen, &mut |_| pace.breathe())?;
        Ok((manifest, at))
    }
}

/// Rows that people read go less far than the snapshot: they were lost, and are being made again of
/// the log. There is nothing to compare until they have come as far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {model} go up to offset {at}, and the snapshot to {snapshot}: they are still being made"
)]
pub struct Behind {
    model: &'static str,
    at: Offset,
    snapshot: Offset,
}

/// Whether work ended because it was to.
pub fn is_stopped(error: &anyhow::Error) -> bool {
    let found = error.downcast_ref::<klatch_ports::PortError>();
    found.is_some_and(|error| error.kind == klatch_ports::ErrorKind::Closed)
}

/// Folds the log into one model of `stores` up to where it is in `live`, and compares all rows.
fn bring_up(
    log: &Arc<EmbeddedLog>,
    live: &Stores,
    stores: &Stores,
    model: ReadModel,
    pace: &mut Pace,
) -> anyhow::Result<Part> {
    let word = model.as_str();
    settle(live, model)?;
    // Most of it before the rows are held as they are at one moment.
    let near = live.freeze(model).position(P0)?;
    judge(log, near).with_context(|| format!("the read model {word}"))?;
    fold(log, (stores, model), near.offset, pace, &mut |_| {})?;
    settle(live, model)?;
    let found = live.freeze(model);
    let at = found.position(P0)?;
    fold(log, (stores, model), at.offset, pace, &mut |_| {})?;
    let expected = stores.freeze(model);
    let reached = expected.position(P0)?;
    if reached.offset > at.offset {
        return Err(Behind { model: word, at: at.offset, snapshot: reached.offset }.into());
    }
    if reached != at && at.offset > Offset::ZERO {
        bail!("the {word} go up to offset {}, and the snapshot to {}", at.offset, reached.offset);
    }
    let mut named = Vec::new();
    let mut differs = |difference: klatch_embedded::stores::Difference| {
        if named.len() < NAMED_MOST {
            named.push(difference.to_string());
        }
    };
    let compared = found.compare(&expected, &mut differs, &mut |_| pace.breathe())?;
    if compared.differences > 0 {
        bail!(
            "{} rows of the read model {word} are not as the snapshot and the log say ({}); see \
             klatch verify",
            compared.differences,
            named.join("; ")
        );
    }
    Ok(Part::new(at, Digest { rows: compared.rows, digest: compared.digest }))
}
