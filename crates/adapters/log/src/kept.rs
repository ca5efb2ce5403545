//! Records of SYSTEM outlive their segments: audit and dead letters are in no read model.
//!
//! Before segments are removed, what they hold of SYSTEM is appended to a file of its own, and
//! then a mark that says up to where that was done. Both are synced before anything is removed, so
//! that what stands after the last mark was never relied on and is cut at the next opening.
//!
//! ```text
//! file   = magic (8) | entries
//! entry  = length of the rest u32 | crc u32 (of the rest) | rest
//! record = 1 u8 | kind u8 | zero (6) | offset u64 | time u64 | key u128 | body
//! mark   = 2 u8 | zero (7) | through u64
//! ```

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use klatch_domain::Timestamp;
use klatch_ports::log::{Batch, Key, Kind, RECORD_BYTES_MAX, Record};
use klatch_ports::{Offset, PortResult, StreamId};
use parking_lot::RwLock;

use super::Shared;
use super::batch::{u32_at, u64_at};
use super::error::{corrupt, io as port_io};
use super::heads::head_key;
use super::segment::DIR;
use super::space::remove_if_there;
use super::table::HeadKey;
use crate::disk::{Disk, DiskFile};

const PATH: &str = "log/kept";
const MAGIC: &[u8; 8] = b"KLKEPT01";
const ENTRY: usize = 8;
const RECORD: usize = 40;
const MARK: usize = 16;
/// Records looked at together while they are copied.
const CHUNK: usize = 1_000;

/// What is kept of forgotten segments.
#[derive(Debug, Default)]
pub(super) struct Kept(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<dyn DiskFile>>,
    /// Where the last mark ends.
    end: u64,
    /// Everything up to this offset was looked at.
    through: u64,
    /// Where each record lies.
    places: BTreeMap<u64, u64>,
    heads: HashMap<HeadKey, u64>,
}

/// What an entry says.
enum Entry {
    Record(Box<Record>),
    Mark(u64),
}

impl Kept {
    /// Reads the file; whatever stands after its last mark is cut.
    ///
    /// # Errors
    /// `Corrupt` when it does not hold what was in front of the record `first`, with which the log
    /// begins now, or what the disk says. The file is as it was then: what stands behind the damage
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
            stopped = state.scan(&file).map_err(port_io("open"))?;
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
        let (Some(file), Some(at)) = (&state.file, state.places.get(&offset)) else {
            return Ok(None);
        };
        match read_entry(&**file, *at).map_err(port_io("record"))? {
            Some((Entry::Record(record), _)) if record.offset.0 == offset => Ok(Some(*record)),
            _ => Err(corrupt("record", format!("{PATH}, byte {at}: the record is damaged"))),
        }
    }

    /// The newest kept record of a key.
    pub(super) fn head(&self, key: HeadKey) -> Option<u64> {
        self.0.read().heads.get(&key).copied()
    }

    /// Up to `limit` kept records after `after` and before `first`, where the segments begin.
    ///
    /// # Errors
    /// As [`Kept::record`].
    pub(super) fn read(&self, after: u64, first: u64, limit: usize) -> PortResult<Batch> {
        let offsets: Vec<u64> = {
            let state = self.0.read();
            let places = state.places.range(after.saturating_add(1)..first);
            places.map(|(offset, _)| *offset).take(limit).collect()
        };
        let mut batch = Batch { records: Vec::new(), through: Offset(first.saturating_sub(1)) };
        for offset in &offsets {
            batch.records.extend(self.record(*offset)?);
        }
        if let (true, Some(last)) = (offsets.len() >= limit, offsets.last()) {
            batch.through = Offset(*last);
        }
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
        let mut places = Vec::with_capacity(records.len());
        for record in records.iter().filter(|record| record.offset.0 > state.through) {
            let at = begin + bytes.len() as u64;
            write_record(record, &mut bytes);
            places.push((record, at));
        }
        write_mark(through, &mut bytes);
        file.write_at(&bytes, begin)?;
        file.sync_data()?;
        for (record, at) in places {
            state.put(record, at);
        }
        state.end = begin + bytes.len() as u64;
        state.through = state.through.max(through);
        state.file = Some(file);
        Ok(())
    }
}

impl State {
    fn put(&mut self, record: &Record, at: u64) {
        self.places.insert(record.offset.0, at);
        self.heads.insert(head_key(record.home, record.key), record.offset.0);
    }

    /// Takes in everything up to the last mark, and tells where it stopped.
    fn scan(&mut self, file: &Arc<dyn DiskFile>) -> io::Result<u64> {
        let mut magic = [0; MAGIC.len()];
        if file.read_at(&mut magic, 0)? < MAGIC.len() || magic != *MAGIC {
            return Ok(0);
        }
        let mut at = MAGIC.len() as u64;
        let mut waiting = Vec::new();
        self.end = at;
        while let Some((entry, length)) = read_entry(&**file, at)? {
            match entry {
                Entry::Record(record) => waiting.push((record, at)),
                Entry::Mark(through) => {
                    for (record, at) in waiting.drain(..) {
                        self.put(&record, at);
                    }
                    self.through = through;
                    self.end = at + length;
                }
            }
            at += length;
        }
        self.file = Some(Arc::clone(file));
        Ok(at)
    }

