//! The thread that makes and destroys keys.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::channel::oneshot;
use klatch_domain::{Entropy, UserId};
use klatch_ports::keys::DataKey;
use klatch_ports::{ErrorKind, PortError, PortResult};

use super::server::{KeyFile, NONCE, ServerKey, Wrapping};
use super::slots::{Slot, SlotsError, SlotsFile};
use super::{Shared, corrupt, failed_io, failed_slots, sector};
use crate::broken::Broken;
use crate::engine::group::share;

/// What a caller wants.
pub(super) enum Job {
    Create(Vec<UserId>, oneshot::Sender<PortResult<()>>),
    Destroy(UserId, oneshot::Sender<PortResult<bool>>),
    /// Writes both files to another directory.
    Copy(PathBuf, oneshot::Sender<PortResult<()>>),
}

/// Everything only the thread touches.
pub(super) struct Writer {
    shared: Arc<Shared>,
    dir: PathBuf,
    entropy: Arc<dyn Entropy>,
    key_file: KeyFile,
    /// The sector of the server key in use.
    place: u64,
    /// Free slots, the next at the end.
    free: Vec<u32>,
    /// Slots that failed writes left in doubt, and whose: theirs again at the next try, so that
    /// nobody ever has two.
    doubtful: HashMap<UserId, u32>,
    /// Slots to overwrite, or overwritten while the server key still is to be replaced, and whose
    /// key was in them.
    condemned: BTreeMap<UserId, u32>,
    /// Whether the server key must be replaced before anything is reported as destroyed.
    rotation_due: bool,
    /// Set when it is not known which slots file a restart will find: nothing may be written.
    lost: bool,
    broken: Broken,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        (dir, key_file, broken): (PathBuf, KeyFile, Broken),
        entropy: Arc<dyn Entropy>,
        place: u64,
        free: Vec<u32>,
    ) -> Self {
        Self {
            shared,
            dir,
            entropy,
            key_file,
            place,
            free,
            doubtful: HashMap::new(),
            condemned: BTreeMap::new(),
            rotation_due: false,
            lost: false,
            broken,
        }
    }

    /// Does all jobs, those of a kind together, and answers.
    pub(super) fn work(&mut self, jobs: Vec<Job>) {
        let (mut people, mut creators) = (Vec::new(), Vec::new());
        let (mut destroyers, mut copies) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Create(who, reply) => {
                    people.extend(who);
                    creators.push(reply);
                }
                Job::Destroy(person, reply) => destroyers.push((person, reply)),
                Job::Copy(dir, reply) => copies.push((dir, reply)),
            }
        }
        let outcome = self.create(&people);
        for reply in creators {
            // A caller that went away is no longer to be told.
            reply.send(outcome.as_ref().map_err(share).copied()).ok();
        }
        if !destroyers.is_empty() {
            self.destroy(destroyers);
        }
        for (dir, reply) in copies {
            reply.send(self.copy(&dir)).ok();
        }
    }

    /// Nothing changes the files meanwhile: only this thread does.
    fn copy(&self, dir: &Path) -> PortResult<()> {
        self.refuse_when_lost("copying keys")?;
        let copy = || {
            for name in ["slots", "server.key"] {
                let mut from = File::open(self.dir.join(name))?;
                let mut to = sector::create(&dir.join(name))?;
                io::copy(&mut from, &mut to)?;
                to.sync_all()?;
            }
            sector::sync_directory(dir)
        };
        copy().map_err(|error| failed_io("copying keys", error))
    }

    fn create(&mut self, people: &[UserId]) -> PortResult<()> {
        let (slots, wrapping) = self.current();
        let mut made: HashMap<UserId, (u32, DataKey)> = HashMap::new();
        for person in people {
            let there = self.shared.table.read().places.contains_key(&person.to_bytes());
            if there || made.contains_key(person) {
                continue;
            }
            self.refuse_when_lost("creating keys")?;
            let number = self.free_slot(&slots, *person)?;
            let mut key = DataKey([0; 32]);
            self.entropy.fill(&mut key.0);
            let slot = self.slot(&wrapping, *person, &key)?;
            self.doubtful.insert(*person, number);
            slots.write(number, Some(&slot)).map_err(|e| failed_io("creating keys", e))?;
            made.insert(*person, (number, key));
        }
        if made.is_empty() {
            return Ok(());
        }
        slots.sync().map_err(|error| failed_io("creating keys", error))?;
        let mut table = self.shared.table.write();
        for (person, (number, key)) in made {
            self.doubtful.remove(&person);
            table.places.insert(person.to_bytes(), number);
            self.shared.cache.put(person, key);
        }
        Ok(())
    }

    fn current(&self) -> (Arc<SlotsFile>, Arc<Wrapping>) {
        let table = self.shared.table.read();
        (Arc::clone(&table.slots), Arc::clone(&table.wrapping))
    }

    fn refuse_when_lost(&self, operation: &'static str) -> PortResult<()> {
        if !self.lost {
            return Ok(());
        }
        let error = PortError::new(ErrorKind::Unavailable, "keys", operation);
        Err(error.because("an earlier write failed in a way that only a restart can settle"))
    }

    fn free_slot(&mut self, slots: &SlotsFile, person: UserId) -> PortResult<u32> {
        let theirs = self.condemned.remove(&person);
        if let Some(number) = theirs.or_else(|| self.doubtful.get(&person).copied()) {
            return Ok(number);
        }
        if self.free.is_empty() {
            let io = |error| failed_io("making room for keys", error);
            let old = slots.room().map_err(io)?;
            slots.grow().map_err(io)?;
            self.free.extend((old..slots.room().map_err(io)?).rev());
        }
        self.free.pop().ok_or_else(|| corrupt("the slots file does not grow"))
    }

    fn slot(&self, wrapping: &Wrapping, person: UserId, key: &DataKey) -> PortResult<Slot> {
        let mut nonce = [0; NONCE];
        self.entropy.fill(&mut nonce);
        let wrapped = wrapping.wrap(person, nonce, key);
        let wrapped = wrapped.ok_or_else(|| corrupt("a key cannot be wrapped"))?;
        Ok(Slot { person, nonce, wrapped })
    }

    fn destroy(&mut self, jobs: Vec<(UserId, oneshot::Sender<PortResult<bool>>)>) {
        let mut answers = Vec::new();
        {
            let mut table = self.shared.table.write();
            for (person, reply) in jobs {
                let number = table.places.remove(&person.to_bytes());
                let number = number.or_else(|| self.doubtful.remove(&person));
                self.condemned.extend(number.map(|number| (person, number)));
                // Nobody reads it from here on, also if the disk refuses what follows.
                self.shared.cache.remove(&person);
                answers.push((self.condemned.contains_key(&person), reply));
            }
        }
        let any = !self.condemned.is_empty() || self.rotation_due;
        let outcome = if any { self.rotate() } else { Ok(()) };
        for (was_there, reply) in answers {
            reply.send(outcome.as_ref().map_err(share).map(|()| was_there)).ok();
        }
    }

    /// Overwrites condemned slots and replaces the server key; the order is the module's.
    pub(super) fn rotate(&mut self) -> PortResult<()> {
        self.refuse_when_lost("destroying a key")?;
        self.rotation_due = true;
        let io = |error| failed_io("replacing the server key", error);
        let next = ServerKey::fresh(&*self.entropy);
        self.key_file.write(1 - self.place, Some(&next)).map_err(io)?;

        let (slots, wrapping) = self.current();
        for number in self.condemned.values().chain(self.doubtful.values()) {
            slots.write(*number, None).map_err(io)?;
        }
        slots.sync().map_err(io)?;

        let next_wrapping = next.wrapping();
        let (new_path, path) = (self.dir.join("slots.new"), self.dir.join("slots"));
        let new = SlotsFile::create(&new_path, next.name).map_err(io)?;
        self.rewrap(&slots, &wrapping, &new, &next_wrapping).map_err(failed_slots)?;
        sector::replace(new.file(), &new_path, &path).map_err(io)?;
        if let Err(error) = sector::sync_directory(&self.dir) {
            self.lost = true;
            let error = io(error);
            self.broken.tell(&error);
            return Err(error);
        }
        {
            let mut table = self.shared.table.write();
            table.slots = Arc::new(new);
            table.wrapping = Arc::new(next_wrapping);
        }
        self.place = 1 - self.place;
        self.key_file.write(1 - self.place, None).map_err(io)?;
        self.rotation_due = false;
        self.free.extend(std::mem::take(&mut self.condemned).into_values());
        self.free.extend(std::mem::take(&mut self.doubtful).into_values());
        Ok(())
    }

    fn rewrap(
        &self,
        from: &SlotsFile,
        old: &Wrapping,
        to: &SlotsFile,
        new: &Wrapping,
    ) -> Result<(), SlotsError> {
        let mut out = Vec::new();
        from.each(|number, slot| {
            let rewrapped = match slot {
                None => None,
                Some(Slot { person, nonce, wrapped }) => {
                    let key = old.unwrap(person, nonce, &wrapped);
                    let slot = key.and_then(|key| self.slot(new, person, &key).ok());
                    Some(slot.ok_or(SlotsError::Slot(number))?)
                }
            };
            to.append(&mut out, rewrapped.as_ref()).map_err(SlotsError::from)
        })?;
        to.flush(&mut out).map_err(SlotsError::from)
    }
}
