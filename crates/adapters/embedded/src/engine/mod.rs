//! What every fjall database of this crate shares: opening it after any kind of crash, and telling
//! its failures in the words of the ports.

pub(crate) mod codec;
mod doubt;
pub(crate) mod group;
mod journal;
pub(crate) mod rows;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::config::{CompressionPolicy, PartitioningPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};
pub(crate) use klatch_log::disk::create_durably;
use klatch_ports::{ErrorKind, PortError, PortResult};

const ENGINE: &str = "fjall";

/// Sizes of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Bytes of decoded blocks kept in memory; taken as they are needed.
    pub(crate) cache_bytes: u64,
    /// Bytes of journals above which keyspaces that hold the oldest back are flushed.
    pub(crate) journal_bytes: u64,
    /// Table files held open.
    pub(crate) open_files: usize,
}

/// What the tail of a journal means that does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Rows can be replayed from the log: everything from the first torn batch on is dropped.
    Replayable,
    /// Every batch but the last was synced before the next was written: a torn last batch was
    /// never acknowledged and is dropped, anything else is damage.
    Acknowledged,
}

/// Opens or creates the database in `dir`.
pub(crate) fn open(dir: &Path, sizes: Sizes, tail: Tail) -> PortResult<Database> {
    let io = |error| failed_io("opening", error);
    remove_unfinished(dir).map_err(io)?;
    create_durably(dir).map_err(io)?;
    doubt::settle(dir, tail)?;
    start(dir, sizes).map_err(failed("opening"))
}

/// How every keyspace is laid out, with buffers of `buffer_bytes`.
pub(crate) fn options(buffer_bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(buffer_bytes)
        // Filters and indexes of all but the newest tables in small parts. In one part they grow
        // to a megabyte each, and a look-up that does not find it in the cache reads and checks
        // all of it.
        .filter_block_partitioning_policy(PartitioningPolicy::new([false, true]))
        .index_block_partitioning_policy(PartitioningPolicy::new([false, true]))
        // What is large is ciphertext; and what was erased must be seen to be gone.
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        // Every batch says itself whether it is to be synced.
        .manual_journal_persist(true)
}

/// Bounds the rows a keyspace holds in memory during a burst.
///
/// fjall asks its worker to set a full buffer aside, and while the worker merges tables nobody
/// does: the buffer grows, to hundreds of megabytes when millions of rows are imported. Here the
/// writer itself sets it aside, and fjall makes writers wait when four are.
pub(crate) struct Buffer {
    limit: u64,
    written: AtomicU64,
}

impl Buffer {
    /// For a keyspace with buffers of `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, written: AtomicU64::new(0) }
    }

    /// What fjall's own limit is to be: not reached before this one.
    pub(crate) fn fallback(&self) -> u64 {
        2 * self.limit
    }

    /// Counts a batch of so many rows and bytes that was just committed; one caller at a time.
    pub(crate) fn count(&self, keyspace: &Keyspace, rows: usize, bytes: usize) -> PortResult<()> {
        // What fjall keeps beside each row.
        let total = u64::try_from(64 * rows + bytes).unwrap_or(u64::MAX);
        let before = self.written.fetch_add(total, Ordering::Relaxed);
        if before.saturating_add(total) > self.limit {
            self.written.store(0, Ordering::Relaxed);
            keyspace.rotate_memtable().map_err(failed("setting a buffer aside"))?;
        }
        Ok(())
    }
}

fn start(dir: &Path, sizes: Sizes) -> fjall::Result<Database> {
    Database::builder(dir)
        .cache_size(sizes.cache_bytes)
        .max_cached_files(Some(sizes.open_files))
        .max_journaling_size(sizes.journal_bytes)
        // What is large in a row is ciphertext.
        .journal_compression(fjall::CompressionType::None)
        // One, not one per core: with two, fjall's first worker hands a compaction it must not do
        // back into the queue over and over while the second is busy, and burns a core with it.
        .worker_threads(1)
        .open()
}

/// Removes what a crash during the very first opening left: fjall would trip over it. A database
/// that ever held a keyspace is not touched.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    if !dir.try_exists()? || is_finished(dir)? {
        return Ok(());
    }
    let keyspaces = dir.join("keyspaces");
    let holds_rows = keyspaces.try_exists()?
        && fs::read_dir(&keyspaces)?.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "0"));
    if holds_rows {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the database's version marker is gone, its rows are there",
        ));
    }
    fs::remove_dir_all(dir)
}

/// Whether the marker is there that fjall writes last: three letters and the format. A power cut
/// may leave a part of it, or its length without its bytes.
fn is_finished(dir: &Path) -> io::Result<bool> {
    match fs::read(dir.join(doubt::MARKER)) {
        Ok(marker) => {
            Ok(matches!(marker.as_slice(), [b'F', b'J', b'L', format, ..] if *format != 0))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Translates a failure of fjall during `operation`.
pub(crate) fn failed(operation: &'static str) -> impl Fn(fjall::Error) -> PortError {
    move |error| {
        let kind = match &error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
                kind_of(error)
            }
            fjall::Error::Locked => ErrorKind::Misconfigured,
            // An earlier write failed; only opening again helps.
            fjall::Error::Poisoned | fjall::Error::KeyspaceDeleted => ErrorKind::Unavailable,
            _ => ErrorKind::Corrupt,
        };
        PortError::new(kind, ENGINE, operation).because(error)
    }
}

/// Translates a failure of the file system during `operation`.
pub(crate) fn failed_io(operation: &'static str, error: io::Error) -> PortError {
    PortError::new(kind_of(&error), ENGINE, operation).because(error)
}

pub(crate) fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::Misconfigured
        }
        _ => ErrorKind::Unavailable,
    }
}

/// Stored bytes that do not say what they should.
pub(crate) fn corrupt(operation: &'static str, what: impl Into<String>) -> PortError {
    PortError::new(ErrorKind::Corrupt, ENGINE, operation).because(what.into())
}

/// Runs `work` where it may wait for the disk, off the runtime's own threads.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> PortResult<T> + Send + 'static,
) -> PortResult<T> {
    tokio::task::spawn_blocking(|| klatch_meter::run(klatch_meter::Part::Storing, work))
        .await
        .map_err(|error| PortError::new(ErrorKind::Closed, ENGINE, operation).because(error))?
}
