//! Copying the log to another disk while it is written to.
//!
//! Sealed segments do not change any more; of the one that is written to, what was durable at the
//! beginning is copied. Every batch of the copy is read again and checked, so that damage is told
//! when a backup is made and not when it is needed. Indexes are left out: opening makes them.

use std::sync::Arc;

use klatch_ports::{Offset, PortResult};

use super::batch::SECTOR;
use super::epoch;
use super::error::{corrupt, io};
use super::scan::scan;
use super::segment::{DIR, segment_path};
use super::{EmbeddedLog, Shared, consumer};
use crate::disk::{Disk, DiskFile};

/// Bytes copied at once.
const PIECE: u64 = 1024 * 1024;
/// Zeros behind the data, where opening looks for more batches.
const TAIL: u64 = 8 * SECTOR as u64;

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedLog {
    /// Offset of the last record in the copy: everything that was acknowledged before the copy was
    /// begun, and maybe more.
    pub end: Offset,
    /// Offset before the first record in it.
    pub start: Offset,
    /// All files, as paths from the data directory.
    pub files: Vec<String>,
}

/// A part of a segment to copy.
struct Part {
    base: u64,
    stamp: u32,
    file: Arc<dyn DiskFile>,
    /// Where its data ends, if that is known already.
    data_end: Option<u64>,
    /// Its last record, if that is known already.
    last: u64,
}

impl EmbeddedLog {
    /// Copies everything durable to `target`, synced: segments, epoch, places of consumers. What is
    /// appended meanwhile may be in it or not. Blocks; `told` hears how many bytes of how many are
    /// done.
    ///
    /// # Errors
    /// What one of the disks says; `Corrupt` with the place when a segment is damaged.
    pub fn copy_to(
        &self,
        target: &dyn Disk,
        mut told: impl FnMut(u64, u64),
    ) -> PortResult<CopiedLog> {
        let shared = &self.shared;
        let mut copied = CopiedLog { end: Offset::ZERO, start: Offset::ZERO, files: Vec::new() };
        target.create_dir(DIR).map_err(io("copy"))?;
        // The places first: none of them may lie behind the end of the copy.
        let places = consumer::copy_places(&*shared.disk, target).map_err(io("copy"))?;
        copied.files.extend(places);
        copied.files.push(epoch::copy(&*shared.disk, target)?);
        let parts = parts(shared)?;
        copied.start = Offset(parts.first().map_or(0, |part| part.base - 1));
        let lengths = parts.iter().map(|part| part.data_end.map_or_else(|| part.file.len(), Ok));
        let total = lengths.sum::<std::io::Result<u64>>().map_err(io("copy"))?;
        let mut done = 0;
        for part in parts {
            let path = segment_path(part.base);
            let file = target.create(&path).map_err(io("copy"))?;
            let end = part.data_end.map_or_else(|| part.file.len(), Ok).map_err(io("copy"))?;
            copy_bytes(&*part.file, &*file, end, |bytes| told(done + bytes, total))
                .and_then(|()| file.zero(end, end + TAIL))
                .and_then(|()| file.sync_data())
                .map_err(io("copy"))?;
            done += end;
            copied.end = Offset(check(shared, &part, &*file)?);
            copied.files.push(path);
        }
        // After the list of segments: it holds what is kept of all that came before them.
        copied.files.extend(shared.kept.copy(target).map_err(io("copy"))?);
        target.sync_dir(DIR).map_err(io("copy"))?;
        Ok(copied)
    }
}

/// Everything there is, oldest first.
fn parts(shared: &Shared) -> PortResult<Vec<Part>> {
    let (sealed, active) = shared.segments.all();
    let data_end = active.marks.lock().data_end;
    let mut parts = Vec::with_capacity(sealed.len() + 1);
    for sealed in sealed {
        let file = shared.disk.open(&segment_path(sealed.base)).map_err(io("copy"))?;
        let (base, stamp, last) = (sealed.base, sealed.stamp, sealed.last);
        parts.push(Part { base, stamp, file, data_end: None, last });
    }
    parts.push(Part {
        base: active.base,
        stamp: active.stamp,
        file: Arc::clone(&active.file),
        data_end: Some(data_end),
        last: u64::MAX,
    });
    Ok(parts)
}

fn copy_bytes(
    from: &dyn DiskFile,
    to: &dyn DiskFile,
    end: u64,
    mut told: impl FnMut(u64),
) -> std::io::Result<()> {
    let mut bytes = vec![0; usize::try_from(PIECE.min(end)).unwrap_or(0)];
    let mut at = 0;
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(bytes.len());
        let piece = bytes.get_mut(..most).unwrap_or_default();
        let read = from.read_at(piece, at)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        to.write_at(piece.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
        told(at);
    }
    Ok(())
}

/// Reads the copy of a segment again; its last record.
fn check(shared: &Shared, part: &Part, copy: &dyn DiskFile) -> PortResult<u64> {
    let found = scan(copy, part.base, part.stamp, part.last).map_err(io("copy"))?;
    let whole = match part.data_end {
        Some(end) => found.marks.data_end == end,
        None => found.next == part.last + 1,
    };
    if whole {
        return Ok(found.next - 1);
    }
    let (at, what) = found.complaint();
    let place = shared.disk.describe(&segment_path(part.base));
    Err(corrupt("copy", format!("{place}, byte {at}: {what}")))
}
