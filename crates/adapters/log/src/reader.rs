//! Reads old records from the disk, a piece of a segment at a time, and checks every byte of them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use klatch_domain::Timestamp;
use klatch_ports::log::{Batch, Record};
use klatch_ports::{Offset, PortResult, StreamId};
use parking_lot::Mutex;

use super::batch::{HEADER, Header, decode};
use super::error::{corrupt, forgotten, io};
use super::index::IndexHeader;
use super::scan::scan;
use super::segment::{Found, Mark, Marks, Sealed, Segments, index_path, segment_path};
use crate::disk::{Disk, DiskFile};

/// A read looks at no more than about this many bytes of the log, so that a stream that shows
/// little of it gets an answer in time.
const LOOK_BYTES: u64 = 1024 * 1024;
/// Most segments whose marks stay in memory after they were read.
const MARKS_KEPT: usize = 64;

#[derive(Debug)]
pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    cache: Mutex<Cache>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Cache {
    /// Pieces that cannot grow any more, most recently used last.
    pieces: VecDeque<Cached>,
    bytes: usize,
    /// Segments whose marks were read, oldest reading first.
    with_marks: VecDeque<Arc<Sealed>>,
}

#[derive(Debug)]
struct Cached {
    base: u64,
    index: usize,
    bytes: usize,
    records: Arc<Vec<Record>>,
}

/// A stretch of one segment between two marks.
#[derive(Clone, Copy)]
struct Piece {
    base: u64,
    stamp: u32,
    index: usize,
    mark: Mark,
    end: u64,
    open: bool,
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>, bytes_max: usize) -> Self {
        Self { disk, cache: Mutex::new(Cache::default()), bytes_max }
    }

    /// Up to `limit` of the records after `after` and up to `end` that `stream` shows.
    ///
    /// # Errors
    /// `Forgotten` when the first of them is gone, `Corrupt` with the place, or what the disk says.
    pub(super) fn read(
        &self,
        segments: &Segments,
        stream: StreamId,
        (after, end): (u64, u64),
        limit: usize,
    ) -> PortResult<Batch> {
        let mut batch = Batch { records: Vec::new(), through: Offset(after) };
        let mut looked = 0;
        while batch.through.0 < end && batch.records.len() < limit && looked < LOOK_BYTES {
            let next = batch.through.0 + 1;
            let found = match self.piece_with(segments, next) {
                // Forgotten, maybe since: what was read before is whole up to there.
                _ if next < segments.first() && batch.through.0 > after => break,
                _ if next < segments.first() => return Err(forgotten(segments.first() - 1)),
                found => found?,
            };
            let (piece, records) = found;
            looked += piece.end - piece.mark.position;
            let skip = usize::try_from(next.saturating_sub(piece.mark.offset)).unwrap_or(0);
            let before = batch.through;
            for record in records.iter().skip(skip) {
                if batch.records.len() >= limit || record.offset.0 > end {
                    break;
                }
                batch.through = record.offset;
                if record.kind.is_shown_in(record.home, stream) {
                    batch.records.push(record.clone());
                }
            }
            if batch.through == before {
                break;
            }
        }
        Ok(batch)
    }

    /// The record at `offset`, which is durable and not forgotten.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub(super) fn record(&self, segments: &Segments, offset: u64) -> PortResult<Option<Record>> {
        if offset < segments.first() {
            return Ok(None);
        }
        let (piece, records) = match self.piece_with(segments, offset) {
            Err(_) if offset < segments.first() => return Ok(None),
            found => found?,
        };
        let index = usize::try_from(offset.saturating_sub(piece.mark.offset)).unwrap_or(usize::MAX);
        Ok(records.get(index).filter(|record| record.offset.0 == offset).cloned())
    }

    /// The offset before the first record appended at `time` or later; `end` when there is none.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub(super) fn at_time(
        &self,
        segments: &Segments,
        time: Timestamp,
        end: u64,
    ) -> PortResult<u64> {
        let found = segments.reaching(time);
        // The piece before the first later mark may begin earlier and end later than `time`.
        let pieces = self.with_marks(&found, |marks| {
            let later = marks.list.partition_point(|mark| mark.time < time);
            [later.checked_sub(1), Some(later)].map(|index| piece(&found, marks, index?))
        })?;
        for piece in pieces.into_iter().flatten() {
            let records = self.load(piece)?;
            let first = records.iter().find(|record| record.appended_at >= time);
            if let Some(first) = first.filter(|first| first.offset.0 <= end) {
                return Ok(first.offset.0 - 1);
            }
        }
        Ok(end)
    }

    fn piece_with(
        &self,
        segments: &Segments,
        offset: u64,
    ) -> PortResult<(Piece, Arc<Vec<Record>>)> {
        let found = segments.holding(offset);
        let holding = |marks: &Marks| piece(&found, marks, marks.piece_of(offset)?);
        let piece = self.with_marks(&found, holding)?.ok_or_else(|| {
            let place = self.disk.describe(&segment_path(base_of(&found)));
            corrupt("read", format!("{place}: no batch is known that holds offset {offset}"))
        })?;
        Ok((piece, self.load(piece)?))
    }

    fn with_marks<T>(&self, found: &Found, look: impl FnOnce(&Marks) -> T) -> PortResult<T> {
        let sealed = match found {
            Found::Active(active) => return Ok(look(&active.marks.lock())),
            Found::Sealed(sealed) => sealed,
        };
        let known = sealed.marks.lock().clone();
        if let Some(marks) = known {
            return Ok(look(&marks));
        }
        let marks = Arc::new(self.read_marks(sealed)?);
        *sealed.marks.lock() = Some(Arc::clone(&marks));
        let mut cache = self.cache.lock();
        cache.with_marks.push_back(Arc::clone(sealed));
        if cache.with_marks.len() > MARKS_KEPT
            && let Some(oldest) = cache.with_marks.pop_front()
        {
            *oldest.marks.lock() = None;
        }
        Ok(look(&marks))
    }

    /// From the sidecar file; when it is damaged, from the segment itself.
    fn read_marks(&self, sealed: &Sealed) -> PortResult<Marks> {
        let from_index = || {
            let file = self.disk.open(&index_path(sealed.base))?;
            IndexHeader::read(&*file)?.marks(&*file)
        };
        if let Ok(marks) = from_index() {
            return Ok(marks);
        }
        let file = self.disk.open(&segment_path(sealed.base)).map_err(io("read"))?;
        let scan = scan(&*file, sealed.base, sealed.stamp, sealed.last).map_err(io("read"))?;
        Ok(scan.marks)
    }

    fn load(&self, piece: Piece) -> PortResult<Arc<Vec<Record>>> {
        if let Some(records) = self.cache.lock().find(&piece) {
            return Ok(records);
        }
        let path = segment_path(piece.base);
        let file = self.disk.open(&path).map_err(io("read"))?;
        let records = Arc::new(self.decode(&*file, &path, piece)?);
        if !piece.open {
            let bytes = usize::try_from(piece.end - piece.mark.position).unwrap_or(usize::MAX);
            let bytes = bytes.saturating_add(records.len() * size_of::<Record>());
            self.cache.lock().keep(piece, Arc::clone(&records), bytes, self.bytes_max);
        }
        Ok(records)
    }

    fn decode(&self, file: &dyn DiskFile, path: &str, piece: Piece) -> PortResult<Vec<Record>> {
        let start = piece.mark.position;
        let damaged = |at: u64, what: &str| {
            corrupt("read", format!("{}, byte {at}: {what}", self.disk.describe(path)))
        };
        let len = usize::try_from(piece.end - start).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        let read = file.read_at(&mut bytes, start).map_err(io("read"))?;
        if read < len {
            return Err(damaged(start + read as u64, "the file ends before its data does"));
        }
        let bytes = Bytes::from(bytes);
        let mut records = Vec::new();
        let (mut at, mut next) = (0, piece.mark.offset);
        while at < len {
            let place = start + at as u64;
            let header = bytes.get(at..).and_then(Header::read);
            let header = header
                .filter(|header| header.stamp == piece.stamp && header.base == next)
                .filter(|header| header.count > 0 && header.span() <= len - at)
                .ok_or_else(|| damaged(place, "the batch's header does not hold"))?;
            let body = bytes.slice(at + HEADER..at + header.used());
            decode(&header, &body, &mut records)
                .map_err(|damage| damaged(place + (HEADER + damage.at) as u64, damage.what))?;
            at += header.span();
            next = header.last() + 1;
        }
        Ok(records)
    }
}

