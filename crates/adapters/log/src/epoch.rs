//! The number of the log's life, in a file of its own.

use klatch_domain::Entropy;
use klatch_ports::{Epoch, PortResult};

use super::batch::u32_at;
use super::error::{corrupt, io};
use super::segment::DIR;
use crate::disk::{Disk, read_small, replace};

const PATH: &str = "log/epoch";
const MAGIC: &[u8; 8] = b"KLEPOCH1";
const LEN: usize = 16;

/// The epoch on this disk; `None` when there is no log yet.
pub(super) fn load(disk: &dyn Disk) -> PortResult<Option<Epoch>> {
    let Some(bytes) = read_small(disk, PATH, 4096).map_err(io("open"))? else { return Ok(None) };
    let number = |at| u32_at(&bytes, at).unwrap_or_default();
    let crc = crc32c::crc32c(bytes.get(..LEN - 4).unwrap_or(&[]));
    if bytes.len() != LEN || !bytes.starts_with(MAGIC) || number(LEN - 4) != crc {
        let place = disk.describe(PATH);
        return Err(corrupt("open", format!("{place}: the file of the log's epoch is damaged")));
    }
    Ok(Some(Epoch(number(8))))
}

/// Begins another life of the log in which old positions are not valid: whenever it may hold other
/// events at old offsets, as after restoring a backup. The log must not be open.
///
/// # Errors
/// What the disk says; then the epoch is the old or the new one.
pub fn bump_epoch(disk: &dyn Disk, entropy: &dyn Entropy) -> PortResult<Epoch> {
    disk.create_dir(DIR).map_err(io("bump epoch"))?;
    let old = load(disk)?;
    loop {
        let mut bytes = [0; 4];
        entropy.fill(&mut bytes);
        let epoch = Epoch(u32::from_le_bytes(bytes));
        // Zero is what a forgotten field looks like.
        if epoch.0 != 0 && Some(epoch) != old {
            store(disk, epoch)?;
            return Ok(epoch);
        }
    }
}

/// Writes the epoch of one disk to another; gives the path.
pub(super) fn copy(from: &dyn Disk, to: &dyn Disk) -> PortResult<String> {
    if let Some(epoch) = load(from)? {
        store(to, epoch)?;
    }
    Ok(PATH.to_owned())
}

fn store(disk: &dyn Disk, epoch: Epoch) -> PortResult<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&epoch.0.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    replace(disk, PATH, &bytes).and_then(|()| disk.sync_dir(DIR)).map_err(io("write epoch"))
}

#[cfg(test)]
mod tests {
    use klatch_ports::ErrorKind;
    use klatch_testkit::SeededEntropy;

    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn a_bumped_epoch_is_another_one_and_survives_a_power_cut() {
        let (sim, entropy) = (SimDisk::new(1), SeededEntropy::new(1));
        assert_eq!(load(&*sim.disk()).unwrap(), None);
        let first = bump_epoch(&*sim.disk(), &entropy).unwrap();
        let second = bump_epoch(&*sim.disk(), &entropy).unwrap();
        assert_ne!(first, second);
        sim.power_cut();
        assert_eq!(load(&*sim.disk()).unwrap(), Some(second));
    }

    #[test]
    fn a_damaged_epoch_is_refused() {
        let (sim, entropy) = (SimDisk::new(1), SeededEntropy::new(1));
        bump_epoch(&*sim.disk(), &entropy).unwrap();
        sim.flip_bit(PATH, 9, 0);
        assert_eq!(load(&*sim.disk()).unwrap_err().kind, ErrorKind::Corrupt);
    }
}
