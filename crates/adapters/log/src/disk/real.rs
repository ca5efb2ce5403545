//! The disk of the machine.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, fdatasync, flock, fsync, statvfs};
use rustix::io::Errno;

use super::{Disk, DiskFile, DiskLock, write_zeros};

/// Files below a directory of the machine.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Files below `root`, which is made if it is not there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let disk = Self { root: root.into() };
        create_durably(&disk.root)?;
        Ok(disk)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// Makes a directory and those above it, and the name of each durable in the one above. That of one
/// that is there too: an earlier life of the process may have made it and failed to sync it. Those
/// above were made durable before it was made.
///
/// # Errors
/// What the disk says.
pub fn create_durably(dir: &Path) -> io::Result<()> {
    make(dir, 0o777)
}

/// As [`create_durably`]; what it makes is its owner's alone.
///
/// # Errors
/// What the disk says.
pub fn create_private(dir: &Path) -> io::Result<()> {
    make(dir, 0o700)
}

fn make(dir: &Path, mode: u32) -> io::Result<()> {
    if dir.as_os_str().is_empty() {
        return Ok(());
    }
    let above = dir.parent().unwrap_or(Path::new(""));
    let was_there = dir.is_dir();
    if !was_there {
        make(above, mode)?;
        match fs::DirBuilder::new().mode(mode).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    match File::open(above).and_then(|above| above.sync_all()) {
        // No name that is to be synced was ever made there.
        Err(error) if was_there && is_not_ours(&error) => Ok(()),
        synced => synced,
    }
}

/// Whether a directory could not be synced because it belongs to others.
fn is_not_ours(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem)
}

impl Disk for RealDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(self.at(path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.at(path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // A name that is not text is not one of ours.
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        create_durably(&self.at(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        Ok(fsync(&File::open(self.at(dir))?)?)
    }

    fn free_space(&self) -> io::Result<u64> {
        let space = statvfs(&self.root)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.at(path))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn describe(&self, path: &str) -> String {
        self.at(path).display().to_string()
    }
}

/// The kernel holds the lock for as long as the file is open.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, from: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(from, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(fdatasync(&self.0)?)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        // Asking for the space first keeps it in one piece and learns at once if there is none.
        match fallocate(&self.0, FallocateFlags::empty(), from, to.saturating_sub(from)) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        // Space that was only asked for is still unwritten: the first sync of data in it would
        // have to record that it no longer is.
        write_zeros(self, from, to)
    }
}
