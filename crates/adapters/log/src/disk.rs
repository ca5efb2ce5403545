//! Files as the engines here use them: a narrow door, so that a simulated disk fits behind it.
//!
//! Paths are relative to the data directory and use `/`. Every call may block.

mod real;
pub mod sim;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use real::{RealDisk, create_durably, create_private};

/// Directories and files below one data directory.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a new empty file. Its name survives a power cut only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `AlreadyExists`, or what the disk says.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or what the disk says.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Names of the files in a directory, in no order; none when there is no such directory.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Removes a file. Whoever has it open can still read it.
    ///
    /// # Errors
    /// `NotFound`, or what the disk says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Renames a file within its directory, replacing what has that name.
    ///
    /// # Errors
    /// `NotFound`, or what the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes a directory and those above it, durably; no effect when it is there.
    ///
    /// # Errors
    /// What the disk says.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes the names made, changed and removed in a directory durable.
    ///
    /// # Errors
    /// What the disk says.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// What the disk says.
    fn free_space(&self) -> io::Result<u64>;

    /// Takes a lock that no other process or open disk can hold; dropping it releases it.
    ///
    /// # Errors
    /// `WouldBlock` when another holds it, or what the disk says.
    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>>;

    /// What to call a path when talking to people.
    fn describe(&self, path: &str) -> String;
}

/// Proof that a lock is held.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// An open file. Calls may come from several threads at once.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Fills `into` from `at` on; returns how much, less only at the end of the file.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `from` at `at`, growing the file if need be.
    ///
    /// # Errors
    /// What the disk says; any part may then have been written.
    fn write_at(&self, from: &[u8], at: u64) -> io::Result<()>;

    /// Makes everything written before durable. After an error nothing is known about it, and
    /// calling again proves nothing.
    ///
    /// # Errors
    /// What the disk says.
    fn sync_data(&self) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    ///
    /// # Errors
    /// What the disk says.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Writes zeros from `from` up to `to`, so that later writes there need no new space.
    ///
    /// # Errors
    /// `StorageFull`, or what the disk says; any part may then have been written.
    fn zero(&self, from: u64, to: u64) -> io::Result<()>;
}

/// Zeros are written in pieces of this size.
const ZERO_BYTES: u64 = 256 * 1024;

/// [`DiskFile::zero`] by [`DiskFile::write_at`].
fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; usize::try_from(ZERO_BYTES.min(to.saturating_sub(from))).unwrap_or(0)];
    let mut at = from;
    while at < to {
        let piece = zeros.get(..usize::try_from(to - at).unwrap_or(usize::MAX)).unwrap_or(&zeros);
        file.write_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// What the name of a file that is not complete ends with.
pub const NEW_ENDING: &str = ".new";

/// The whole of a small file; `None` when there is none.
///
/// # Errors
/// What the disk says, and `InvalidData` when the file is longer than `most`.
pub fn read_small(disk: &dyn Disk, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()?;
    if len > most {
        let why = format!("{} is {len} bytes long, at most {most} expected", disk.describe(path));
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// Replaces a file as a whole: after a power cut it holds what it held, or `bytes`. Which of the
/// two is certain only after [`Disk::sync_dir`].
///
/// # Errors
/// What the disk says.
pub fn replace(disk: &dyn Disk, path: &str, bytes: &[u8]) -> io::Result<()> {
    let new = format!("{path}{NEW_ENDING}");
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&new)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&new, path)
}
