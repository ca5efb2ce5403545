//! What one simulated file holds: as it reads now, and as it is on the platter.

use std::collections::BTreeSet;

use super::{Random, SECTOR};

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What reading shows.
    current: Vec<u8>,
    /// What a power cut leaves at least.
    durable: Vec<u8>,
    /// Sectors that differ or may differ.
    dirty: BTreeSet<usize>,
}

/// How a power cut treats what was not synced.
#[derive(Clone, Copy)]
enum Loss {
    Everything,
    Nothing,
    AnySectors,
    AllAfterOneSector,
    /// As `AnySectors`, and a sector may hold its first part new and the rest old.
    TornSectors,
    /// As `AnySectors`, and a sector may hold garbage.
    SpoiltSectors,
}

const LOSSES: [Loss; 6] = [
    Loss::Everything,
    Loss::Nothing,
    Loss::AnySectors,
    Loss::AllAfterOneSector,
    Loss::TornSectors,
    Loss::SpoiltSectors,
];

/// What becomes of one sector.
enum Fate {
    Lost,
    Kept,
    /// So many bytes are new.
    Torn(usize),
    Spoilt,
}

impl Loss {
    fn fate(self, random: &mut Random, early: bool) -> Fate {
        match self {
            Self::Everything => return Fate::Lost,
            Self::Nothing => return Fate::Kept,
            Self::AllAfterOneSector => return if early { Fate::Kept } else { Fate::Lost },
            Self::AnySectors | Self::TornSectors | Self::SpoiltSectors => {}
        }
        match self {
            _ if random.coin() => Fate::Lost,
            Self::TornSectors => {
                let bytes = random.below(SECTOR as u64 + 1);
                Fate::Torn(usize::try_from(bytes).unwrap_or(SECTOR))
            }
            Self::SpoiltSectors if random.below(3) == 0 => Fate::Spoilt,
            _ => Fate::Kept,
        }
    }
}

impl Inode {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.current
    }

    pub(super) fn read(&self, into: &mut [u8], at: u64) -> usize {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(self.current.len());
        let rest = self.current.get(from..).unwrap_or(&[]);
        let len = rest.len().min(into.len());
        for (to, from) in into.iter_mut().zip(rest) {
            *to = *from;
        }
        len
    }

    pub(super) fn write(&mut self, from: &[u8], at: u64) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let end = at.saturating_add(from.len());
        let first_new = self.current.len().min(at);
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        if let Some(target) = self.current.get_mut(at..end) {
            target.copy_from_slice(from);
        }
        if !from.is_empty() {
            self.dirty.extend(first_new / SECTOR..end.div_ceil(SECTOR));
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.keep(sector);
        }
    }

    /// Some of it got through; the kernel forgets that the rest did not.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        for sector in std::mem::take(&mut self.dirty) {
            if random.coin() {
                if self.durable.len() < (sector + 1) * SECTOR {
                    self.durable.resize(self.current.len().min((sector + 1) * SECTOR), 0);
                }
                self.keep(sector);
            }
        }
    }

    pub(super) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.current);
        self.durable = self.current.clone();
        self.dirty.clear();
    }

    pub(super) fn power_cut(&mut self, random: &mut Random) {
        let index = usize::try_from(random.below(LOSSES.len() as u64)).unwrap_or(0);
        let loss = LOSSES.get(index).copied().unwrap_or(Loss::Everything);
        self.lose_length(loss, random);
        let dirty = std::mem::take(&mut self.dirty);
        let kept_until = random.below(dirty.len() as u64 + 1);
        for (count, sector) in dirty.into_iter().enumerate() {
            match loss.fate(random, (count as u64) < kept_until) {
                Fate::Lost => {}
                Fate::Kept => self.keep(sector),
                Fate::Torn(bytes) => self.keep_part(sector, bytes),
                Fate::Spoilt => self.spoil(sector, random),
            }
        }
        self.current = self.durable.clone();
    }

    /// How much of what the file grew by is there at all.
    fn lose_length(&mut self, loss: Loss, random: &mut Random) {
        let (old, new) = (self.durable.len(), self.current.len());
        let grown = new.saturating_sub(old) as u64;
        let kept = match loss {
            Loss::Everything => 0,
            Loss::Nothing => grown,
            _ => random.below(grown + 1),
        };
        self.durable.resize(old + usize::try_from(kept).unwrap_or(0), 0);
    }

    fn keep(&mut self, sector: usize) {
        self.keep_part(sector, SECTOR);
    }

    fn keep_part(&mut self, sector: usize, bytes: usize) {
        let from = sector * SECTOR;
        let end = (from + bytes).min(self.durable.len()).min(self.current.len());
        if let (Some(to), Some(from)) =
            (self.durable.get_mut(from..end), self.current.get(from..end))
        {
            to.copy_from_slice(from);
        }
    }

    fn spoil(&mut self, sector: usize, random: &mut Random) {
        let end = ((sector + 1) * SECTOR).min(self.durable.len());
        for byte in self.durable.get_mut(sector * SECTOR..end).into_iter().flatten() {
            *byte = random.next().to_le_bytes()[0];
        }
    }
}
