//! A disk in memory that fails the way disks fail, for tests of everything that runs on a disk.
//!
//! What was not synced may be lost at a power cut, sector by sector, in any combination; names that
//! were not synced too. Space runs out, writes and syncs fail, bits flip.

mod inode;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Disk, DiskFile, DiskLock, write_zeros};
use inode::Inode;
use names::Names;

/// What a disk writes as one.
pub const SECTOR: usize = 512;

/// The hand on the plug: makes disks and breaks them. Clones act on the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct World {
    random: Random,
    /// Counts power cuts; handles of an earlier life are dead.
    life: u64,
    /// Changing calls that were done.
    changes: u64,
    inodes: BTreeMap<u64, Inode>,
    newest_inode: u64,
    names: Names,
    locks: BTreeSet<String>,
    capacity: u64,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Faults {
    /// Changing calls until the power goes.
    cut_after: Option<u64>,
    /// Whether the power goes with the call that is running.
    cutting: bool,
    /// Writes until one fails, and all after it.
    fail_write_after: Option<u64>,
    /// Syncs until one fails, and all after it.
    fail_sync_after: Option<u64>,
    sync_delay: Duration,
}

impl SimDisk {
    /// An empty disk without limits or faults; `seed` decides what a fault destroys.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            random: Random(seed),
            life: 0,
            changes: 0,
            inodes: BTreeMap::new(),
            newest_inode: 0,
            names: Names::default(),
            locks: BTreeSet::new(),
            capacity: u64::MAX,
            faults: Faults::default(),
        })))
    }

    /// The disk as it is used, until the next power cut.
    pub fn disk(&self) -> Arc<dyn Disk> {
        let life = self.0.lock().life;
        Arc::new(SimHandle { world: Arc::clone(&self.0), life })
    }

    /// Takes the power away now and gives it back: what was not durable survives by chance, every
    /// handle is dead, faults are over, and [`SimDisk::disk`] gives the disk as it is found.
    pub fn power_cut(&self) {
        self.0.lock().power_cut();
    }

    /// Takes the power away at the `calls`-th call that changes something, counted from now.
    pub fn power_cut_after(&self, calls: u64) {
        self.0.lock().faults.cut_after = Some(calls);
    }

    /// How often the power went.
    pub fn power_cuts(&self) -> u64 {
        self.0.lock().life
    }

    /// How many calls that change something were done. One that failed or took the power with it
    /// does not count.
    pub fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    /// Lets `writes` more writes succeed and every later one fail, until [`SimDisk::mend`].
    pub fn fail_writes_after(&self, writes: u64) {
        self.0.lock().faults.fail_write_after = Some(writes);
    }

    /// Lets `syncs` more syncs succeed and every later one fail. As on a real kernel a failed sync
    /// forgets what it could not write, while reading still shows it.
    pub fn fail_syncs_after(&self, syncs: u64) {
        self.0.lock().faults.fail_sync_after = Some(syncs);
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.0.lock().faults = Faults::default();
    }

    /// Makes every sync take at least this long.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.0.lock().faults.sync_delay = delay;
    }

    /// Sets how many bytes the disk holds, used ones included.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Names of the files in a directory, sorted.
    pub fn names(&self, dir: &str) -> Vec<String> {
        self.0.lock().names.list(dir)
    }

    /// What a file holds; `None` when there is none.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let world = self.0.lock();
        world.inodes.get(&world.names.find(path)?).map(|inode| inode.bytes().to_vec())
    }

    /// Changes what a file holds, durably and behind everyone's back.
    pub fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.0.lock();
        let Some(id) = world.names.find(path) else { return };
        if let Some(inode) = world.inodes.get_mut(&id) {
            inode.damage(change);
        }
    }

    /// Flips one bit of a file.
    pub fn flip_bit(&self, path: &str, byte: usize, bit: u32) {
        self.damage(path, |bytes| {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1u8.rotate_left(bit);
            }
        });
    }
}

impl World {
    fn used(&self) -> u64 {
        let named = self.names.inodes();
        let inodes = self.inodes.iter().filter(|(id, _)| named.contains(id));
        inodes.map(|(_, inode)| inode.bytes().len() as u64).sum()
    }

    fn power_cut(&mut self) {
        self.life += 1;
        self.faults = Faults::default();
        self.locks.clear();
        self.names.power_cut(&mut self.random);
        let named = self.names.inodes();
        self.inodes.retain(|id, _| named.contains(id));
        for inode in self.inodes.values_mut() {
            inode.power_cut(&mut self.random);
        }
    }

