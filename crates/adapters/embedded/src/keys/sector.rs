//! Files made of sectors of 512 bytes, the unit a disk writes whole: nothing that is changed in
//! place crosses a sector's border, so a power cut leaves the old or the new.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes of a sector.
pub(super) const SECTOR: usize = 512;

/// Opens a file that only this server's user may read.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Creates such a file, empty; one that is there is emptied.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Reads the sector with this number.
pub(super) fn read(file: &File, number: u64) -> io::Result<[u8; SECTOR]> {
    let mut sector = [0; SECTOR];
    file.read_exact_at(&mut sector, number * SECTOR as u64)?;
    Ok(sector)
}

/// Puts the finished file `new` in the place of `path`, durably. Until it returns, either may be
/// found there after a power cut, whole.
pub(super) fn replace(new: &File, new_path: &Path, path: &Path) -> io::Result<()> {
    new.sync_all()?;
    fs::rename(new_path, path)
}

/// Makes the directory's entries durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `fields` and their checksum, at the beginning of `out`; the rest stays as it is.
pub(super) fn seal(fields: &[&[u8]], out: &mut [u8]) {
    let mut bytes = fields.concat();
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = from;
    }
}

/// The first `N` bytes, if the checksum behind them is right.
pub(super) fn unseal<const N: usize>(bytes: &[u8]) -> Option<&[u8; N]> {
    let (fields, rest) = bytes.split_first_chunk::<N>()?;
    let sum = u32::from_le_bytes(*rest.first_chunk()?);
    (crc32c::crc32c(fields) == sum).then_some(fields)
}
