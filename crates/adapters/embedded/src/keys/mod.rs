//! Data keys: one per person, each wrapped under the server's key in a slot that is overwritten in
//! place. Kept apart from all data, and to be backed up apart.
//!
//! One thread writes; everybody who waits shares its syncs. Reads are a look-up in memory, and for
//! a key not used lately one read of 80 bytes and one decryption, in place.
//!
//! **Destroying** replaces the server's key too, so that older copies of the slot that a disk may
//! keep where nobody can overwrite them open no more. In this order, each step synced before the
//! next: the next server key is written beside the one in use; the slot is overwritten; all other
//! slots are written to a new file under the next key; that file takes the old one's place; the
//! old server key is overwritten. Whatever step a crash comes after, one of the two files is in
//! place, whole, and its key is there; opening finds the second server key and replaces again.
//! It costs about two microseconds and 85 bytes per person on the server.
//!
//! **After a sync that failed** the kernel still shows what it did not write and never will, to the
//! next life of the process too: a key that things were sealed with since, and that a power cut
//! takes; a rename that was not done, of a file whose server key would now be overwritten. No mark
//! on a disk that refused a sync could tell of it. So opening syncs the directory before it
//! believes a name in it, and writes all slots and the empty sector of `server.key` once more,
//! where they are, before anybody reads them: 85 bytes per person, 8.5 MB for 100,000 people, and
//! one sync. The sector of the key in use was synced before its slots took their place.

mod sector;
mod server;
mod slots;
mod writer;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::{Entropy, UserId};
use klatch_ports::keys::{DataKey, KeyReader, KeyWriter};
use klatch_ports::{ErrorKind, PortError, PortResult};
use klatch_recent::Recent;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::broken::Broken;
use crate::engine::group::Group;
use crate::engine::{create_durably, kind_of};
use server::{Found, KeyFile, ServerKey, Wrapping};
use slots::{SlotsError, SlotsFile};
use writer::{Job, Writer};

/// Data keys on disk.
pub struct Keys {
    shared: Arc<Shared>,
    writer: Group<Job>,
    broken: Broken,
    /// Held as long as this process has the keys open.
    _lock: File,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Unwrapped keys remembered in each of two generations.
const REMEMBERED: usize = 16_384;

/// What readers see.
struct Shared {
    table: RwLock<Table>,
    /// Unwrapped keys used lately; both generations together take about 3 MB.
    cache: Recent<UserId, DataKey>,
}

/// Where every key is, and how to open it.
struct Table {
    slots: Arc<SlotsFile>,
    wrapping: Arc<Wrapping>,
    /// Keyed by the id's bytes, which pack tighter than its number: about 30 bytes a person.
    places: HashMap<[u8; 16], u32>,
}

impl Keys {
    /// Opens the keys in `<dir>/keys`, or begins with none; new ones are made from `entropy`.
    /// Waits for the disk; reads and writes all slots once (85 MB for a million people). One
    /// process may have them open at a time.
    ///
    /// # Errors
    /// `Misconfigured` when another process has them open or they may not be read, `Corrupt` when
    /// a slot is damaged (the text names it) or a file is gone, `Full`, `Unavailable`.
    pub fn open(dir: &Path, entropy: Arc<dyn Entropy>) -> PortResult<Self> {
        let dir = dir.join("keys");
        let io = |error| failed_io("opening keys", error);
        create_durably(&dir).map_err(io)?;
        let lock = lock(&dir)?;
        sector::sync_directory(&dir).map_err(io)?;
        let (slots, key_file, found) = open_files(&dir, &*entropy)?;
        let (place, key, rotating) = in_use(&slots, found)?;
        let (places, free) = load(&slots)?;
        if !rotating {
            // Replacing the server key writes all this too.
            slots.write_anew().and_then(|()| key_file.write(1 - place, None)).map_err(io)?;
        }
        let wrapping = Arc::new(key.wrapping());
        let table = Table { slots: Arc::new(slots), wrapping, places };
        let shared = Arc::new(Shared { table: RwLock::new(table), cache: Recent::new(REMEMBERED) });
        let broken = Broken::new(&dir);
        let files = (dir, key_file, broken.clone());
        let mut writer = Writer::new(Arc::clone(&shared), files, entropy, place, free);
        if rotating {
            writer.rotate()?;
        }
        let writer = Group::start("keys", move |jobs| writer.work(jobs));
        let writer = writer.map_err(io)?;
        Ok(Self { shared, writer, broken, _lock: lock })
    }
}

impl Keys {
    /// Copies the wrapped keys and the server key to `dir`, which must be there and hold none;
    /// synced. Every key made before the call is in it, none destroyed before it.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn copy_to(&self, dir: &Path) -> PortResult<()> {
        self.writer.run("copying keys", |reply| Job::Copy(dir.to_owned(), reply)).await
    }

    /// Why nothing more is written until they are opened again; a sync that failed while keys were
    /// being made is tried again instead.
    pub fn broken(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.broken.watch()
    }

    /// How many people have a key.
    pub fn people(&self) -> usize {
        self.shared.table.read().places.len()
    }
}

