//! Makes damaged tables of heads anew from what they were made of.

use std::io;
use std::sync::Arc;

use super::Shared;
use super::heads::{Covered, FindError};
use super::index::merged_path;
use super::recover::{open_sealed, rebuild_sealed};
use super::space::remove_if_there;
use super::table::HeadKey;

/// A lookup that finds another damaged table after so many were mended gives up.
const REPAIRS: usize = 3;

impl Shared {
    /// The newest record of a key, also when a table is damaged: the segments know. Blocks.
    ///
    /// # Errors
    /// What the disk says, or that a segment is damaged too.
    pub(super) fn find_head(&self, key: HeadKey) -> io::Result<Option<u64>> {
        for _ in 0..REPAIRS {
            match self.heads.find(key) {
                Ok(found) => return Ok(found),
                Err(FindError { error, base, last })
                    if error.kind() == io::ErrorKind::InvalidData =>
                {
                    tracing::warn!("the heads of the records {base} to {last}: {error}");
                    self.repair(base, last)?;
                }
                Err(FindError { error, .. }) => return Err(error),
            }
        }
        self.heads.find(key).map_err(|FindError { error, .. }| error)
    }

    fn repair(&self, base: u64, last: u64) -> io::Result<()> {
        let mut tables = Vec::new();
        for sealed in self.segments.sealed_between(base, last).into_iter().rev() {
            let (base, last) = (sealed.base, sealed.last);
            let opened = open_sealed(&*self.disk, base, last);
            let whole =
                opened.ok().filter(|(_, covered, _)| covered.table.iter().all(|e| e.is_ok()));
            let covered = match whole {
                Some((_, covered, _)) => covered,
                None => rebuild_sealed(&*self.disk, base, last).map_err(io::Error::other)?,
            };
            tables.push(Covered { table: Arc::clone(&covered.table), ..covered });
        }
        self.heads.replace(&tables);
        remove_if_there(&*self.disk, &merged_path(base))
    }
}
