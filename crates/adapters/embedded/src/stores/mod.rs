//! The read models on disk: a fjall database for messages and one for metadata.
//!
//! **What a crash leaves.** Nothing here is synced: the log is what is durable. A commit is one
//! batch in fjall's journal, and the position it brings the store to lies among its rows, in the
//! same keyspace. fjall recovers a journal up to the first batch that is not whole, and writes
//! table files batch by whole batch, so each store comes back as what some earlier commit left:
//! rows and position together, each store at its own. The owner replays the log from there.
//!
//! **What blocks.** Commits may wait for fjall to write tables, and run on tokio's blocking
//! threads; so do scans over a whole room's members. Everything else is read in place: one row
//! costs a microsecond or two, a page of history some forty, and handing them over would cost as
//! much again or more. The price: while fjall records that a table was written (about twice per
//! 8 MiB of rows) it syncs five small files under the lock that every read takes. A read that falls
//! into that moment waits for the disk, some milliseconds to a tenth of a second, and holds up the
//! worker thread it runs on; a runtime with two worker threads per core does not notice.
//!
//! **fjall.** 3.1.13 at least. Earlier ones could write tables ahead of the journal (its issue
//! 329), take a failed write for a good one (304) and lose a journal's name (317). What is still so
//! in 3.1.13, and how it is met here: a torn batch is refused instead of cut off, and a damaged one
//! taken for the end (311; `engine::journal`); clearing a keyspace can keep journals for ever
//! (288), and a deleted one can come back after a power cut, because the counter that orders the
//! deletion after the creation starts again (wiping makes a new database, see `life`); plain reads
//! see half a batch (all reads go through a snapshot); which of two rows for one key in a batch
//! counts is open (`staged` leaves one); a second worker thread spins while the first merges tables
//! (there is one); a busy worker does not set full buffers aside (`engine::Buffer` does).

mod activity;
mod activity_write;
mod compare;
mod frozen;
mod layout;
mod life;
mod messages;
mod metadata;
mod metadata_write;
mod progress;
mod row;
mod sets;
mod staged;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use fjall::{Readable, Snapshot};
use klatch_ports::PortResult;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

pub use compare::{Compared, Difference, How};
pub use frozen::{Digest, Frozen, Told};
pub use messages::MessageStore;
pub use metadata::MetadataStore;

use crate::broken::Broken;
use crate::engine::{self, Buffer, Sizes};
use life::Life;
use progress::Progress;

/// Sizes of the read models; the defaults suit a server of one or two cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoresConfig {
    /// Bytes of decoded blocks that each of the two keeps in memory; taken as they are needed.
    pub cache_bytes: u64,
    /// Bytes of new message rows kept in memory before they go to a table; up to five times as
    /// much during bursts, and about half of that again for what fjall keeps beside.
    pub message_buffer_bytes: u64,
    /// The same for metadata.
    pub metadata_buffer_bytes: u64,
    /// Bytes of journals on disk, for each of the two (at least 64 MiB); opening after a crash
    /// reads them again.
    pub journal_bytes: u64,
    /// Table files that each of the two holds open.
    pub open_files: usize,
    /// Whether rows that an older build wrote are refused. Otherwise they are forgotten at opening,
    /// which is right while the log still holds everything they were made from.
    pub refuse_older: bool,
    /// Whether all work is done on the caller's thread: for simulations, where the same calls must
    /// come to the same in the same order.
    pub in_place: bool,
}

const MIB: u64 = 1 << 20;

impl Default for StoresConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 12 * MIB,
            message_buffer_bytes: 8 * MIB,
            metadata_buffer_bytes: 8 * MIB,
            journal_bytes: 64 * MIB,
            open_files: 128,
            refuse_older: false,
            in_place: false,
        }
    }
}

/// The opened read models. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Message history and room heads.
    pub messages: Arc<MessageStore>,
    /// Users, rooms and members.
    pub metadata: Arc<MetadataStore>,
}

impl Stores {
    /// Opens the stores in `<dir>/stores`, or creates them empty. Waits for the disk; one process
    /// may have them open at a time.
    ///
    /// The position each store comes back with may be of another life of the log, or older than
    /// the log goes back: the caller decides whether to `wipe` and rebuild.
    ///
    /// # Errors
    /// `Misconfigured` when another process has them open, they may not be written, or an older
    /// build wrote them and `refuse_older` is set; `Corrupt` when rows that were synced contradict
    /// themselves, `Full`, `Unavailable`.
    pub fn open(dir: &Path, config: StoresConfig) -> PortResult<Self> {
        let messages = Rows::open_model(dir, ReadModel::Messages, config)?;
        let metadata = Rows::open_model(dir, ReadModel::Metadata, config)?;
        Ok(Self {
            messages: Arc::new(MessageStore::new(messages, config.refuse_older)?),
            metadata: Arc::new(MetadataStore::new(metadata)),
        })
    }
}

/// One of the two read models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadModel {
    /// Message history, room heads, who spoke where.
    Messages,
    /// Users, rooms and members.
    Metadata,
}

impl ReadModel {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Messages, Self::Metadata];

    /// The word on the command line, and the name of the directory.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Metadata => "metadata",
        }
    }
}

impl Stores {
    fn rows(&self, model: ReadModel) -> Arc<Rows> {
        match model {
            ReadModel::Messages => self.messages.rows(),
            ReadModel::Metadata => self.metadata.rows(),
        }
    }

    /// As [`Accounts::broken`](crate::accounts::Accounts::broken), of one model.
    pub fn broken(&self, model: ReadModel) -> watch::Receiver<Option<Arc<str>>> {
        self.rows(model).broken.watch()
    }

