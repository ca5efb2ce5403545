//! Walks over the batches of one segment and finds where they stop making sense.

use std::io;

use super::batch::{HEADER, Header, Records, SECTOR, stream_number};
use super::segment::{DATA, Marks};
use super::table::HeadMap;
use crate::disk::DiskFile;

/// Files are read in pieces of this many bytes, unless one batch is larger.
const PIECE: usize = 1024 * 1024;

/// What the batches of a segment, up to where they stop, hold.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) marks: Marks,
    pub(super) heads: HeadMap,
    /// The offset that the next record would have.
    pub(super) next: u64,
    /// Where the batches begin of which the file itself does not prove that they were synced.
    pub(super) unproven: u64,
    /// Whether a mark of the end stands behind the last batch.
    pub(super) marked: bool,
    /// Why the walk ended at `marks.data_end`.
    pub(super) stop: Stop,
}

impl Scan {
    /// Where and why the walk ended, for people.
    pub(super) fn complaint(&self) -> (u64, &'static str) {
        match self.stop {
            Stop::NoBatch => (self.marks.data_end, "there is no batch here"),
            Stop::CutShort => (self.marks.data_end, "the file was cut short here"),
            Stop::Damage { at, what } => (at, what),
        }
    }
}

/// Why a walk over batches ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The limit, the end of the file, a mark of the end, or bytes that are no batch.
    NoBatch,
    /// A batch whose inside does not hold, and the byte where that shows.
    Damage { at: u64, what: &'static str },
    /// The file ends before the zeros that are written and synced ahead of every batch do.
    CutShort,
}

/// A view of a file that moves forward.
struct Window<'a> {
    file: &'a dyn DiskFile,
    bytes: Vec<u8>,
    start: u64,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn DiskFile) -> Self {
        Self { file, bytes: Vec::new(), start: 0 }
    }

    /// Up to `len` bytes from `at` on; fewer at the end of the file.
    fn get(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let inside = at >= self.start && at + len as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            self.bytes.resize(len.max(PIECE), 0);
            let read = self.file.read_at(&mut self.bytes, at)?;
            self.bytes.truncate(read);
            self.start = at;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let end = from.saturating_add(len).min(self.bytes.len());
        Ok(self.bytes.get(from..end).unwrap_or(&[]))
    }
}

/// Walks from the beginning of a segment up to the record `limit`, as far as it holds.
///
/// # Errors
/// What the disk says; damage is not an error but where the walk stops.
pub(super) fn scan(file: &dyn DiskFile, base: u64, stamp: u32, limit: u64) -> io::Result<Scan> {
    let len = file.len()?;
    let mut window = Window::new(file);
    let mut scan = Scan {
        marks: Marks::new(),
        heads: HeadMap::default(),
        next: base,
        unproven: DATA,
        marked: false,
        stop: Stop::NoBatch,
    };
    while scan.next <= limit {
        let at = scan.marks.data_end;
        if len < at + SECTOR as u64 {
            scan.stop = Stop::CutShort;
            break;
        }
        let Some(header) = Header::read(window.get(at, HEADER)?) else { break };
        if header.stamp != stamp || header.base != scan.next {
            break;
        }
        // Behind a batch there is always room for a mark of the end, behind a mark nothing.
        let room = if header.count == 0 { 0 } else { SECTOR };
        if len < at + (header.span() + room) as u64 {
            scan.stop = Stop::CutShort;
            break;
        }
        if header.durable + 1 >= scan.next {
            scan.unproven = at;
        }
        if header.count == 0 {
            scan.marked = true;
            break;
        }
        let bytes = window.get(at, header.used())?;
        if !scan.take(&header, bytes) {
            break;
        }
    }
    Ok(scan)
}

impl Scan {
    /// Whether all of the batch holds; only then anything of it is taken.
    fn take(&mut self, header: &Header, bytes: &[u8]) -> bool {
        let body = bytes.get(HEADER..).unwrap_or(&[]);
        for record in Records::new(header, body) {
            if let Err(damage) = record {
                let at = self.marks.data_end + (HEADER + damage.at) as u64;
                self.stop = Stop::Damage { at, what: damage.what };
                return false;
            }
        }
        // The checksums held a moment ago, so nothing is left out here.
        for stored in Records::new(header, body).flatten() {
            self.heads.insert((stream_number(stored.stream), stored.key.0), self.next);
            self.next += 1;
        }
        self.marks.push(header.base, header.span(), header.time);
        true
    }
}

/// Whether a batch after `from` was written when the record `offset` was synced already: then what
/// is at `from` is no torn write but damage. Names the place of that batch.
///
/// # Errors
/// What the disk says.
pub(super) fn proof_of(
    file: &dyn DiskFile,
    from: u64,
    stamp: u32,
    offset: u64,
) -> io::Result<Option<u64>> {
    let mut at = from;
    let mut window = Window::new(file);
    loop {
        let bytes = window.get(at, HEADER)?;
        if bytes.len() < HEADER {
            return Ok(None);
        }
        let proves = |header: &Header| header.stamp == stamp && header.durable >= offset;
        if Header::read(bytes).is_some_and(|header| proves(&header)) {
            return Ok(Some(at));
        }
        at += SECTOR as u64;
    }
}

/// Where the first byte after `from` lies that is not zero, and where the last one ends.
///
/// # Errors
/// What the disk says.
pub(super) fn written_after(file: &dyn DiskFile, from: u64) -> io::Result<Option<(u64, u64)>> {
    let mut bytes = vec![0; PIECE];
    let (mut at, mut found) = (from, None);
    loop {
        let read = file.read_at(&mut bytes, at)?;
        let piece = bytes.get(..read).unwrap_or(&[]);
        if let Some(first) = piece.iter().position(|byte| *byte != 0) {
            let last = piece.iter().rposition(|byte| *byte != 0).unwrap_or(first);
            let start = found.map_or(at + first as u64, |(start, _)| start);
            found = Some((start, at + last as u64 + 1));
        }
        if read < bytes.len() {
            return Ok(found);
        }
        at += read as u64;
    }
}
