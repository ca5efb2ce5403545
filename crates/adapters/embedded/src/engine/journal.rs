//! Reads fjall's journals (format 3) far enough to tell a torn tail from damage, to cut the tail
//! off before fjall sees it, and to write anew what may not be on the disk. fjall itself cuts a
//! batch that breaks off, but refuses to open at all when a batch is whole in length and wrong in
//! content, which is what a power cut makes of a long value, believes lengths that are garbage (and
//! panics in debug builds), and takes a damaged byte in the middle for the end, dropping what was
//! acknowledged after it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use klatch_ports::PortResult;
use rustix::fs::SeekFrom;
use xxhash_rust::xxh3::Xxh3;

use super::{Tail, corrupt, doubt, failed_io};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// Behind every batch, and in the file `version`.
const TRAILER: &[u8] = b"FJL\x03";

/// Whether the database in `dir` is of the format this module reads.
pub(super) fn knows(dir: &Path) -> PortResult<bool> {
    match fs::read(dir.join(doubt::MARKER)) {
        Ok(version) => Ok(version == TRAILER),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed_io("reading a journal", error)),
    }
}

/// Refuses journals that hold whole batches behind a broken one: those had been synced.
pub(super) fn check(dir: &Path) -> PortResult<()> {
    for path in journals(dir)? {
        let bytes = read(&path)?;
        let Whole { end, .. } = whole(&bytes);
        if has_batch_after(&bytes, end) {
            return Err(damaged(&path, end));
        }
    }
    Ok(())
}

/// Cuts the newest journal off behind its last whole batch, and makes the batches in front of that
/// durable that may not be. Journals in front of it were synced before it was begun, unless it
/// holds nothing: then fjall may have begun it when the last sync of the one before had failed.
pub(super) fn mend(dir: &Path, tail: Tail) -> PortResult<()> {
    for path in journals(dir)?.iter().rev() {
        let bytes = read(path)?;
        let Whole { last, end } = whole(&bytes);
        let torn = end < bytes.len();
        if torn {
            tracing::warn!(
                journal = %path.display(), offset = end,
                "cutting off writes that were on their way to disk when the machine stopped",
            );
        }
        // Of what is replayable nothing is synced but now and then all of it.
        let doubtful = if tail == Tail::Acknowledged { last } else { 0 };
        let doubtful = bytes.get(doubtful..end).unwrap_or_default();
        if torn || !doubtful.is_empty() {
            write_anew(path, doubtful, end, torn)
                .map_err(|error| failed_io("mending a journal", error))?;
        }
        if end > 0 {
            break;
        }
    }
    Ok(())
}

/// Writes `bytes`, which end at `end`, where they are.
fn write_anew(path: &Path, bytes: &[u8], end: usize, cut: bool) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    if cut {
        file.set_len(end as u64)?;
    }
    file.write_all_at(bytes, (end - bytes.len()) as u64)?;
    file.sync_all()
}

fn damaged(path: &Path, offset: usize) -> klatch_ports::PortError {
    let what = format!("damaged at byte {offset}, whole behind it: {}", path.display());
    corrupt("reading a journal", what)
}

/// Journals, oldest first.
fn journals(dir: &Path) -> PortResult<Vec<PathBuf>> {
    let io = |error| failed_io("listing journals", error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|e| e == "jnl")) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The journal without the zeros that fjall reserves behind its end; most of those are a hole in
/// the file, which is not read.
fn read(path: &Path) -> PortResult<Vec<u8>> {
    let io = |error| failed_io("reading a journal", error);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let (mut bytes, mut end) = (Vec::new(), 0);
    while let Some((from, to)) = next_data(&file, end, length).map_err(io)? {
        bytes.resize(usize::try_from(from).unwrap_or(usize::MAX), 0);
        let part = usize::try_from(to - from).unwrap_or(usize::MAX);
        bytes.resize(bytes.len().saturating_add(part), 0);
        let room = bytes.len() - part;
        file.read_exact_at(bytes.get_mut(room..).unwrap_or_default(), from).map_err(io)?;
        end = to;
    }
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(written);
    Ok(bytes)
}

