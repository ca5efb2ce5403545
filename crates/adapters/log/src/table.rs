//! A sorted table from key to the offset of its newest record, as a part of a file.
//!
//! ```text
//! table = header (40 bytes) | blocks (4096 bytes each) | first key of each block (17 bytes each)
//!       | filter | crc u32 (of the keys and the filter)
//! header = magic (8) | blocks u32 | filter bytes u32 | entries u64 | zero (8) | crc u32 | zero u32
//! block = crc u32 (of what follows) | entries u16 | zero u16 | entries (25 bytes each) | zeros
//! ```
//!
//! The first keys and the filter stay in memory: about one and a half bytes an entry. A lookup of
//! an absent key costs no read in 99 of 100 cases, that of a present one costs one read of 4 KiB.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::sync::Arc;

use super::batch::{u32_at, u64_at};
use crate::disk::DiskFile;

/// The number of a stream and the bits of a key.
pub(super) type HeadKey = (u8, u128);

/// A map by such keys.
pub(super) type HeadMap = HashMap<HeadKey, u64, BuildHasherDefault<KeyHasher>>;

/// Keys are ids that the server made, random in their low half: mixing that is all it takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u8(*byte);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u128(&mut self, number: u128) {
        let bytes = number.to_le_bytes();
        let low = u64_at(&bytes, 0).unwrap_or_default();
        let high = u64_at(&bytes, 8).unwrap_or_default();
        self.0 = mix(mix(self.0 ^ high) ^ low);
    }
}

const MAGIC: &[u8; 8] = b"KLHEADS1";
const HEADER: usize = 40;
const BLOCK: usize = 4096;
const BLOCK_HEADER: usize = 8;
const ENTRY: usize = 25;
const FENCE: usize = 17;
const PER_BLOCK: usize = (BLOCK - BLOCK_HEADER) / ENTRY;
/// Ten bits an entry and seven probes let one absent key in a hundred through.
const FILTER_BITS: u64 = 10;
const PROBES: u64 = 7;
/// A writer hands its blocks to the disk in pieces of this many bytes.
const PIECE: usize = 64 * BLOCK;

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Spreads what differs anywhere over all bits (the end of splitmix64).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Two numbers from a key, for the probes. Keys are ids, random in their low half.
fn hashes((stream, key): HeadKey) -> (u64, u64) {
    let bytes = key.to_le_bytes();
    let low = u64_at(&bytes, 0).unwrap_or_default();
    let high = u64_at(&bytes, 8).unwrap_or_default();
    let one = mix(low ^ u64::from(stream).rotate_left(56));
    (one, mix(high ^ one) | 1)
}

#[derive(Debug, Default)]
struct Filter(Vec<u8>);

impl Filter {
    fn for_entries(entries: u64) -> Self {
        let bytes = (entries * FILTER_BITS).div_ceil(8).max(8);
        Self(vec![0; usize::try_from(bytes).unwrap_or(8)])
    }

    fn probes(&self, key: HeadKey) -> impl Iterator<Item = (usize, u8)> + use<> {
        let bits = self.0.len() as u64 * 8;
        let (start, step) = hashes(key);
        (0..PROBES).map(move |n| {
            let bit = start.wrapping_add(step.wrapping_mul(n)) % bits.max(1);
            (usize::try_from(bit / 8).unwrap_or(0), 1 << (bit % 8))
        })
    }

    fn insert(&mut self, key: HeadKey) {
        for (byte, bit) in self.probes(key) {
            if let Some(byte) = self.0.get_mut(byte) {
                *byte |= bit;
            }
        }
    }

    fn may_hold(&self, key: HeadKey) -> bool {
        self.probes(key).all(|(byte, bit)| self.0.get(byte).is_some_and(|byte| byte & bit != 0))
    }
}

/// Writes a table into a file, entry by entry.
#[derive(Debug)]
pub(super) struct TableWriter<'a> {
    file: &'a dyn DiskFile,
    start: u64,
    /// Blocks that are not written yet.
    piece: Vec<u8>,
    written: u64,
    block: Vec<u8>,
    fences: Vec<u8>,
    filter: Filter,
    blocks: u32,
    entries: u64,
}

impl<'a> TableWriter<'a> {
    /// A table at `start` of `file` for at most about `expected` entries.
    pub(super) fn new(file: &'a dyn DiskFile, start: u64, expected: u64) -> Self {
        Self {
            file,
            start,
            piece: Vec::with_capacity(PIECE),
            written: 0,
            block: Vec::with_capacity(BLOCK),
            fences: Vec::new(),
            filter: Filter::for_entries(expected),
            blocks: 0,
            entries: 0,
        }
    }

