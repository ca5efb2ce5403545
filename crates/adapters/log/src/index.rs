//! The sidecar file of a sealed segment: where its batches lie, and the newest record of each key.
//!
//! ```text
//! index  = header (72 bytes) | marks (24 bytes each) | crc u32 (of the marks) | zero u32 | table
//! header = magic (8) | base u64 | last u64 | last time u64 | data end u64 | stamp u32 | marks u32
//!        | segments u32 | zero (16) | crc u32
//! ```
//!
//! The files of merged tables have the same form without marks: `base` to `last` is what they
//! cover, `segments` how many segments that is. All of it can be made again from the segments.

use std::io;
use std::sync::Arc;

use klatch_domain::Timestamp;

use super::batch::{u32_at, u64_at};
use super::segment::{DIR, Mark, Marks};
use super::table::{HeadKey, Table, TableWriter, merge};
use crate::disk::{Disk, DiskFile, NEW_ENDING};

const MAGIC: &[u8; 8] = b"KLINDEX1";
const HEADER: usize = 72;
const MARK: usize = 24;

pub(super) const MERGED_ENDING: &str = ".heads";

pub(super) fn merged_path(base: u64) -> String {
    format!("{DIR}/{base:020}{MERGED_ENDING}")
}

/// What an index says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexHeader {
    pub(super) base: u64,
    pub(super) last: u64,
    pub(super) last_time: Timestamp,
    data_end: u64,
    pub(super) stamp: u32,
    marks: u32,
    /// How many segments its table covers.
    pub(super) segments: u32,
}

impl IndexHeader {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        for number in [self.base, self.last, self.last_time.0, self.data_end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.stamp, self.marks, self.segments] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.resize(HEADER - 4, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of an index file.
    ///
    /// # Errors
    /// `InvalidData` when it is damaged, or what the disk says.
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Self> {
        let mut bytes = [0; HEADER];
        file.read_at(&mut bytes, 0)?;
        let long = |at| u64_at(&bytes, at).unwrap_or_default();
        let short = |at| u32_at(&bytes, at).unwrap_or_default();
        let crc = crc32c::crc32c(bytes.get(..HEADER - 4).unwrap_or(&[]));
        if !bytes.starts_with(MAGIC) || short(HEADER - 4) != crc {
            return Err(damaged("the index's header is damaged"));
        }
        Ok(Self {
            base: long(8),
            last: long(16),
            last_time: Timestamp(long(24)),
            data_end: long(32),
            stamp: short(40),
            marks: short(44),
            segments: short(48),
        })
    }

    fn marks_len(&self) -> usize {
        usize::try_from(self.marks).unwrap_or(0).saturating_mul(MARK)
    }

    fn table_start(&self) -> u64 {
        (HEADER + self.marks_len() + 8) as u64
    }

    /// Where batches lie.
    pub(super) fn marks(&self, file: &dyn DiskFile) -> io::Result<Marks> {
        let len = self.marks_len();
        let mut bytes = vec![0; len + 4];
        let read = file.read_at(&mut bytes, HEADER as u64)?;
        let (list, crc) = bytes.split_at(len);
        if read < bytes.len() || u32_at(crc, 0) != Some(crc32c::crc32c(list)) {
            return Err(damaged("the index's marks are damaged"));
        }
        let mark = |bytes: &[u8]| {
            Some(Mark {
                offset: u64_at(bytes, 0)?,
                position: u64_at(bytes, 8)?,
                time: Timestamp(u64_at(bytes, 16)?),
            })
        };
        let list = list.chunks_exact(MARK).filter_map(mark).collect();
        Ok(Marks { list, data_end: self.data_end, last_time: self.last_time })
    }

    /// The newest record of each key.
    pub(super) fn table(&self, file: Arc<dyn DiskFile>) -> io::Result<Table> {
        Table::open(file, self.table_start())
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What is known of a segment when its index is written.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    pub(super) base: u64,
    pub(super) last: u64,
    pub(super) stamp: u32,
    pub(super) marks: &'a Marks,
}

/// Writes the index of a segment durably and opens its table.
pub(super) fn write(
    disk: &dyn Disk,
    path: &str,
    contents: &Contents<'_>,
    heads: impl Iterator<Item = (HeadKey, u64)>,
) -> io::Result<Table> {
    let header = header_of(contents)?;
    write_file(disk, path, header, |file| fill(file, header, &contents.marks.list, heads.collect()))
}

/// What the index of a segment says of itself.
pub(super) fn header_of(contents: &Contents<'_>) -> io::Result<IndexHeader> {
    Ok(IndexHeader {
        base: contents.base,
        last: contents.last,
        last_time: contents.marks.last_time,
        data_end: contents.marks.data_end,
        stamp: contents.stamp,
        marks: u32::try_from(contents.marks.list.len()).map_err(io::Error::other)?,
        segments: 1,
    })
}

/// Writes all of an index into an empty file.
pub(super) fn fill(
    file: &dyn DiskFile,
    header: IndexHeader,
    marks: &[Mark],
    mut heads: Vec<(HeadKey, u64)>,
) -> io::Result<()> {
    heads.sort_unstable();
    write_marks(file, marks)?;
    let mut writer = TableWriter::new(file, header.table_start(), heads.len() as u64);
    for (key, offset) in heads {
        writer.push(key, offset)?;
    }
    writer.finish()?;
    file.write_at(&header.encode(), 0)
}

/// What a merged table is made of.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    pub(super) base: u64,
    pub(super) last: u64,
    pub(super) segments: u32,
    /// Newest first.
    pub(super) tables: &'a [Arc<Table>],
    /// Records up to here are gone.
    pub(super) forgotten: u64,
}

/// Writes a merged table durably and opens it.
pub(super) fn write_merged(disk: &dyn Disk, sources: &Merge<'_>) -> io::Result<Table> {
    let header = IndexHeader {
        base: sources.base,
        last: sources.last,
        last_time: Timestamp::default(),
        data_end: 0,
        stamp: 0,
        marks: 0,
        segments: sources.segments,
    };
    let expected = sources.tables.iter().map(|table| table.entries()).sum();
    write_file(disk, &merged_path(sources.base), header, |file| {
        write_marks(file, &[])?;
        let writer = TableWriter::new(file, header.table_start(), expected);
        merge(sources.tables, sources.forgotten, writer)?;
        file.write_at(&header.encode(), 0)
    })
}

fn write_file(
    disk: &dyn Disk,
    path: &str,
    header: IndexHeader,
    contents: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
) -> io::Result<Table> {
    let new = format!("{path}{NEW_ENDING}");
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&new)?;
    contents(&*file)?;
    file.sync_data()?;
    disk.rename(&new, path)?;
    disk.sync_dir(DIR)?;
    header.table(file)
}

fn write_marks(file: &dyn DiskFile, marks: &[Mark]) -> io::Result<()> {
    let mut list = Vec::with_capacity(marks.len() * MARK + 8);
    for mark in marks {
        for number in [mark.offset, mark.position, mark.time.0] {
            list.extend_from_slice(&number.to_le_bytes());
        }
    }
    let crc = crc32c::crc32c(&list);
    list.extend_from_slice(&crc.to_le_bytes());
    list.extend_from_slice(&[0; 4]);
    file.write_at(&list, HEADER as u64)
}
