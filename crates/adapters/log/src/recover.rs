//! Opens what is on the disk: cuts a torn end, refuses damage, and serves nothing that is not
//! durable.

use std::collections::BTreeSet;
use std::io as std_io;
use std::sync::Arc;

use klatch_domain::{Entropy, Timestamp};
use klatch_ports::{Epoch, ErrorKind, PortResult};
use parking_lot::Mutex;

use super::batch::SECTOR;
use super::config::LogConfig;
use super::epoch::{bump_epoch, load};
use super::error::{corrupt, io, is_full, port};
use super::heads::{Covered, Heads};
use super::image::{Image, Late};
use super::index::{Contents, IndexHeader, MERGED_ENDING, merged_path};
use super::scan::{Scan, Stop, proof_of, scan, written_after};
use super::segment::{
    Active, DATA, DIR, Marks, SPARE, Sealed, SegmentHeader, Segments, base_of, index_path,
    segment_path,
};
use super::space::{clear_spare, prepare, remove_if_there};
use super::table::{HeadMap, Table};
use super::writer::Start;
use crate::disk::{Disk, DiskFile, DiskLock, NEW_ENDING};

/// The log as it was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) epoch: Epoch,
    pub(super) segments: Segments,
    pub(super) heads: Heads,
    pub(super) start: Start,
}