    /// Makes what stands after the last mark zeros.
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

fn write_entry(rest: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(rest).to_le_bytes());
    out.extend_from_slice(rest);
}

fn write_record(record: &Record, out: &mut Vec<u8>) {
    let mut rest = Vec::with_capacity(RECORD + record.body.len());
    rest.extend_from_slice(&[1, record.kind as u8, 0, 0, 0, 0, 0, 0]);
    rest.extend_from_slice(&record.offset.0.to_le_bytes());
    rest.extend_from_slice(&record.appended_at.0.to_le_bytes());
    rest.extend_from_slice(&record.key.0.to_le_bytes());
    rest.extend_from_slice(&record.body);
    write_entry(&rest, out);
}

fn write_mark(through: u64, out: &mut Vec<u8>) {
    let mut rest = vec![2, 0, 0, 0, 0, 0, 0, 0];
    rest.extend_from_slice(&through.to_le_bytes());
    write_entry(&rest, out);
}

/// The entry at `at` and its length; `None` where there is no whole one.
fn read_entry(file: &dyn DiskFile, at: u64) -> io::Result<Option<(Entry, u64)>> {
    let mut head = [0; ENTRY];
    if file.read_at(&mut head, at)? < ENTRY {
        return Ok(None);
    }
    let length = u32_at(&head, 0).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if !(MARK..=RECORD + RECORD_BYTES_MAX).contains(&length) {
        return Ok(None);
    }
    let mut rest = vec![0; length];
    if file.read_at(&mut rest, at + ENTRY as u64)? < length
        || u32_at(&head, 4) != Some(crc32c::crc32c(&rest))
    {
        return Ok(None);
    }
    let entry = match rest.first() {
        Some(1) => decode_record(rest).map(|record| Entry::Record(Box::new(record))),
        Some(2) => u64_at(&rest, 8).map(Entry::Mark),
        _ => None,
    };
    Ok(entry.map(|entry| (entry, (ENTRY + length) as u64)))
}

fn decode_record(rest: Vec<u8>) -> Option<Record> {
    let key = rest.get(24..RECORD)?.try_into().ok().map(u128::from_le_bytes)?;
    Some(Record {
        offset: Offset(u64_at(&rest, 8)?),
        home: StreamId::System,
        key: Key(key),
        kind: Kind::from_number(*rest.get(1)?)?,
        appended_at: Timestamp(u64_at(&rest, 16)?),
        body: Bytes::from(rest).slice(RECORD..),
    })
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
        Ok(self.find_head(key)?.or_else(|| self.kept.head(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn record(offset: u64, key: u128) -> Record {
        Record {
            offset: Offset(offset),
            home: StreamId::System,
            key: Key(key),
            kind: Kind::System,
            appended_at: Timestamp(offset * 10),
            body: Bytes::from(format!("record {offset}")),
        }
    }

    #[test]
    fn what_was_kept_is_there_after_a_power_cut_and_what_has_no_mark_is_cut() {
        let sim = SimDisk::new(1);
        sim.disk().create_dir(DIR).unwrap();
        let kept = Kept::load(&*sim.disk(), 1).unwrap();
        kept.add(&*sim.disk(), &[record(3, 7), record(9, 7), record(12, 8)], 20).unwrap();
        kept.add(&*sim.disk(), &[record(25, 8)], 30).unwrap();
        sim.power_cut();
        let torn = [1, 2, 3].repeat(40);
        let file = sim.disk().open(PATH).unwrap();
        file.write_at(&torn, file.len().unwrap()).unwrap();
        for _ in 0..2 {
            let kept = Kept::load(&*sim.disk(), 31).unwrap();
            assert_eq!(kept.record(9).unwrap(), Some(record(9, 7)));
            assert_eq!(kept.record(10).unwrap(), None);
            assert_eq!(kept.head(head_key(StreamId::System, Key(7))), Some(9));
            assert_eq!(kept.head(head_key(StreamId::System, Key(8))), Some(25));
            let batch = kept.read(3, 31, 2).unwrap();
            assert_eq!(batch.records, [record(9, 7), record(12, 8)]);
            assert_eq!(batch.through, Offset(12));
            let batch = kept.read(12, 31, 2).unwrap();
            assert_eq!((batch.records, batch.through), (vec![record(25, 8)], Offset(30)));
        }
    }

    #[test]
    fn a_flipped_bit_in_what_the_log_relies_on_is_named_and_nothing_is_changed() {
        let sim = SimDisk::new(1);
        sim.disk().create_dir(DIR).unwrap();
        let kept = Kept::load(&*sim.disk(), 1).unwrap();
        kept.add(&*sim.disk(), &[record(3, 7)], 20).unwrap();
        kept.add(&*sim.disk(), &[record(25, 7)], 30).unwrap();
        let whole = sim.bytes(PATH).unwrap();
        for byte in 0..whole.len() {
            sim.flip_bit(PATH, byte, 2);
            let damaged = sim.bytes(PATH).unwrap();
            let error = Kept::load(&*sim.disk(), 31).unwrap_err();
            assert!(error.to_string().contains(PATH), "{error}");
            assert_eq!(sim.bytes(PATH).unwrap(), damaged, "byte {byte}");
            sim.flip_bit(PATH, byte, 2);
        }
        assert_eq!(Kept::load(&*sim.disk(), 31).unwrap().record(3).unwrap(), Some(record(3, 7)));
    }
}
