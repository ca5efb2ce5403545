//! Records of SYSTEM outlive their segments: audit and dead letters are in no read model.
//!
//! Before segments are removed, what they hold of SYSTEM is appended to a file of its own, and
//! then a mark that says up to where that was done. Both are synced before anything is removed,
//! so what stands after the last mark was never relied on. Nor was what stands after the mark with
//! which the segments go on: it may be there to be read and yet not on the disk, when a sync of it
//! failed in an earlier life. The next opening cuts both, and what the segments hold is copied
//! anew.
//!
//! **Memory.** The file grows for as long as the server is used, so what is remembered of it must
//! not: the place of every record cost 37 bytes each, a hundred megabytes for a year in which
//! somebody does something every ten seconds. Remembered are a place in every [`SPREAD`] bytes, a
//! two-thousandth of the file, and the heads of the first [`HEADS`] keys (the audit has one, dead
//! letters have those of their rooms); those of others are looked for from the end of the file on.
//! Opening reads the file once.

mod entry;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use klatch_ports::log::{Batch, Record};
use klatch_ports::{ErrorKind, Offset, PortResult, StreamId};
use parking_lot::RwLock;

use super::Shared;
use super::batch::stream_number;
use super::error::{corrupt, io as port_io};
use super::heads::head_key;
use super::segment::DIR;
use super::space::remove_if_there;
use super::table::HeadKey;
use crate::disk::{Disk, DiskFile};
use entry::{Entry, Walk, write_mark, write_record};

const PATH: &str = "log/kept";
const MAGIC: &[u8; 8] = b"KLKEPT01";
/// Records looked at together while they are copied.
const CHUNK: usize = 1_000;
/// Bytes between two places that are remembered, at least; whoever looks for a record reads up to
/// as many, and the record.
const SPREAD: u64 = 32 * 1024;
/// Keys whose heads are remembered: half a megabyte of them.
const HEADS: usize = 5_000;

/// What is kept of forgotten segments.
#[derive(Debug, Default)]
pub(super) struct Kept(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<dyn DiskFile>>,
    /// Where the last mark ends that counts.
    end: u64,
    /// Everything up to this offset was looked at.
    through: u64,
    /// Where some of the records lie, in their order.
    places: Vec<Place>,
    /// The newest record of each key, as far as there is room.
    heads: HashMap<HeadKey, u64>,
    /// Whether there are keys beyond those.
    has_more_keys: bool,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    at: u64,
}