    /// Removes one model from `<dir>/stores`, also one that is too damaged to be opened. Nobody may
    /// have it open. After a crash in between either all of it is there or nothing. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn discard(dir: &Path, model: ReadModel) -> PortResult<()> {
        let stores = dir.join("stores");
        let discarded = put_aside(&stores, model);
        discarded.map_err(|error| engine::failed_io("discarding", error))
    }
}

/// Under another name first: one that is half removed when the power goes could not be opened.
fn put_aside(stores: &Path, model: ReadModel) -> io::Result<()> {
    let aside = aside(stores, model);
    remove(&aside)?;
    match fs::rename(stores.join(model.as_str()), &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    fs::File::open(stores)?.sync_all()?;
    remove(&aside)
}

fn aside(stores: &Path, model: ReadModel) -> PathBuf {
    stores.join(format!("{}.gone", model.as_str()))
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The rows of one store.
struct Rows {
    dir: PathBuf,
    sizes: Sizes,
    buffer: Buffer,
    life: RwLock<Arc<Life>>,
    /// Held while committing or wiping: one writer at a time.
    writing: Mutex<()>,
    broken: Broken,
    /// See [`StoresConfig::in_place`].
    in_place: bool,
    progress: Progress,
    reads: AtomicU64,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Rows of a form that this build does not read, where the log cannot give them again.
fn older_form(dir: &Path) -> klatch_ports::PortError {
    let why = format!(
        "{}: an older build wrote these rows, and the log no longer holds all that they were made \
         from: run that build, or one that can bring them over",
        dir.display()
    );
    klatch_ports::PortError::new(klatch_ports::ErrorKind::Misconfigured, "fjall", "opening")
        .because(why)
}

impl Rows {
    fn open_model(dir: &Path, model: ReadModel, config: StoresConfig) -> PortResult<Self> {
        let sizes = Sizes {
            cache_bytes: config.cache_bytes,
            journal_bytes: config.journal_bytes.max(64 * MIB),
            open_files: config.open_files,
        };
        let buffer_bytes = match model {
            ReadModel::Messages => config.message_buffer_bytes,
            ReadModel::Metadata => config.metadata_buffer_bytes,
        };
        let stores = dir.join("stores");
        // What a crash left of one that was discarded.
        remove(&aside(&stores, model)).map_err(|error| engine::failed_io("opening", error))?;
        let dir = stores.join(model.as_str());
        Self::open(dir, sizes, buffer_bytes, config)
    }

    fn open(
        dir: PathBuf,
        sizes: Sizes,
        buffer_bytes: u64,
        StoresConfig { refuse_older, in_place, .. }: StoresConfig,
    ) -> PortResult<Self> {
        let buffer = Buffer::new(buffer_bytes);
        let life = RwLock::new(Arc::new(Life::newest(&dir, sizes, &buffer)?));
        let (writing, broken) = (Mutex::default(), Broken::new(&dir));
        let (progress, reads) = (Progress::default(), AtomicU64::new(0));
        let rows = Self { dir, sizes, buffer, life, writing, broken, in_place, progress, reads };
        if !rows.life.read().is_of_this_form()? {
            if refuse_older {
                return Err(older_form(&rows.dir));
            }
            let dir = rows.dir.display();
            tracing::warn!(%dir, "rows of an older build: they are read from the log again");
            rows.wipe()?;
        }
        for entry in rows.own_view().prefix(&[layout::POSITION]) {
            let (key, value) = entry.into_inner().map_err(engine::failed("opening"))?;
            rows.progress.load(layout::partition_of(&key)?, row::decode_position(&value)?);
        }
        Ok(rows)
    }

    /// Works where that holds up no other task.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce() -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        if self.in_place { work() } else { engine::blocking(operation, work).await }
    }

    /// All rows as of the newest finished commit, for a reader; counted.
    fn view(&self) -> View {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.own_view()
    }

    /// How often readers asked.
    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// All rows as of the newest finished commit, for the writer.
    fn own_view(&self) -> View {
        let life = Arc::clone(&self.life.read());
        View { snapshot: life.database().snapshot(), life }
    }

    /// Makes all commits so far durable.
    fn persist(&self) -> PortResult<()> {
        let life = Arc::clone(&self.life.read());
        let synced = life.database().persist(fjall::PersistMode::SyncAll);
        self.broken.look(synced.map_err(engine::failed("syncing")))
    }

    /// Forgets all rows and positions. After a crash in between either all are there or none.
    fn wipe(&self) -> PortResult<()> {
        let _writing = self.writing.lock();
        let mut current = self.life.write();
        let next = current.next(&self.dir, self.sizes, &self.buffer)?;
        std::mem::replace(&mut *current, Arc::new(next)).end();
        self.progress.clear();
        Ok(())
    }
}

/// A frozen view of a store's rows: finished commits only, whole.
struct View {
    snapshot: Snapshot,
    life: Arc<Life>,
}

impl View {
    fn get(&self, key: &[u8]) -> PortResult<Option<fjall::Slice>> {
        self.snapshot.get(self.life.keyspace(), key).map_err(engine::failed("reading"))
    }

    fn has(&self, key: &[u8]) -> PortResult<bool> {
        self.snapshot.contains_key(self.life.keyspace(), key).map_err(engine::failed("reading"))
    }

    fn prefix(&self, prefix: &[u8]) -> fjall::Iter {
        self.snapshot.prefix(self.life.keyspace(), prefix)
    }

    fn range(&self, bounds: impl std::ops::RangeBounds<Vec<u8>>) -> fjall::Iter {
        self.snapshot.range(self.life.keyspace(), bounds)
    }

    /// The pair an iterator gave.
    fn pair(guard: fjall::Guard) -> PortResult<fjall::KvPair> {
        guard.into_inner().map_err(engine::failed("reading"))
    }
}