    /// Adds an entry; keys must come in ascending order, each once.
    pub(super) fn push(&mut self, (stream, key): HeadKey, offset: u64) -> io::Result<()> {
        if self.block.is_empty() {
            self.fences.push(stream);
            self.fences.extend_from_slice(&key.to_be_bytes());
        }
        self.block.push(stream);
        self.block.extend_from_slice(&key.to_be_bytes());
        self.block.extend_from_slice(&offset.to_le_bytes());
        self.filter.insert((stream, key));
        self.entries += 1;
        if self.block.len() == PER_BLOCK * ENTRY { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> io::Result<()> {
        let count = u16::try_from(self.block.len() / ENTRY).unwrap_or(0);
        let mut rest = Vec::with_capacity(BLOCK);
        rest.extend_from_slice(&count.to_le_bytes());
        rest.extend_from_slice(&[0; 2]);
        rest.append(&mut self.block);
        rest.resize(BLOCK - 4, 0);
        self.piece.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
        self.piece.extend_from_slice(&rest);
        self.blocks += 1;
        if self.piece.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.piece, self.start + HEADER as u64 + self.written)?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    /// Writes what is left. Not synced.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let filter_bytes = u32::try_from(self.filter.0.len()).map_err(io::Error::other)?;
        let mut rest = std::mem::take(&mut self.fences);
        rest.extend_from_slice(&self.filter.0);
        let crc = crc32c::crc32c(&rest);
        rest.extend_from_slice(&crc.to_le_bytes());
        self.piece.extend_from_slice(&rest);
        self.flush()?;

        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&self.blocks.to_le_bytes());
        header.extend_from_slice(&filter_bytes.to_le_bytes());
        header.extend_from_slice(&self.entries.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        let crc = crc32c::crc32c(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        header.resize(HEADER, 0);
        self.file.write_at(&header, self.start)
    }
}

/// A table that is looked things up in.
#[derive(Debug)]
pub(super) struct Table {
    file: Arc<dyn DiskFile>,
    start: u64,
    entries: u64,
    fences: Vec<HeadKey>,
    filter: Filter,
}

impl Table {
    /// Reads what stays in memory of the table at `start`.
    ///
    /// # Errors
    /// `InvalidData` when it is damaged, or what the disk says.
    pub(super) fn open(file: Arc<dyn DiskFile>, start: u64) -> io::Result<Self> {
        let mut header = [0; HEADER];
        file.read_at(&mut header, start)?;
        let number = |at| u32_at(&header, at).unwrap_or_default();
        let crc = crc32c::crc32c(header.get(..32).unwrap_or(&[]));
        if !header.starts_with(MAGIC) || number(32) != crc {
            return Err(damaged("the head table's header is damaged"));
        }
        let size = |at| usize::try_from(number(at)).unwrap_or(usize::MAX);
        let (blocks, filter_bytes) = (size(8), size(12));
        let entries = u64_at(&header, 16).unwrap_or_default();
        let keys = blocks.saturating_mul(FENCE);
        let mut rest = vec![0; keys.saturating_add(filter_bytes).saturating_add(4)];
        let read = file.read_at(&mut rest, start + (HEADER + blocks * BLOCK) as u64)?;
        let (body, crc) = rest.split_at(rest.len() - 4);
        if read < rest.len() || u32_at(crc, 0) != Some(crc32c::crc32c(body)) {
            return Err(damaged("the head table's directory is damaged"));
        }
        let (keys, filter) = body.split_at(keys);
        let fences = keys.chunks_exact(FENCE).filter_map(key_at).collect();
        Ok(Self { file, start, entries, fences, filter: Filter(filter.to_vec()) })
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// The offset of a key's newest record among those the table covers.
    pub(super) fn find(&self, key: HeadKey) -> io::Result<Option<u64>> {
        if !self.filter.may_hold(key) {
            return Ok(None);
        }
        let Some(block) = self.fences.partition_point(|first| *first <= key).checked_sub(1) else {
            return Ok(None);
        };
        let entries = self.block(block)?;
        let found = entries.binary_search_by_key(&key, |(key, _)| *key).ok();
        Ok(found.and_then(|index| entries.get(index)).map(|(_, offset)| *offset))
    }

    fn block(&self, index: usize) -> io::Result<Vec<(HeadKey, u64)>> {
        let mut bytes = vec![0; BLOCK];
        let at = self.start + (HEADER + index * BLOCK) as u64;
        let read = self.file.read_at(&mut bytes, at)?;
        let rest = bytes.get(4..).unwrap_or(&[]);
        if read < BLOCK || u32_at(&bytes, 0) != Some(crc32c::crc32c(rest)) {
            return Err(damaged("a block of the head table is damaged"));
        }
        let count = rest.get(..2).and_then(|count| count.try_into().ok()).map(u16::from_le_bytes);
        let entries = rest.get(4..).unwrap_or(&[]).chunks_exact(ENTRY);
        let entry = |entry: &[u8]| Some((key_at(entry)?, u64_at(entry, FENCE)?));
        Ok(entries.take(usize::from(count.unwrap_or(0))).filter_map(entry).collect())
    }

    /// All entries in order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = io::Result<(HeadKey, u64)>> + '_ {
        (0..self.fences.len()).flat_map(|index| match self.block(index) {
            Ok(entries) => entries.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }
}

fn key_at(bytes: &[u8]) -> Option<HeadKey> {
    let (stream, rest) = bytes.split_first()?;
    let key = rest.get(..16)?.try_into().ok().map(u128::from_be_bytes)?;
    Some((*stream, key))
}

/// Writes all entries of `tables`, newest first, into one; of a key in several the newest counts.
/// Entries up to `forgotten` are left out.
pub(super) fn merge(
    tables: &[Arc<Table>],
    forgotten: u64,
    mut writer: TableWriter<'_>,
) -> io::Result<()> {
    let mut sources: Vec<_> = tables.iter().map(|table| table.iter().peekable()).collect();
    loop {
        let mut least: Option<(HeadKey, u64)> = None;
        for source in &mut sources {
            match source.peek() {
                // Strictly less: among equal keys the first source, the newest, was met first.
                Some(Ok((key, offset))) if least.is_none_or(|(known, _)| *key < known) => {
                    least = Some((*key, *offset));
                }
                Some(Err(_)) => {
                    source.next().transpose()?;
                }
                _ => {}
            }
        }
        let Some((key, offset)) = least else { return writer.finish() };
        for source in &mut sources {
            source.next_if(|entry| matches!(entry, Ok((found, _)) if *found == key));
        }
        if offset > forgotten {
            writer.push(key, offset)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::disk::Disk;
    use crate::disk::sim::SimDisk;

    fn write(disk: &dyn Disk, path: &str, entries: &BTreeMap<HeadKey, u64>) -> Arc<Table> {
        let file = disk.create(path).unwrap();
        let mut writer = TableWriter::new(&*file, 100, entries.len() as u64);
        for (key, offset) in entries {
            writer.push(*key, *offset).unwrap();
        }
        writer.finish().unwrap();
        Arc::new(Table::open(file, 100).unwrap())
    }

    fn entries(count: u128, step: u128, offset: u64) -> BTreeMap<HeadKey, u64> {
        let key = |n: u128| (u8::try_from(n % 3).unwrap(), (n * step) << 40 | n);
        (0..count).map(|n| (key(n), offset + u64::try_from(n).unwrap())).collect()
    }

    #[test]
    fn every_entry_is_found_and_no_other_key() {
        let sim = SimDisk::new(1);
        for count in [0, 1, 162, 163, 164, 5_000] {
            let path = format!("t{count}");
            let expected = entries(count, 7, 1);
            let table = write(&*sim.disk(), &path, &expected);
            assert_eq!(table.entries(), count.try_into().unwrap());
            for ((stream, key), offset) in &expected {
                assert_eq!(table.find((*stream, *key)).unwrap(), Some(*offset));
                assert_eq!(table.find((stream + 3, *key)).unwrap(), None);
                assert_eq!(table.find((*stream, *key + 1)).unwrap(), None);
            }
            let all: BTreeMap<_, _> = table.iter().map(Result::unwrap).collect();
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn a_merge_keeps_the_newest_entry_of_each_key_and_drops_forgotten_ones() {
        let sim = SimDisk::new(1);
        let disk = sim.disk();
        let layers = [entries(1_000, 1, 5_000), entries(3_000, 1, 100), entries(500, 2, 50)];
        let tables: Vec<_> = layers
            .iter()
            .enumerate()
            .map(|(n, layer)| write(&*disk, &format!("t{n}"), layer))
            .collect();
        let file = disk.create("merged").unwrap();
        merge(&tables, 200, TableWriter::new(&*file, 0, 4_500)).unwrap();
        let merged = Table::open(file, 0).unwrap();
        let mut expected = BTreeMap::new();
        for layer in layers.iter().rev() {
            expected.extend(layer);
        }
        expected.retain(|_, offset| *offset > 200);
        let found: BTreeMap<_, _> = merged.iter().map(Result::unwrap).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn damage_is_reported_and_never_answered_with_a_wrong_offset() {
        let sim = SimDisk::new(1);
        let expected = entries(1_000, 1, 1);
        write(&*sim.disk(), "t", &expected);
        let len = sim.bytes("t").unwrap().len();
        let mut reported = 0;
        for byte in (100..len).step_by(499) {
            sim.flip_bit("t", byte, 5);
            let outcome = Table::open(sim.disk().open("t").unwrap(), 100).and_then(|table| {
                expected.keys().map(|key| Ok((*key, table.find(*key)?.unwrap()))).collect()
            });
            match outcome {
                Ok(found) => assert_eq!(expected, found),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                    reported += 1;
                }
            }
            sim.flip_bit("t", byte, 5);
        }
        assert!(reported > 20);
    }
}