impl Kept {
    /// Reads the file up to the mark with which the record `first` goes on, and cuts the rest.
    ///
    /// # Errors
    /// `Corrupt` when it does not hold what was in front of `first`, with which the log begins now,
    /// or what the disk says. The file is as it was then: what stands behind the damage
    /// may still be wanted.
    pub(super) fn load(disk: &dyn Disk, first: u64) -> PortResult<Self> {
        let file = match disk.open(PATH) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(port_io("open")(error)),
        };
        let mut state = State::default();
        let mut stopped = 0;
        if let Some(file) = file {
            stopped = state.scan(&file, first).map_err(port_io("open"))?;
        }
        if state.through + 1 < first {
            let place = disk.describe(PATH);
            let why = format!(
                "{place}, byte {stopped}: this should hold what the log kept of the records up to \
                 {}, and holds it up to {}; restore it from a backup",
                first - 1,
                state.through
            );
            return Err(corrupt("open", why));
        }
        state.cut().map_err(port_io("open"))?;
        Ok(Self(RwLock::new(state)))
    }

    /// The record at `offset`, if it is kept.
    ///
    /// # Errors
    /// `Corrupt` when its place is damaged, or what the disk says.
    pub(super) fn record(&self, offset: u64) -> PortResult<Option<Record>> {
        let state = self.0.read();
        let Some(mut walk) = state.walk_to(offset) else { return Ok(None) };
        while let Some(record) = walk.next_record("record")? {
            if record.offset.0 >= offset {
                return Ok(Some(record).filter(|record| record.offset.0 == offset));
            }
        }
        Ok(None)
    }

    /// The newest kept record of a key. Costs a look into memory, and when there are very many keys
    /// what [`Kept::record`] costs for each [`SPREAD`] bytes behind the record.
    ///
    /// # Errors
    /// As [`Kept::record`].
    pub(super) fn head(&self, key: HeadKey) -> PortResult<Option<u64>> {
        let state = self.0.read();
        let known = state.heads.get(&key).copied();
        if known.is_some() || !state.has_more_keys {
            return Ok(known);
        }
        let mut end = state.end;
        for place in state.places.iter().rev() {
            let mut found = None;
            let Some(mut walk) = state.walk(place.at, end) else { break };
            while let Some(record) = walk.next_record("head")? {
                if head_key(record.home, record.key) == key {
                    found = Some(record.offset.0);
                }
            }
            if found.is_some() {
                return Ok(found);
            }
            end = place.at;
        }
        Ok(None)
    }

    /// Up to `limit` kept records after `after` and before `first`, where the segments begin.
    ///
    /// # Errors
    /// As [`Kept::record`].
    pub(super) fn read(&self, after: u64, first: u64, limit: usize) -> PortResult<Batch> {
        let mut batch = Batch { records: Vec::new(), through: Offset(first.saturating_sub(1)) };
        let state = self.0.read();
        let Some(mut walk) = state.walk_to(after.saturating_add(1)) else { return Ok(batch) };
        while let Some(record) = walk.next_record("read")? {
            if record.offset.0 >= first {
                break;
            }
            if record.offset.0 > after {
                batch.through = record.offset;
                batch.records.push(record);
                if batch.records.len() >= limit {
                    return Ok(batch);
                }
            }
        }
        batch.through = Offset(first.saturating_sub(1));
        Ok(batch)
    }

    /// Writes what is kept to another disk; gives the path when there is any.
    ///
    /// # Errors
    /// What one of the disks says.
    pub(super) fn copy(&self, to: &dyn Disk) -> io::Result<Option<String>> {
        let state = self.0.read();
        let Some(from) = &state.file else { return Ok(None) };
        let file = to.create(PATH)?;
        let mut bytes = vec![0; 1024 * 1024];
        let mut at = 0;
        while at < state.end {
            let most = usize::try_from(state.end - at).unwrap_or(usize::MAX).min(bytes.len());
            let piece = bytes.get_mut(..most).unwrap_or_default();
            if from.read_at(piece, at)? < most {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.write_at(piece, at)?;
            at += most as u64;
        }
        file.sync_data()?;
        Ok(Some(PATH.to_owned()))
    }

    /// Appends records and a mark, durably.
    fn add(&self, disk: &dyn Disk, records: &[Record], through: u64) -> io::Result<()> {
        let mut state = self.0.write();
        let file = match &state.file {
            Some(file) => Arc::clone(file),
            None => create(disk)?,
        };
        let mut bytes = Vec::new();
        let begin = if state.file.is_some() { state.end } else { MAGIC.len() as u64 };
        let mut written = Vec::with_capacity(records.len());
        for record in records.iter().filter(|record| record.offset.0 > state.through) {
            written.push(Written::of(record, begin + bytes.len() as u64));
            write_record(record, &mut bytes);
        }
        write_mark(through, begin, &mut bytes);
        file.write_at(&bytes, begin)?;
        file.sync_data()?;
        for record in written {
            state.put(record);
        }
        state.end = begin + bytes.len() as u64;
        state.through = state.through.max(through);
        state.file = Some(file);
        Ok(())
    }
}

/// What is noted of a record in the file.
struct Written {
    place: Place,
    key: HeadKey,
}

impl Written {
    fn of(record: &Record, at: u64) -> Self {
        let place = Place { offset: record.offset.0, at };
        Self { place, key: head_key(record.home, record.key) }
    }
}

