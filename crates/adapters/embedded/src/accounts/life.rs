//! The database that holds the rows from one erasure to the next.
//!
//! fjall keeps what was removed in its journal and in older tables for as long as it likes. So
//! that nothing is left of an erased person, the rows that stay are copied to a new database, which
//! takes the place of the old one. Each lies in a directory whose name is a number. The highest
//! counts: it gets its name when it is whole and synced. Older ones are removed, at the latest at
//! the next opening.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::{Database, Keyspace, Readable as _};
use klatch_ports::{ErrorKind, PortError, PortResult};
use parking_lot::RwLock;

use super::row;
use crate::broken::Broken;
use crate::engine::{self, Sizes, Tail, create_durably, failed, failed_io};
use crate::files::Files;

const MIB: u64 = 1 << 20;
const SIZES: Sizes = Sizes { cache_bytes: 8 * MIB, journal_bytes: 64 * MIB, open_files: 64 };
const BUFFER_BYTES: u64 = 4 * MIB;
/// Rows copied with one sync.
const BATCH: usize = 10_000;
/// What the name of a database that is not whole ends with.
const UNFINISHED: &str = ".new";

/// A database with one keyspace. Fields are dropped in their order: the files go last.
pub(super) struct Life {
    number: u64,
    pub(super) keyspace: Keyspace,
    pub(super) database: Database,
    files: Files,
}

/// The rows, whichever database holds them now.
#[derive(Clone)]
pub(super) struct Rows {
    parent: Arc<Path>,
    life: Arc<RwLock<Arc<Life>>>,
    /// Set when it is not known which database a restart will find: nothing may be written.
    lost: Arc<AtomicBool>,
    pub(super) broken: Broken,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("dir", &self.parent).finish_non_exhaustive()
    }
}

impl Rows {
    /// Opens the newest database in `parent`, or the first.
    pub(super) fn open(parent: &Path) -> PortResult<Self> {
        let io = |error| failed_io("opening", error);
        take_over_older_layout(parent).map_err(io)?;
        create_durably(parent).map_err(io)?;
        let number = remove_ended(parent).map_err(io)?.unwrap_or(1);
        let life = open(&parent.join(number.to_string()), number)?;
        let life = Arc::new(RwLock::new(Arc::new(life)));
        let broken = Broken::new(parent);
        Ok(Self { parent: Arc::from(parent), life, lost: Arc::default(), broken })
    }

    /// The database to write to.
    pub(super) fn writable(&self) -> PortResult<Arc<Life>> {
        if self.lost.load(Ordering::Acquire) {
            let error = PortError::new(ErrorKind::Unavailable, "fjall", "writing accounts");
            return Err(error.because("an erasure failed in a way that only a restart can settle"));
        }
        Ok(self.life())
    }

    /// The database now.
    pub(super) fn life(&self) -> Arc<Life> {
        Arc::clone(&self.life.read())
    }

    pub(super) fn get(&self, key: &[u8]) -> PortResult<Option<fjall::Slice>> {
        let life = self.life();
        life.database.snapshot().get(&life.keyspace, key).map_err(failed("reading"))
    }

    /// Keys that begin with `prefix`.
    pub(super) fn keys(&self, prefix: &[u8]) -> impl Iterator<Item = PortResult<fjall::Slice>> {
        let life = self.life();
        let mut rows = life.database.snapshot().prefix(&life.keyspace, prefix);
        // The database stays open as long as its rows are read.
        std::iter::from_fn(move || {
            let _open = &life;
            rows.next().map(|guard| guard.key().map_err(failed("reading")))
        })
    }

    /// Keys that begin with `prefix`, the last first; with `before` those that end in a smaller id.
    pub(super) fn keys_before(
        &self,
        prefix: &[u8],
        before: Option<u128>,
    ) -> impl Iterator<Item = PortResult<fjall::Slice>> {
        let (from, to) = (prefix.to_vec(), [prefix, &before.unwrap_or(u128::MAX).to_be_bytes()]);
        let life = self.life();
        let mut rows = life.database.snapshot().range(&life.keyspace, from..to.concat()).rev();
        std::iter::from_fn(move || {
            let _open = &life;
            rows.next().map(|guard| guard.key().map_err(failed("reading")))
        })
    }

    /// Keys that begin with `prefix` and come after the one that ends in `after`.
    pub(super) fn keys_after(
        &self,
        prefix: u8,
        after: u128,
    ) -> impl Iterator<Item = PortResult<fjall::Slice>> {
        let range = (Bound::Excluded(row::key(prefix, after)), Bound::Excluded(vec![prefix + 1]));
        let life = self.life();
        let mut rows = life.database.snapshot().range(&life.keyspace, range);
        std::iter::from_fn(move || {
            let _open = &life;
            rows.next().map(|guard| guard.key().map_err(failed("reading")))
        })
    }