impl Cache {
    fn find(&mut self, piece: &Piece) -> Option<Arc<Vec<Record>>> {
        let is_it = |cached: &Cached| (cached.base, cached.index) == (piece.base, piece.index);
        let at = self.pieces.iter().position(is_it)?;
        let cached = self.pieces.remove(at)?;
        let records = Arc::clone(&cached.records);
        self.pieces.push_back(cached);
        Some(records)
    }

    fn keep(&mut self, piece: Piece, records: Arc<Vec<Record>>, bytes: usize, bytes_max: usize) {
        if bytes > bytes_max || self.find(&piece).is_some() {
            return;
        }
        self.bytes += bytes;
        self.pieces.push_back(Cached { base: piece.base, index: piece.index, bytes, records });
        while self.bytes > bytes_max {
            let Some(oldest) = self.pieces.pop_front() else { return };
            self.bytes -= oldest.bytes;
        }
    }
}

fn base_of(found: &Found) -> u64 {
    match found {
        Found::Sealed(sealed) => sealed.base,
        Found::Active(active) => active.base,
    }
}

fn piece(found: &Found, marks: &Marks, index: usize) -> Option<Piece> {
    let (base, stamp, active) = match found {
        Found::Sealed(sealed) => (sealed.base, sealed.stamp, false),
        Found::Active(active) => (active.base, active.stamp, true),
    };
    let (mark, end, last) = marks.piece(index)?;
    Some(Piece { base, stamp, index, mark, end, open: active && last })
}