impl State {
    /// Notes the next record of the file.
    fn put(&mut self, Written { place, key }: Written) {
        if self.places.last().is_none_or(|last| place.at - last.at >= SPREAD) {
            self.places.push(place);
        }
        if self.heads.len() < HEADS || self.heads.contains_key(&key) {
            self.heads.insert(key, place.offset);
        } else {
            self.has_more_keys = true;
        }
    }

    /// The entries from `at` to `end`, which are whole.
    fn walk(&self, at: u64, end: u64) -> Option<Walk<'_>> {
        self.file.as_deref().map(|file| Walk::over(file, (at, end)))
    }

    /// The entries from the one for `offset` on, or some before it.
    fn walk_to(&self, offset: u64) -> Option<Walk<'_>> {
        let after = self.places.partition_point(|place| place.offset <= offset);
        // Before the first place there is no record.
        let place = self.places.get(after.saturating_sub(1))?;
        self.walk(place.at, self.end)
    }

    /// Takes in everything up to the mark with which `first` goes on, and tells where it stopped.
    fn scan(&mut self, file: &Arc<dyn DiskFile>, first: u64) -> io::Result<u64> {
        let mut magic = [0; MAGIC.len()];
        if file.read_at(&mut magic, 0)? < MAGIC.len() || magic != *MAGIC {
            return Ok(0);
        }
        let (at, length) = (MAGIC.len() as u64, file.len()?);
        let mut walk = Walk::over(&**file, (at, length));
        let mut waiting = Vec::new();
        self.end = at;
        while self.through + 1 < first
            && let Some((entry, at)) = walk.next()?
        {
            match entry {
                Entry::Record(record) => waiting.push(Written::of(&record, at)),
                Entry::Pad => {}
                Entry::Mark(through) => {
                    waiting.drain(..).for_each(|record| self.put(record));
                    self.through = through;
                    self.end = walk.at;
                }
            }
        }
        let stopped = walk.at;
        // Of a file that nothing was relied on not even the name may be durable: it is made anew.
        self.file = (self.through > 0).then(|| Arc::clone(file));
        Ok(stopped)
    }

    /// Makes what stands after the end zeros.
    fn cut(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let length = file.len()?;
        if length > self.end {
            file.zero(self.end, length)?;
            file.sync_data()?;
        }
        Ok(())
    }
}

fn create(disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
    // What a crash left of an earlier try holds nothing that was relied on.
    remove_if_there(disk, PATH)?;
    let file = disk.create(PATH)?;
    file.write_at(MAGIC, 0)?;
    file.sync_data()?;
    disk.sync_dir(DIR)?;
    Ok(file)
}

impl Shared {
    /// Copies what there is of SYSTEM up to `through` to where it stays, durably.
    pub(super) fn keep_system(&self, through: u64) -> PortResult<()> {
        let after = |kept: &Kept| kept.0.read().through;
        let mut at = after(&self.kept);
        while at < through {
            let found = self.reader.read(&self.segments, StreamId::System, (at, through), CHUNK)?;
            if found.through.0 <= at {
                let why = format!("nothing can be read after offset {at}");
                return Err(corrupt("forget", why));
            }
            at = found.through.0;
            let is_last = at >= through;
            if is_last || !found.records.is_empty() {
                let keep = self.kept.add(&*self.disk, &found.records, at);
                keep.map_err(port_io("forget"))?;
            }
        }
        Ok(())
    }

    /// The newest record of a key that can still be read. Blocks.
    pub(super) fn head(&self, key: HeadKey) -> io::Result<Option<u64>> {
        match self.find_head(key)? {
            None if key.0 == stream_number(StreamId::System) => {
                self.kept.head(key).map_err(|error| match error.kind {
                    ErrorKind::Corrupt => io::Error::new(io::ErrorKind::InvalidData, error),
                    _ => io::Error::other(error),
                })
            }
            found => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests;
