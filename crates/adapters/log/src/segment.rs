//! Files of the log: their names, their first bytes, and what is known of each in memory.

use std::io;
use std::sync::Arc;

use klatch_domain::Timestamp;
use parking_lot::{Mutex, RwLock};

use super::batch::{SECTOR, u32_at, u64_at};
use crate::disk::{Disk, DiskFile};

/// Where everything of the log lies.
pub(super) const DIR: &str = "log";
/// A segment that is prepared and not yet in use.
pub(super) const SPARE: &str = "log/spare";
/// The first batch begins here; the file's own header is alone in its sector.
pub(super) const DATA: u64 = SECTOR as u64;

const MAGIC: &[u8; 8] = b"KLSEGMNT";
const VERSION: u32 = 1;
const HEADER: usize = 40;

pub(super) fn segment_path(base: u64) -> String {
    format!("{DIR}/{base:020}.seg")
}

pub(super) fn index_path(base: u64) -> String {
    format!("{DIR}/{base:020}.idx")
}

/// The base offset in a file's name, when it has this ending.
pub(super) fn base_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
    digits.parse().ok()
}

/// The first bytes of a segment.
///
/// ```text
/// magic (8) | version u32 | epoch u32 | base offset u64 | stamp u32 | zero (8) | crc u32
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The life of the log in which the segment was begun.
    pub(super) epoch: u32,
    pub(super) base: u64,
    /// What every batch in it repeats.
    pub(super) stamp: u32,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(&self.stamp.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads and checks the header of the segment that should begin with `base`.
    ///
    /// # Errors
    /// `InvalidData` with the reason, or what the disk says.
    pub(super) fn read(disk: &dyn Disk, file: &dyn DiskFile, base: u64) -> io::Result<Self> {
        let bad = |what: &str| {
            let place = disk.describe(&segment_path(base));
            io::Error::new(io::ErrorKind::InvalidData, format!("{place}, byte 0: {what}"))
        };
        let mut bytes = [0; HEADER];
        if file.read_at(&mut bytes, 0)? < HEADER {
            return Err(bad("the file's header is cut off"));
        }
        let number = |at| u32_at(&bytes, at).unwrap_or_default();
        if !bytes.starts_with(MAGIC) {
            return Err(bad("this is not a segment of the log"));
        }
        if number(HEADER - 4) != crc32c::crc32c(bytes.get(..HEADER - 4).unwrap_or(&[])) {
            return Err(bad("the checksum of the file's header does not match"));
        }
        if number(8) != VERSION {
            return Err(bad(&format!("format version {} is not known here", number(8))));
        }
        let found = u64_at(&bytes, 16).unwrap_or_default();
        if found != base {
            return Err(bad(&format!("the file begins with offset {found}, its name says {base}")));
        }
        Ok(Self { epoch: number(12), base, stamp: number(24) })
    }
}

/// The place of a batch: one for every 64 KiB or so, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Of the batch's first record.
    pub(super) offset: u64,
    pub(super) position: u64,
    pub(super) time: Timestamp,
}

/// Bytes between two marks, at least.
const MARK_BYTES: u64 = 64 * 1024;

/// Where batches lie in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) list: Vec<Mark>,
    /// Where the last durable batch ends.
    pub(super) data_end: u64,
    /// When the last record was appended.
    pub(super) last_time: Timestamp,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), data_end: DATA, last_time: Timestamp::default() }
    }

    /// Notes a batch that lies at `data_end`.
    pub(super) fn push(&mut self, offset: u64, span: usize, time: Timestamp) {
        let position = self.data_end;
        if self.list.last().is_none_or(|last| position - last.position >= MARK_BYTES) {
            self.list.push(Mark { offset, position, time });
        }
        self.data_end += span as u64;
        self.last_time = time;
    }

    /// The number of the piece that holds `offset`, if any can.
    pub(super) fn piece_of(&self, offset: u64) -> Option<usize> {
        self.list.partition_point(|mark| mark.offset <= offset).checked_sub(1)
    }

    /// Where a piece begins and ends, and whether it may still grow.
    pub(super) fn piece(&self, index: usize) -> Option<(Mark, u64, bool)> {
        let mark = *self.list.get(index)?;
        let next = self.list.get(index + 1);
        Some((mark, next.map_or(self.data_end, |next| next.position), next.is_none()))
    }
}

/// A segment that nothing is written to any more.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) base: u64,
    /// Offset of its last record.
    pub(super) last: u64,
    pub(super) stamp: u32,
    pub(super) last_time: Timestamp,
    /// Where batches lie: at hand until the sidecar file is written, later read when needed.
    pub(super) marks: Mutex<Option<Arc<Marks>>>,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) base: u64,
    pub(super) stamp: u32,
    pub(super) file: Arc<dyn DiskFile>,
    /// Of what is durable.
    pub(super) marks: Mutex<Marks>,
}

/// All segments, oldest first.
#[derive(Debug)]
pub(super) struct Segments(RwLock<Listed>);

#[derive(Debug)]
struct Listed {
    sealed: Vec<Arc<Sealed>>,
    active: Arc<Active>,
}

/// One segment, as a reader meets it.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Sealed(Arc<Sealed>),
    Active(Arc<Active>),
}

impl Segments {
    pub(super) fn new(sealed: Vec<Arc<Sealed>>, active: Active) -> Self {
        Self(RwLock::new(Listed { sealed, active: Arc::new(active) }))
    }

