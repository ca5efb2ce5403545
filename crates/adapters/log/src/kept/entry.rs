//! Entries of the file of kept records.
//!
//! ```text
//! file   = magic (8) | entries
//! entry  = length of the rest u32 | crc u32 (of the rest) | rest
//! record = 1 u8 | kind u8 | zero (6) | offset u64 | time u64 | key u128 | body
//! mark   = 2 u8 | zero (7) | through u64
//! pad    = 3 u8 | zeros
//! ```
//!
//! A pad stands before each mark, so that the mark ends with a sector: a sector that was synced is
//! never written again, since a power cut may spoil what it held.

use std::io;

use bytes::Bytes;
use klatch_domain::Timestamp;
use klatch_ports::log::{Key, Kind, RECORD_BYTES_MAX, Record};
use klatch_ports::{Offset, PortResult, StreamId};

use super::{PATH, SPREAD};
use crate::batch::{SECTOR, u32_at, u64_at};
use crate::disk::DiskFile;
use crate::error::{corrupt, io as port_io};

const ENTRY: usize = 8;
const RECORD: usize = 40;
const MARK: usize = 16;

/// What an entry says.
pub(super) enum Entry {
    Record(Box<Record>),
    Mark(u64),
    Pad,
}

/// Entries of the file, one after the other.
pub(super) struct Walk<'a> {
    file: &'a dyn DiskFile,
    /// Where the next one begins.
    pub(super) at: u64,
    end: u64,
    /// What was read ahead, and where it begins.
    bytes: Vec<u8>,
    bytes_at: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn over(file: &'a dyn DiskFile, (at, end): (u64, u64)) -> Self {
        Self { file, at, end, bytes: Vec::new(), bytes_at: at }
    }

    /// The next entry and where it begins; `None` where there is no whole one before the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(Entry, u64)>> {
        let Some(head) = self.peek(ENTRY)? else { return Ok(None) };
        let (length, crc) = (u32_at(head, 0), u32_at(head, 4));
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if !(MARK..=RECORD + RECORD_BYTES_MAX).contains(&length) {
            return Ok(None);
        }
        let whole = self.peek(ENTRY + length)?;
        let Some(rest) = whole.and_then(|whole| whole.get(ENTRY..)) else { return Ok(None) };
        if crc != Some(crc32c::crc32c(rest)) {
            return Ok(None);
        }
        let entry = match rest.first() {
            Some(1) => decode_record(rest).map(|record| Entry::Record(Box::new(record))),
            Some(2) => u64_at(rest, 8).map(Entry::Mark),
            Some(3) => Some(Entry::Pad),
            _ => None,
        };
        let at = self.at;
        Ok(entry.map(|entry| {
            self.at += (ENTRY + length) as u64;
            (entry, at)
        }))
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// `Corrupt` when there is no whole entry before the end, or what the disk says.
    pub(super) fn next_record(&mut self, operation: &'static str) -> PortResult<Option<Record>> {
        while self.at < self.end {
            match self.next().map_err(port_io(operation))? {
                Some((Entry::Record(record), _)) => return Ok(Some(*record)),
                Some((Entry::Mark(_) | Entry::Pad, _)) => {}
                None => {
                    let why = format!("{PATH}, byte {}: what is kept here is damaged", self.at);
                    return Err(corrupt(operation, why));
                }
            }
        }
        Ok(None)
    }

    /// The next `length` bytes, without going on; `None` when there are fewer.
    fn peek(&mut self, length: usize) -> io::Result<Option<&[u8]>> {
        let from = usize::try_from(self.at - self.bytes_at).unwrap_or(usize::MAX);
        if self.bytes.len().saturating_sub(from) >= length {
            return Ok(self.bytes.get(from..from + length));
        }
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let ahead = usize::try_from(SPREAD).unwrap_or(length);
        self.bytes.resize(length.max(ahead).min(left), 0);
        let read = self.file.read_at(&mut self.bytes, self.at)?;
        self.bytes.truncate(read);
        self.bytes_at = self.at;
        Ok(self.bytes.get(..length))
    }
}

fn write_entry(rest: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(rest).to_le_bytes());
    out.extend_from_slice(rest);
}

pub(super) fn write_record(record: &Record, out: &mut Vec<u8>) {
    let mut rest = Vec::with_capacity(RECORD + record.body.len());
    rest.extend_from_slice(&[1, record.kind as u8, 0, 0, 0, 0, 0, 0]);
    rest.extend_from_slice(&record.offset.0.to_le_bytes());
    rest.extend_from_slice(&record.appended_at.0.to_le_bytes());
    rest.extend_from_slice(&record.key.0.to_le_bytes());
    rest.extend_from_slice(&record.body);
    write_entry(&rest, out);
}

/// A mark that ends with a sector of the file, in which `out` begins at `begin`.
pub(super) fn write_mark(through: u64, begin: u64, out: &mut Vec<u8>) {
    let end = usize::try_from(begin).unwrap_or(0) + out.len() + ENTRY + MARK;
    let gap = end.next_multiple_of(SECTOR) - end;
    // No entry is shorter than a mark.
    let pad = if (1..ENTRY + MARK).contains(&gap) { gap + SECTOR } else { gap };
    if pad > 0 {
        let mut rest = vec![3];
        rest.resize(pad - ENTRY, 0);
        write_entry(&rest, out);
    }
    let mut rest = vec![2, 0, 0, 0, 0, 0, 0, 0];
    rest.extend_from_slice(&through.to_le_bytes());
    write_entry(&rest, out);
}

fn decode_record(rest: &[u8]) -> Option<Record> {
    let key = rest.get(24..RECORD)?.try_into().ok().map(u128::from_le_bytes)?;
    Some(Record {
        offset: Offset(u64_at(rest, 8)?),
        home: StreamId::System,
        key: Key(key),
        kind: Kind::from_number(*rest.get(1)?)?,
        appended_at: Timestamp(u64_at(rest, 16)?),
        body: Bytes::copy_from_slice(rest.get(RECORD..)?),
    })
}
