//! An index in memory: whole before any of it is on the disk, and in its place while there is no
//! space for it.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::index::{Contents, IndexHeader, fill, header_of};
use super::segment::{DIR, Sealed};
use super::table::{HeadKey, Table};
use crate::disk::{Disk, DiskFile, NEW_ENDING, replace};

/// The bytes of a sealed segment's index.
#[derive(Debug, Default)]
pub(super) struct Image(RwLock<Vec<u8>>);

/// An index that the disk had no space for when the log was opened.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) sealed: Arc<Sealed>,
    pub(super) image: Arc<Image>,
}

impl Image {
    /// The index of a segment. Costs about as many bytes as its file.
    pub(super) fn of(
        contents: &Contents<'_>,
        heads: impl Iterator<Item = (HeadKey, u64)>,
    ) -> io::Result<Arc<Self>> {
        let (image, header) = (Self::default(), header_of(contents)?);
        fill(&image, header, &contents.marks.list, heads.collect())?;
        Ok(Arc::new(image))
    }

    /// The newest record of each key, from memory.
    pub(super) fn table(self: &Arc<Self>) -> io::Result<Table> {
        IndexHeader::read(&**self)?.table(Arc::clone(self) as _)
    }

    /// Writes it to the disk durably, and opens its table there. What does not fit leaves nothing.
    pub(super) fn store(&self, disk: &dyn Disk, path: &str) -> io::Result<Table> {
        let stored = replace(disk, path, &self.0.read()).and_then(|()| disk.sync_dir(DIR));
        if let Err(error) = stored {
            // It is removed before the next try as well.
            let _ = disk.remove(&format!("{path}{NEW_ENDING}"));
            return Err(error);
        }
        let file = disk.open(path)?;
        IndexHeader::read(&*file)?.table(file)
    }
}

impl DiskFile for Image {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let bytes = self.0.read();
        let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let count = from.len().min(into.len());
        if let (Some(into), Some(from)) = (into.get_mut(..count), from.get(..count)) {
            into.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write_at(&self, from: &[u8], at: u64) -> io::Result<()> {
        let mut bytes = self.0.write();
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let end = at.saturating_add(from.len());
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        if let Some(into) = bytes.get_mut(at..end) {
            into.copy_from_slice(from);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().len() as u64)
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        let length = usize::try_from(to.saturating_sub(from)).map_err(io::Error::other)?;
        self.write_at(&vec![0; length], from)
    }
}
