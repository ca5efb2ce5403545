//! What an earlier life of the process was told is not on the disk, and this one can read all the
//! same. After a sync that failed, the kernel keeps what it could not write and counts it as
//! written: whoever reads believes it, later syncs succeed without it, and a power cut takes it,
//! from under everything that was acknowledged on top. Nothing tells afterwards that this was so.
//! So before fjall reads anything, what may be in doubt is written once more and synced.
//!
//! That much is enough, for all else fjall replaces as a whole: it names a table or a list of
//! tables only after the sync of its bytes succeeded, and a failed one ends the database's life.
//! In doubt are then: batches of the newest journal, the marker that fjall writes last when it
//! makes a database, and every name in its directories.
//!
//! Cost: a sync of each directory (six, or twelve for the key index), and the newest journal
//! written once, which fjall is about to read and to apply row by row: up to 64 MB and a buffer
//! where rows are replayable, the last batch where they are acknowledged.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use klatch_ports::PortResult;

use super::{Tail, failed, failed_io, journal};

/// The file that fjall writes last when it makes a database.
pub(super) const MARKER: &str = "version";

/// Makes durable what opening the database in `dir` will believe, and cuts off what it cannot.
///
/// # Errors
/// `Misconfigured` when another process has it open, `Corrupt` when a journal that was synced is
/// damaged, and what the disk says: then nothing may be believed yet.
pub(super) fn settle(dir: &Path, tail: Tail) -> PortResult<()> {
    let _lock = lock(dir)?;
    // A newer fjall's journals are its own to judge.
    if journal::knows(dir)? {
        if tail == Tail::Acknowledged {
            journal::check(dir)?;
        }
        journal::mend(dir, tail)?;
    }
    write_marker_anew(dir).and_then(|()| sync_names(dir)).map_err(|e| failed_io("opening", e))
}

/// fjall's own lock, held until it is about to take it: what a living process is writing looks
/// like what a dead one left.
fn lock(dir: &Path) -> PortResult<Option<File>> {
    let io = |error| failed_io("opening", error);
    let file = match OpenOptions::new().read(true).write(true).open(dir.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(failed("opening")(fjall::Error::Locked)),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

fn write_marker_anew(dir: &Path) -> io::Result<()> {
    let path = dir.join(MARKER);
    let marker = match fs::read(&path) {
        Ok(marker) => marker,
        // There is no database yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let file = OpenOptions::new().write(true).open(&path)?;
    file.write_all_at(&marker, 0)?;
    file.sync_all()
}

/// Makes the names in `dir` and in every directory below it durable.
fn sync_names(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_names(&entry.path())?;
        }
    }
    File::open(dir)?.sync_all()
}