    /// Copies all rows for which `stays` holds into a new database, and removes the old one with
    /// everything that it ever held. Only the thread that writes may call it. Durable when it
    /// returns; after a crash either the old or the new one is there. Cost: all rows are written.
    pub(super) fn begin_anew(&self, stays: impl Fn(&[u8], &[u8]) -> bool) -> PortResult<()> {
        let io = |error| failed_io("erasing", error);
        let old = self.life();
        let number = old.number + 1;
        let unfinished = self.parent.join(format!("{number}{UNFINISHED}"));
        remove(&unfinished).map_err(io)?;
        let fresh = open(&unfinished, number)?;
        let mut batch = None;
        let mut count = 0;
        for row in old.database.snapshot().iter(&old.keyspace) {
            let (key, value) = row.into_inner().map_err(failed("erasing"))?;
            if !stays(&key, &value) {
                continue;
            }
            let into = batch.get_or_insert_with(|| {
                fjall::OwnedWriteBatch::with_capacity(fresh.database.clone(), BATCH)
                    .durability(Some(fjall::PersistMode::SyncAll))
            });
            into.insert(&fresh.keyspace, key, value);
            count += 1;
            if count % BATCH == 0
                && let Some(full) = batch.take()
            {
                full.commit().map_err(failed("erasing"))?;
            }
        }
        if let Some(rest) = batch {
            rest.commit().map_err(failed("erasing"))?;
        }
        // Closed, so that nobody writes to it by the name it has only until now.
        drop(fresh);
        let dir = self.parent.join(number.to_string());
        let renamed = fs::rename(&unfinished, &dir).and_then(|()| sync(&self.parent));
        let opened = renamed.map_err(io).and_then(|()| open(&dir, number));
        let fresh = match opened {
            Ok(fresh) => Arc::new(fresh),
            Err(error) => {
                // Which of the two a restart will find is not known unless the name is gone again:
                // at once, for one that is half removed would be refused.
                let undone = give_back(&dir, &unfinished).and_then(|()| sync(&self.parent));
                if undone.is_err() {
                    self.lost.store(true, Ordering::Release);
                    self.broken.tell(&error);
                }
                return Err(error);
            }
        };
        let old_again = std::mem::replace(&mut *self.life.write(), fresh);
        drop(old);
        old_again.files.end();
        // The last reader lets go of it at once: reads are short.
        drop(old_again);
        sync(&self.parent).map_err(io)
    }
}

fn open(dir: &Path, number: u64) -> PortResult<Life> {
    let database = engine::open(dir, SIZES, Tail::Acknowledged)?;
    let options = || engine::options(BUFFER_BYTES);
    let keyspace = database.keyspace("accounts", options).map_err(failed("opening"))?;
    let files = Files::new(dir, "rows of erased people are left");
    Ok(Life { number, keyspace, database, files })
}

/// Earlier builds had the database in the directory itself: it becomes the first.
fn take_over_older_layout(parent: &Path) -> io::Result<()> {
    let aside = parent.with_extension("moving");
    if parent.join("version").is_file() {
        remove(&aside)?;
        fs::create_dir(&aside)?;
        fs::rename(parent, aside.join("1"))?;
    }
    // After a crash in between it is only there.
    if aside.join("1").is_dir() && !parent.is_dir() {
        fs::rename(&aside, parent)?;
        sync(parent)?;
        if let Some(above) = parent.parent() {
            sync(above)?;
        }
    }
    Ok(())
}

/// Removes all databases in `parent` but the newest whole one, and gives its number.
fn remove_ended(parent: &Path) -> io::Result<Option<u64>> {
    let (mut whole, mut unfinished) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(parent)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        whole.extend(name.parse::<u64>().ok());
        unfinished.extend(name.ends_with(UNFINISHED).then(|| parent.join(name)));
    }
    let newest = whole.iter().copied().max();
    let ended = whole.iter().filter(|number| Some(**number) != newest);
    let ended = ended.map(|number| parent.join(number.to_string())).chain(unfinished);
    // That the newest has its name may be what an earlier life failed to sync.
    sync(parent)?;
    for dir in ended {
        fs::remove_dir_all(dir)?;
        sync(parent)?;
    }
    Ok(newest)
}

/// Takes its name from what may not have it yet.
fn give_back(dir: &Path, unfinished: &Path) -> io::Result<()> {
    match fs::rename(dir, unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
