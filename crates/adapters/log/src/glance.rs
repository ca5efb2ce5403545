//! A look at a log from outside, without its lock and without changing anything.

use std::io;

use klatch_domain::Timestamp;

use super::scan::{Stop, scan};
use super::segment::{DIR, SegmentHeader, base_of, segment_path};
use crate::disk::Disk;

/// What a look from outside found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Segments there are.
    pub segments: usize,
    /// Offset of the newest record that holds; 0 when there is none.
    pub last: u64,
    /// When it was appended.
    pub newest: Option<Timestamp>,
    /// Damage in the newest segment. While a process writes, its last batch may look so.
    pub damage: Option<String>,
}

/// Looks at the log on `disk`, which a process may have open. Blocks, and reads the newest segment
/// (the one before it too when that is empty). `None` when there is no log.
///
/// # Errors
/// What the disk says; `InvalidData` when the newest segment does not begin like one.
pub fn glance(disk: &dyn Disk) -> io::Result<Option<Glance>> {
    let names = disk.list(DIR)?;
    let mut bases: Vec<u64> = names.iter().filter_map(|name| base_of(name, ".seg")).collect();
    bases.sort_unstable();
    if bases.is_empty() {
        return Ok(None);
    }
    let segments = bases.len();
    let mut glance = Glance { segments, last: 0, newest: None, damage: None };
    for base in bases.into_iter().rev().take(2) {
        let file = disk.open(&segment_path(base))?;
        let header = SegmentHeader::read(disk, &*file, base)?;
        let found = scan(&*file, base, header.stamp, u64::MAX)?;
        if let (Stop::Damage { at, what }, None) = (&found.stop, &glance.damage) {
            let place = disk.describe(&segment_path(base));
            glance.damage = Some(format!("{place}, byte {at}: {what}"));
        }
        glance.last = glance.last.max(found.next.saturating_sub(1));
        if found.next > base {
            glance.newest = Some(found.marks.last_time);
            break;
        }
    }
    Ok(Some(glance))
}