/// The next part of the file that is no hole, at `from` or behind it.
fn next_data(file: &File, from: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if from >= length {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) => Ok(Some((data, rustix::fs::seek(file, SeekFrom::Hole(data))?))),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How far a journal is whole.
#[derive(Clone, Copy, Default)]
struct Whole {
    /// Where the last whole batch begins.
    last: usize,
    /// Where it ends.
    end: usize,
}

fn whole(bytes: &[u8]) -> Whole {
    let mut whole = Whole::default();
    while let Some(end) = batch_end(bytes, whole.end) {
        whole = Whole { last: whole.end, end };
    }
    whole
}

fn has_batch_after(bytes: &[u8], end: usize) -> bool {
    (end..bytes.len()).any(|at| bytes.get(at) == Some(&START) && batch_end(bytes, at).is_some())
}

/// Where the batch that begins at `start` ends, if it is whole and its checksum is right.
fn batch_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut rest = Reader { bytes, at: start };
    if rest.u8()? != START {
        return None;
    }
    let items = rest.u32()?;
    rest.skip(8)?; // seqno
    let mut hash = Xxh3::new();
    for _ in 0..items {
        let begin = rest.at;
        match rest.u8()? {
            ITEM => rest.skip_item()?,
            CLEAR => rest.skip(8)?,
            _ => return None,
        }
        hash.update(bytes.get(begin..rest.at)?);
    }
    let fits = rest.u8()? == END && rest.u64()? == hash.digest();
    let trailer = rest.take(TRAILER.len())?;
    (fits && trailer == TRAILER).then_some(rest.at)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// Kind of value, compression, keyspace, lengths of key, value and stored value, both bodies.
    fn skip_item(&mut self) -> Option<()> {
        self.skip(1 + 1 + 8)?;
        let key = usize::from(self.u16()?);
        self.skip(4)?;
        let value = usize::try_from(self.u32()?).ok()?;
        self.skip(key)?;
        self.skip(value)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// A batch that puts one empty value.
    fn batch(seqno: u64) -> Vec<u8> {
        let item = [[ITEM; 1].as_slice(), &[0; 10], &1_u16.to_le_bytes(), &[0; 8], b"k"].concat();
        let mut hash = Xxh3::new();
        hash.update(&item);
        let mut out = [[START; 1].as_slice(), &1_u32.to_le_bytes(), &seqno.to_le_bytes()].concat();
        out.extend([&item[..], &[END], &hash.digest().to_le_bytes(), TRAILER].concat());
        out
    }

    /// Writes journals, and tells which of them mending writes to.
    fn mended(journals: [&[u8]; 3], tail: Tail) -> [bool; 3] {
        let dir = tempfile::tempdir().unwrap();
        let paths = [0, 1, 2].map(|number| dir.path().join(format!("{number}.jnl")));
        for (path, bytes) in paths.iter().zip(journals) {
            fs::write(path, bytes).unwrap();
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(SystemTime::UNIX_EPOCH)
                .unwrap();
        }
        mend(dir.path(), tail).unwrap();
        paths.map(|path| fs::metadata(path).unwrap().modified().unwrap() != SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn the_newest_journal_with_a_batch_is_written_anew_and_those_in_front_of_it_are_not() {
        let one = batch(1);
        let zeros = [0; 100];
        for tail in [Tail::Acknowledged, Tail::Replayable] {
            assert_eq!(mended([&one, &one, &one], tail), [false, false, true]);
            // Begun behind one whose last sync may have failed.
            assert_eq!(mended([&one, &one, &zeros], tail), [false, true, false]);
            assert_eq!(mended([&zeros, &zeros, &zeros], tail), [false; 3]);
        }
    }
}