fn lock(dir: &Path) -> PortResult<File> {
    let io = |error| failed_io("locking keys", error);
    let file = sector::create(&dir.join("lock")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let error = PortError::new(ErrorKind::Misconfigured, "keys", "locking keys");
            Err(error.because("another process has the keys open"))
        }
        Err(fs::TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Opens both files; creates both when there is nothing to lose.
fn open_files(dir: &Path, entropy: &dyn Entropy) -> PortResult<(SlotsFile, KeyFile, [Found; 2])> {
    let io = |error| failed_io("opening keys", error);
    let (slots_path, key_path) = (dir.join("slots"), dir.join("server.key"));
    let there = |path: &Path| path.try_exists().map_err(io);
    let slots = match (there(&slots_path)?, there(&key_path)?) {
        (true, true) => SlotsFile::open(&slots_path).map_err(io)?,
        (false, true) => return Err(corrupt("server.key is there, slots is gone")),
        (true, false) if holds_keys(&slots_path)? => {
            return Err(corrupt("slots is there, server.key is gone"));
        }
        // The slots first: without keys in them they can be made again after a crash in between.
        (_, false) => {
            let key = ServerKey::fresh(entropy);
            let slots = SlotsFile::create(&slots_path, key.name).map_err(io)?;
            slots.sync().and_then(|()| sector::sync_directory(dir)).map_err(io)?;
            KeyFile::create(&key_path, &key).map_err(io)?;
            sector::sync_directory(dir).map_err(io)?;
            slots
        }
    };
    let key_file = KeyFile::open(&key_path).map_err(io)?;
    let found = key_file.read().map_err(io)?;
    Ok((slots, key_file, found))
}

fn holds_keys(path: &Path) -> PortResult<bool> {
    let io = |error| failed_io("opening keys", error);
    Ok(SlotsFile::open(path).map_err(io)?.room().map_err(io)? > 0)
}

/// Which sector holds the slots' server key, the key, and whether a replacement was under way.
fn in_use(slots: &SlotsFile, found: [Found; 2]) -> PortResult<(u64, ServerKey, bool)> {
    let name = slots.key_name().map_err(failed_slots)?;
    let [first, second] = found;
    let is_it = |found: &Found| matches!(found, Found::Key(key) if key.name == name);
    let (place, this, other) = if is_it(&first) { (0, first, second) } else { (1, second, first) };
    match this {
        Found::Key(key) if key.name == name => Ok((place, key, !matches!(other, Found::Empty))),
        _ => Err(corrupt("server.key is not the key of these slots, or is damaged")),
    }
}

type Places = HashMap<[u8; 16], u32>;

/// Where everybody's key is, and the free slots, highest first.
fn load(slots: &SlotsFile) -> PortResult<(Places, Vec<u32>)> {
    let (mut places, mut free) = (HashMap::new(), Vec::new());
    let visit = |number, slot: Option<slots::Slot>| {
        match slot.map(|slot| places.entry(slot.person.to_bytes())) {
            None => free.push(number),
            Some(Entry::Vacant(entry)) => {
                entry.insert(number);
            }
            Some(Entry::Occupied(_)) => return Err(SlotsError::Slot(number)),
        }
        Ok(())
    };
    slots.each(visit).map_err(failed_slots)?;
    free.reverse();
    Ok((places, free))
}

fn failed_io(operation: &'static str, error: io::Error) -> PortError {
    PortError::new(kind_of(&error), "keys", operation).because(error)
}

fn failed_slots(error: SlotsError) -> PortError {
    match error {
        SlotsError::Io(error) => failed_io("reading keys", error),
        damage => corrupt(damage.to_string()),
    }
}

fn corrupt(what: impl Into<String>) -> PortError {
    PortError::new(ErrorKind::Corrupt, "keys", "reading keys").because(what.into())
}

impl Keys {
    /// Forgets unwrapped keys that nobody asked for since the last call.
    pub fn forget_idle(&self) {
        self.shared.cache.turn();
    }
}

#[async_trait]
impl KeyReader for Keys {
    async fn key(&self, person: UserId) -> PortResult<Option<DataKey>> {
        self.shared.key(person)
    }
}

impl Shared {
    fn key(&self, person: UserId) -> PortResult<Option<DataKey>> {
        // Held throughout, so that a key that is being destroyed is not put back into the cache.
        let table = self.table.read();
        let Some(number) = table.places.get(&person.to_bytes()).copied() else {
            return Ok(None);
        };
        if let Some(key) = self.cache.get(&person) {
            return Ok(Some(key));
        }
        let slot = table.slots.read(number).map_err(failed_slots)?;
        let key = slot
            .filter(|slot| slot.person == person)
            .and_then(|slot| table.wrapping.unwrap(person, slot.nonce, &slot.wrapped))
            .ok_or_else(|| failed_slots(SlotsError::Slot(number)))?;
        self.cache.put(person, key.clone());
        Ok(Some(key))
    }
}

#[async_trait]
impl KeyWriter for Keys {
    async fn create(&self, people: &[UserId]) -> PortResult<()> {
        let missing: Vec<UserId> = {
            let table = self.shared.table.read();
            let missing = |person: &&UserId| !table.places.contains_key(&person.to_bytes());
            people.iter().filter(missing).copied().collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        self.writer.run("creating keys", |reply| Job::Create(missing, reply)).await
    }

    async fn destroy(&self, person: UserId) -> PortResult<bool> {
        self.writer.run("destroying a key", |reply| Job::Destroy(person, reply)).await
    }
}