/// Reads, mends and checks everything.
///
/// # Errors
/// `Corrupt` with the place when something is damaged; nothing is changed or deleted then.
pub(super) fn recover(
    disk: &dyn Disk,
    config: &LogConfig,
    entropy: &dyn Entropy,
) -> PortResult<Recovered> {
    let names = disk.list(DIR).map_err(io("open"))?;
    let bases: BTreeSet<_> = names.iter().filter_map(|name| base_of(name, ".seg")).collect();
    let epoch = match load(disk)? {
        Some(epoch) => epoch,
        None if bases.is_empty() => bump_epoch(disk, entropy)?,
        None => {
            let place = disk.describe(DIR);
            return Err(corrupt("open", format!("{place} holds segments and no epoch file")));
        }
    };
    let Some((newest, older)) = split_last(&bases) else {
        return create(disk, config, entropy, epoch);
    };
    let active = open_active(disk, newest)?;
    let (mut sealed, mut tables, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for (base, next) in older.iter().zip(older.iter().skip(1).chain([&newest])) {
        let (segment, covered, image) = open_sealed(disk, *base, next - 1)?;
        let segment = Arc::new(segment);
        late.extend(image.map(|image| Late { sealed: Arc::clone(&segment), image }));
        sealed.push(segment);
        tables.push(covered);
    }
    tables.reverse();
    let tables = with_merged(disk, &names, tables).map_err(io("open"))?;
    cut(disk, &active)?;
    for name in names.iter().filter(|name| name.ends_with(NEW_ENDING)) {
        remove_if_there(disk, &format!("{DIR}/{name}")).map_err(io("open"))?;
    }
    clear_spare(disk).map_err(io("open"))?;

    let OpenedActive { file, header, scan, .. } = active;
    let times = sealed.last().map(|sealed: &Arc<Sealed>| sealed.last_time);
    let last_time = times.unwrap_or_default().max(scan.marks.last_time);
    let forgotten = bases.first().map_or(0, |first| first - 1);
    let filled = file.len().map_err(io("open"))?;
    let active = Active { base: newest, stamp: header.stamp, file, marks: Mutex::new(scan.marks) };
    Ok(Recovered {
        epoch,
        segments: Segments::new(sealed, active),
        heads: Heads::new(scan.heads, tables, forgotten),
        start: Start { last: scan.next - 1, last_time, filled, marked: scan.marked, late },
    })
}

fn split_last(bases: &BTreeSet<u64>) -> Option<(u64, Vec<u64>)> {
    let newest = *bases.last()?;
    Some((newest, bases.iter().copied().filter(|base| *base != newest).collect()))
}

fn create(
    disk: &dyn Disk,
    config: &LogConfig,
    entropy: &dyn Entropy,
    epoch: Epoch,
) -> PortResult<Recovered> {
    let mut stamp = [0; 4];
    entropy.fill(&mut stamp);
    let header = SegmentHeader { epoch: epoch.0, base: 1, stamp: u32::from_le_bytes(stamp) };
    let filled = config.fill_bytes_min.max(DATA);
    let file = make_file(disk, filled, config.reserve_bytes)
        .and_then(|file| put_in_use(disk, file, header))
        .map_err(io("create"))?;
    Ok(Recovered {
        epoch,
        segments: Segments::new(Vec::new(), new_active(header, file)),
        heads: Heads::new(HeadMap::default(), Vec::new(), 0),
        start: Start {
            last: 0,
            last_time: Timestamp::default(),
            filled,
            marked: false,
            late: Vec::new(),
        },
    })
}

/// A new file of zeros that is not a segment yet.
pub(super) fn make_file(
    disk: &dyn Disk,
    filled: u64,
    reserve: u64,
) -> std_io::Result<Arc<dyn DiskFile>> {
    remove_if_there(disk, SPARE)?;
    let file = disk.create(SPARE)?;
    prepare(disk, &*file, 0, filled, reserve)?;
    Ok(file)
}

/// Makes the spare file the segment with this header, durably.
pub(super) fn put_in_use(
    disk: &dyn Disk,
    file: Arc<dyn DiskFile>,
    header: SegmentHeader,
) -> std_io::Result<Arc<dyn DiskFile>> {
    file.write_at(&header.encode(), 0)?;
    file.sync_data()?;
    disk.rename(SPARE, &segment_path(header.base))?;
    disk.sync_dir(DIR)?;
    Ok(file)
}

pub(super) fn new_active(header: SegmentHeader, file: Arc<dyn DiskFile>) -> Active {
    let marks = Mutex::new(Marks::new());
    Active { base: header.base, stamp: header.stamp, file, marks }
}

struct OpenedActive {
    base: u64,
    file: Arc<dyn DiskFile>,
    header: SegmentHeader,
    scan: Scan,
}

/// Reads the newest segment. Changes nothing.
fn open_active(disk: &dyn Disk, base: u64) -> PortResult<OpenedActive> {
    let file = disk.open(&segment_path(base)).map_err(io("open"))?;
    let header = SegmentHeader::read(disk, &*file, base).map_err(io("open"))?;
    let scan = scan(&*file, base, header.stamp, u64::MAX).map_err(io("open"))?;
    let (at, what) = scan.complaint();
    let refuse = |why: &str| {
        let place = disk.describe(&segment_path(base));
        let why = format!("{place}, byte {at}: {what}, but {why}; restore it from a backup");
        corrupt("open", why)
    };
    if scan.stop == Stop::CutShort {
        return Err(refuse("it is written only where zeros had been synced before"));
    }
    let end = scan.marks.data_end;
    let proof = proof_of(&*file, end, header.stamp, scan.next).map_err(io("open"))?;
    if let Some(proof) = proof {
        let why = format!(
            "the record {} had been synced before the batch at byte {proof} was written",
            scan.next
        );
        return Err(refuse(&why));
    }
    Ok(OpenedActive { base, file, header, scan })
}

/// Makes what was read of the newest segment all there is, durably.
fn cut(disk: &dyn Disk, active: &OpenedActive) -> PortResult<()> {
    let OpenedActive { base, file, scan, .. } = active;
    let (unproven, end) = (scan.unproven, scan.marks.data_end);
    // A sync that failed, or never happened, may have left batches that can be read and are not on
    // the disk: the kernel takes them for written. Writing them again makes them so.
    if unproven < end {
        let mut bytes = vec![0; usize::try_from(end - unproven).unwrap_or(0)];
        let read = file.read_at(&mut bytes, unproven).map_err(io("open"))?;
        let bytes = bytes.get(..read).unwrap_or(&bytes);
        file.write_at(bytes, unproven).map_err(io("open"))?;
    }
    let end = if scan.marked { end + SECTOR as u64 } else { end };
    if let Some((from, to)) = written_after(&**file, end).map_err(io("open"))? {
        tracing::info!(
            "{}, byte {from}: cut {} bytes of a write that was never acknowledged; the log ends \
             with the record {}",
            disk.describe(&segment_path(*base)),
            to - from,
            scan.next - 1,
        );
        file.zero(from, to).map_err(io("open"))?;
    }
    file.sync_data().map_err(io("open"))
}

/// Opens a segment that ends with `last`, by its index; makes the index anew when there is none, in
/// memory when there is no space for it.
pub(super) fn open_sealed(
    disk: &dyn Disk,
    base: u64,
    last: u64,
) -> PortResult<(Sealed, Covered, Option<Arc<Image>>)> {
    let file = disk.open(&segment_path(base)).map_err(io("open"))?;
    let header = SegmentHeader::read(disk, &*file, base).map_err(io("open"))?;
    let from_index = || {
        let file = disk.open(&index_path(base))?;
        let index = IndexHeader::read(&*file)?;
        let table = index.table(file)?;
        std_io::Result::Ok((index, table))
    };
    let known = match from_index() {
        Ok((index, table)) if (index.base, index.stamp) == (base, header.stamp) => {
            Some((index, table))
        }
        Err(error) if is_disk_failure(&error) => return Err(io("open")(error)),
        _ => None,
    };
    let rebuilt = match known {
        Some((index, table)) => {
            let IndexHeader { last, last_time, .. } = index;
            Rebuilt { last, last_time, table, unwritten: None }
        }
        None => rebuild_index(disk, &*file, header, last)?,
    };
    let Rebuilt { last: found_last, last_time, table, unwritten } = rebuilt;
    if found_last != last {
        let place = disk.describe(&segment_path(base));
        return Err(corrupt(
            "open",
            format!(
                "{place} ends with the record {found_last}, but the next segment begins with {}: \
                 segments are missing",
                last + 1
            ),
        ));
    }
    let table = Arc::new(table);
    let covered = Covered { base, last, segments: 1, table };
    let stamp = header.stamp;
    let (marks, image) = unwritten.unzip();
    Ok((Sealed { base, last, stamp, last_time, marks: Mutex::new(marks) }, covered, image))
}

/// The table of a segment that ends with `last`, made anew from the segment.
pub(super) fn rebuild_sealed(disk: &dyn Disk, base: u64, last: u64) -> PortResult<Covered> {
    let file = disk.open(&segment_path(base)).map_err(io("repair"))?;
    let header = SegmentHeader::read(disk, &*file, base).map_err(io("repair"))?;
    let Rebuilt { table, .. } = rebuild_index(disk, &*file, header, last)?;
    Ok(Covered { base, last, segments: 1, table: Arc::new(table) })
}

fn is_disk_failure(error: &std_io::Error) -> bool {
    !matches!(error.kind(), std_io::ErrorKind::NotFound | std_io::ErrorKind::InvalidData)
}

/// An index that was read or made anew.
struct Rebuilt {
    last: u64,
    last_time: Timestamp,
    table: Table,
    /// What it holds, when the disk has no space for it.
    unwritten: Option<(Arc<Marks>, Arc<Image>)>,
}

fn rebuild_index(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    header: SegmentHeader,
    last: u64,
) -> PortResult<Rebuilt> {
    let SegmentHeader { base, stamp, .. } = header;
    let scan = scan(file, base, stamp, last).map_err(io("open"))?;
    let (path, found) = (index_path(base), scan.next - 1);
    if found < last {
        let (at, what) = scan.complaint();
        let place = disk.describe(&segment_path(base));
        let why = format!("{place}, byte {at}: {what}, but records up to {last} were here");
        return Err(corrupt("open", why));
    }
    tracing::info!("{} is made anew from its segment", disk.describe(&path));
    let contents = Contents { base, last: found, stamp, marks: &scan.marks };
    let image = Image::of(&contents, scan.heads.into_iter()).map_err(io("write index"))?;
    let last_time = scan.marks.last_time;
    let (table, unwritten) = match image.store(disk, &path) {
        Ok(table) => (table, None),
        Err(error) if is_full(&error) => {
            // All of it can be read and decided on; space is a matter for whoever appends.
            let place = disk.describe(&path);
            tracing::warn!("{place}: there is no space for the index, it stays in memory: {error}");
            let table = image.table().map_err(io("open"))?;
            (table, Some((Arc::new(scan.marks), image)))
        }
        Err(error) => return Err(io("write index")(error)),
    };
    Ok(Rebuilt { last: found, last_time, table, unwritten })
}

/// Puts merged tables in the place of what they cover, and removes those that have none. What is
/// wrong with one is no harm: the tables of the segments say the same.
fn with_merged(
    disk: &dyn Disk,
    names: &[String],
    single: Vec<Covered>,
) -> std_io::Result<Vec<Covered>> {
    let bases: Vec<_> = names.iter().filter_map(|name| base_of(name, MERGED_ENDING)).collect();
    let mut merged = Vec::new();
    for base in &bases {
        match open_merged(disk, *base) {
            Ok(covered) => merged.push(covered),
            Err(error) if is_disk_failure(&error) => return Err(error),
            Err(_) => {}
        }
    }
    // The largest first, so that what it covers is left out.
    merged.sort_by_key(|covered| std::cmp::Reverse(covered.segments));
    let mut tables = single;
    for covered in merged {
        let inside = |table: &Covered| table.base >= covered.base && table.last <= covered.last;
        let whole = |table: &Covered| inside(table) && table.segments > 1;
        // Its first segments may have been forgotten since it was made.
        let oldest = tables.last().map_or(0, |table| table.base);
        let begins = |table: &Covered| table.base == covered.base.max(oldest);
        let ends = |table: &Covered| table.last == covered.last;
        if tables.iter().any(begins) && tables.iter().any(ends) && !tables.iter().any(whole) {
            tables.retain(|table| !inside(table));
            let at = tables.partition_point(|table| table.base > covered.base);
            tables.insert(at, covered);
        }
    }
    for base in bases {
        if !tables.iter().any(|table| table.segments > 1 && table.base == base) {
            remove_if_there(disk, &merged_path(base))?;
        }
    }
    Ok(tables)
}

fn open_merged(disk: &dyn Disk, base: u64) -> std_io::Result<Covered> {
    let file = disk.open(&merged_path(base))?;
    let header = IndexHeader::read(&*file)?;
    if header.base != base {
        return Err(std_io::ErrorKind::InvalidData.into());
    }
    let table = Arc::new(header.table(file)?);
    Ok(Covered { base, last: header.last, segments: header.segments, table })
}

/// Takes the directory for this process alone.
///
/// # Errors
/// `Unavailable` when another process has it.
pub(super) fn take_lock(disk: &dyn Disk) -> PortResult<Box<dyn DiskLock>> {
    const LOCK: &str = "log/lock";
    disk.create_dir(DIR).map_err(io("open"))?;
    disk.lock(LOCK).map_err(|error| {
        if error.kind() != std_io::ErrorKind::WouldBlock {
            return io("open")(error);
        }
        let place = disk.describe(DIR);
        port(ErrorKind::Unavailable, "open").because(format!(
            "{place} is in use by another process: stop it, or use another data directory"
        ))
    })
}
