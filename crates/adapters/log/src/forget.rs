//! Forgetting: the oldest sealed segments go, whole ones, and nothing else.
//!
//! What a crash leaves is a log that begins earlier or later, never one with a hole: first what is
//! kept of SYSTEM is made durable, then segments are removed oldest first, each name synced before
//! the next.

use std::collections::BTreeSet;
use std::io;

use klatch_domain::Timestamp;
use klatch_ports::{Offset, PortResult, StreamId};

use super::error::io as port_io;
use super::segment::{DIR, base_of, index_path, segment_path};
use super::space::remove_if_there;
use super::{EmbeddedLog, Shared};
use crate::disk::Disk;

impl Shared {
    /// The offset before the first record of `stream` that is still there.
    pub(super) fn start(&self, stream: StreamId) -> u64 {
        if stream == StreamId::System { 0 } else { self.segments.first() - 1 }
    }
}

impl EmbeddedLog {
    /// Removes sealed segments, oldest first, in which every record was appended before `before`,
    /// is at or before `covered`, and was passed by every durable consumer; where the log begins
    /// then. Blocks: reads what is removed once, for what is kept of it.
    ///
    /// # Errors
    /// What the disk says, and `Corrupt` when what is to be removed is damaged. The log begins
    /// where it did, or later.
    pub fn forget(&self, covered: Offset, before: Timestamp) -> PortResult<Offset> {
        let Some(old) = self.shared.segments.older_than(before) else {
            return Ok(Offset(self.shared.segments.first() - 1));
        };
        let floors = self.floors()?;
        let passed = floors.iter().map(|(_, floor)| floor.0).min().unwrap_or(u64::MAX);
        self.forget_before(Offset(old.min(covered.0).min(passed).saturating_add(1)))
    }

    /// The last record that is old enough to be forgotten and lies in a sealed segment; the log's
    /// start when there is none. Cheap.
    pub fn forgettable(&self, before: Timestamp) -> Offset {
        let start = self.shared.segments.first() - 1;
        Offset(self.shared.segments.older_than(before).unwrap_or(start).max(start))
    }

    /// Up to where each durable consumer has finished everything. One whose place on the disk is
    /// damaged counts as being at the beginning.
    ///
    /// # Errors
    /// What the disk says.
    pub fn floors(&self) -> PortResult<Vec<(String, Offset)>> {
        let floors = self.shared.consumers.floors(&*self.shared.disk);
        let floors = floors.map_err(port_io("forget"))?;
        Ok(floors.into_iter().map(|(name, floor)| (name, Offset(floor))).collect())
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.shared.segments.count()
    }

    /// Removes the oldest segments as long as they hold nothing from `offset` on; where the log
    /// begins then. Blocks. The segment that is written to always stays, and records of SYSTEM can
    /// still be read. Asks nobody: see [`EmbeddedLog::forget`].
    ///
    /// # Errors
    /// What the disk says; what was to be removed is not shown any more all the same, unless what
    /// is kept of it could not be written.
    pub fn forget_before(&self, offset: Offset) -> PortResult<Offset> {
        let shared = &self.shared;
        let mut broken_off = shared.forgetting.lock();
        let Some(through) = shared.segments.ending_before(offset.0) else {
            return Ok(Offset(shared.segments.first() - 1));
        };
        shared.keep_system(through)?;
        shared.segments.forget_before(through + 1);
        let forgotten = shared.segments.first() - 1;
        let merged = shared.heads.forget(forgotten);
        let mut remove = || {
            // What an earlier call could not remove goes first, or a hole would be behind it; and
            // the name it removed last may be what it failed to sync.
            if std::mem::replace(&mut *broken_off, true) {
                shared.disk.sync_dir(DIR)?;
            }
            for base in bases_up_to(&*shared.disk, forgotten)? {
                shared.disk.remove(&segment_path(base))?;
                remove_if_there(&*shared.disk, &index_path(base))?;
                shared.disk.sync_dir(DIR)?;
            }
            for file in &merged {
                remove_if_there(&*shared.disk, file)?;
            }
            io::Result::Ok(())
        };
        remove().map_err(port_io("forget"))?;
        *broken_off = false;
        Ok(Offset(forgotten))
    }
}

/// Segments on the disk that begin at or before an offset, oldest first.
fn bases_up_to(disk: &dyn Disk, offset: u64) -> io::Result<BTreeSet<u64>> {
    let names = disk.list(DIR)?;
    let bases = names.iter().filter_map(|name| base_of(name, ".seg"));
    Ok(bases.filter(|base| *base <= offset).collect())
}