    fn inode(&mut self, id: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&id).ok_or_else(not_found)
    }

    fn find(&self, path: &str) -> io::Result<u64> {
        self.names.find(path).ok_or_else(not_found)
    }
}

/// Counts down to the first failure and stays there: whether this call fails.
fn fails(left: &mut Option<u64>) -> bool {
    match left {
        None => false,
        Some(0) => true,
        Some(left) => {
            *left -= 1;
            false
        }
    }
}

fn not_found() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no such file")
}

fn broken() -> io::Error {
    io::Error::other("the disk failed (EIO)")
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left (ENOSPC)")
}

#[derive(Clone, Debug)]
struct SimHandle {
    world: Arc<Mutex<World>>,
    life: u64,
}

impl SimHandle {
    /// Acts on the disk as long as it has power.
    fn look<T>(&self, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world.lock();
        if world.life == self.life { act(&mut world) } else { Err(broken()) }
    }

    /// The same for a call that changes something. The power may go with it; then it took place,
    /// is not durable, and nobody is told.
    fn change<T>(&self, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        self.look(|world| {
            world.faults.cutting = fails(&mut world.faults.cut_after);
            let outcome = act(world);
            if !world.faults.cutting {
                world.changes += u64::from(outcome.is_ok());
                return outcome;
            }
            world.power_cut();
            Err(broken())
        })
    }
}

impl Disk for SimHandle {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.change(|world| {
            if world.names.find(path).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            world.newest_inode += 1;
            let id = world.newest_inode;
            world.inodes.insert(id, Inode::default());
            world.names.set(path, id);
            Ok(Arc::new(SimFile { disk: self.clone(), id }) as Arc<dyn DiskFile>)
        })
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.look(|world| world.find(path))?;
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.look(|world| Ok(world.names.list(dir)))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        // The inode stays for those who have it open; a power cut collects it.
        self.change(|world| world.find(path).map(|_| world.names.remove(path)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|world| world.find(from).map(|_| world.names.rename(from, to)))
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        self.look(|_| Ok(()))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.change(|world| {
            if fails(&mut world.faults.fail_sync_after) {
                return Err(broken());
            }
            world.names.sync(dir);
            Ok(())
        })
    }

    fn free_space(&self) -> io::Result<u64> {
        self.look(|world| Ok(world.capacity.saturating_sub(world.used())))
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        self.look(|world| {
            if !world.locks.insert(path.to_owned()) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() }) as Box<dyn DiskLock>)
        })
    }

    fn describe(&self, path: &str) -> String {
        path.to_owned()
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimHandle,
    path: String,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        // On a disk that lost power since, the lock is gone already.
        let _ = self.disk.look(|world| Ok(world.locks.remove(&self.path)));
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimHandle,
    id: u64,
}

impl DiskFile for SimFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.disk.look(|world| Ok(world.inode(self.id)?.read(into, at)))
    }

    fn write_at(&self, from: &[u8], at: u64) -> io::Result<()> {
        self.disk.change(|world| {
            let end = at + from.len() as u64;
            let grows = end.saturating_sub(world.inode(self.id)?.bytes().len() as u64);
            if world.used().saturating_add(grows) > world.capacity {
                return Err(full());
            }
            if fails(&mut world.faults.fail_write_after) {
                let part = world.random.below(from.len() as u64 + 1);
                let part = from.get(..usize::try_from(part).unwrap_or(0)).unwrap_or(from);
                world.inode(self.id)?.write(part, at);
                return Err(broken());
            }
            world.inode(self.id)?.write(from, at);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let delay = self.disk.look(|world| Ok(world.faults.sync_delay))?;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        self.disk.change(|world| {
            let failed = fails(&mut world.faults.fail_sync_after);
            // A sync that the power cut interrupts has written some of it: the cut decides what.
            let World { random, inodes, faults, .. } = world;
            let inode = inodes.get_mut(&self.id).ok_or_else(not_found)?;
            match (failed, faults.cutting) {
                (true, _) => inode.fail_sync(random),
                (false, true) => {}
                (false, false) => inode.sync(),
            }
            if failed { Err(broken()) } else { Ok(()) }
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.look(|world| Ok(world.inode(self.id)?.bytes().len() as u64))
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        write_zeros(self, from, to)
    }
}

/// Numbers from a seed (splitmix64, Vigna's public-domain generator).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is at least 1. The slight bias does not matter here.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[cfg(test)]
mod tests;