    pub(super) fn active(&self) -> Arc<Active> {
        Arc::clone(&self.0.read().active)
    }

    /// The sealed ones, oldest first, and the one after them.
    pub(super) fn all(&self) -> (Vec<Arc<Sealed>>, Arc<Active>) {
        let listed = self.0.read();
        (listed.sealed.clone(), Arc::clone(&listed.active))
    }

    /// Those that hold nothing outside of these offsets.
    pub(super) fn sealed_between(&self, base: u64, last: u64) -> Vec<Arc<Sealed>> {
        let listed = self.0.read();
        let inside = |sealed: &&Arc<Sealed>| sealed.base >= base && sealed.last <= last;
        listed.sealed.iter().filter(inside).map(Arc::clone).collect()
    }

    /// Offset of the first record that is still there.
    pub(super) fn first(&self) -> u64 {
        let listed = self.0.read();
        listed.sealed.first().map_or(listed.active.base, |oldest| oldest.base)
    }

    /// The segment that holds `offset`, or the oldest one when it is gone.
    pub(super) fn holding(&self, offset: u64) -> Found {
        self.find(|sealed| sealed.last < offset)
    }

    /// The first segment with a record appended at `time` or later, or the active one.
    pub(super) fn reaching(&self, time: Timestamp) -> Found {
        self.find(|sealed| sealed.last_time < time)
    }

    fn find(&self, is_before: impl Fn(&Sealed) -> bool) -> Found {
        let listed = self.0.read();
        let index = listed.sealed.partition_point(|sealed| is_before(sealed));
        let sealed = listed.sealed.get(index).map(Arc::clone);
        sealed.map_or_else(|| Found::Active(Arc::clone(&listed.active)), Found::Sealed)
    }

    /// Puts `next` in the place of the active segment, which ends with `last`.
    pub(super) fn roll(&self, next: Active, last: u64) -> Arc<Sealed> {
        let mut listed = self.0.write();
        let old = std::mem::replace(&mut listed.active, Arc::new(next));
        let marks = Arc::new(old.marks.lock().clone());
        let sealed = Arc::new(Sealed {
            base: old.base,
            last,
            stamp: old.stamp,
            last_time: marks.last_time,
            marks: Mutex::new(Some(marks)),
        });
        listed.sealed.push(Arc::clone(&sealed));
        sealed
    }

    /// The last record of the oldest sealed segments in which everything was appended before
    /// `time`.
    pub(super) fn older_than(&self, time: Timestamp) -> Option<u64> {
        self.last_of(|sealed| sealed.last_time < time)
    }

    /// The last record of the sealed segments that end before `offset`.
    pub(super) fn ending_before(&self, offset: u64) -> Option<u64> {
        self.last_of(|sealed| sealed.last < offset)
    }

    fn last_of(&self, is_before: impl Fn(&Sealed) -> bool) -> Option<u64> {
        let listed = self.0.read();
        let count = listed.sealed.partition_point(|sealed| is_before(sealed));
        count.checked_sub(1).and_then(|index| listed.sealed.get(index)).map(|sealed| sealed.last)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.read().sealed.len() + 1
    }

    /// Takes out the sealed segments that end before `offset`.
    pub(super) fn forget_before(&self, offset: u64) -> Vec<Arc<Sealed>> {
        let mut listed = self.0.write();
        let count = listed.sealed.partition_point(|sealed| sealed.last < offset);
        listed.sealed.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn a_segment_header_reads_back_and_any_flipped_bit_is_refused() {
        let sim = SimDisk::new(1);
        let disk = sim.disk();
        let header = SegmentHeader { epoch: 7, base: 42, stamp: 9 };
        let file = disk.create(&segment_path(42)).unwrap();
        file.write_at(&header.encode(), 0).unwrap();
        assert_eq!(SegmentHeader::read(&*disk, &*file, 42).unwrap(), header);
        assert!(SegmentHeader::read(&*disk, &*file, 43).is_err());
        for byte in 0..HEADER {
            sim.flip_bit(&segment_path(42), byte, 3);
            let error = SegmentHeader::read(&*disk, &*file, 42).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("00042.seg"), "{error}");
            sim.flip_bit(&segment_path(42), byte, 3);
        }
    }

    #[test]
    fn only_names_of_twenty_digits_are_segments() {
        assert_eq!(base_of("00000000000000000042.seg", ".seg"), Some(42));
        for name in ["42.seg", "00000000000000000042.idx", "0000000000000000004x.seg", ".seg"] {
            assert_eq!(base_of(name, ".seg"), None, "{name}");
        }
    }

    #[test]
    fn pieces_follow_each_other_and_hold_their_offsets() {
        let mut marks = Marks::new();
        for n in 0..10 {
            marks.push(1 + n * 5, 30 * 1024, Timestamp(n));
        }
        assert_eq!(marks.list.len(), 4);
        assert_eq!(marks.piece_of(0), None);
        let mut expected = DATA;
        for index in 0..4 {
            let (mark, end, open) = marks.piece(index).unwrap();
            assert_eq!(mark.position, expected);
            assert_eq!(marks.piece_of(mark.offset), Some(index));
            assert_eq!(open, index == 3);
            expected = end;
        }
        assert_eq!(expected, marks.data_end);
    }
}
