//! The file of wrapped data keys: a header's sector, then six slots of 80 bytes to a sector. A
//! slot of zeros is free. Slots are written and erased in place.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use klatch_domain::UserId;

use super::sector::{self, SECTOR};
use super::server::{NONCE, WRAPPED};

const MAGIC: &[u8; 8] = b"KLSLOTS\x01";
const SLOT: usize = 80;
const FIELDS: usize = 16 + NONCE + WRAPPED;
const PER_SECTOR: u64 = 6;

/// How many sectors the file grows by.
const GROWTH: u64 = 64;

/// Somebody's wrapped key.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) person: UserId,
    pub(super) nonce: [u8; NONCE],
    pub(super) wrapped: [u8; WRAPPED],
}

impl Slot {
    fn encode(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        sector::seal(&[&self.person.to_bytes(), &self.nonce, &self.wrapped], &mut out);
        out
    }

    /// `Err` when the bytes are neither a slot nor free.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, ()> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let fields = sector::unseal::<FIELDS>(bytes).ok_or(())?;
        let (person, rest) = fields.split_first_chunk::<16>().ok_or(())?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(())?;
        let wrapped = rest.first_chunk::<WRAPPED>().ok_or(())?;
        let person = UserId::from_bits(u128::from_be_bytes(*person));
        Ok(Some(Self { person, nonce: *nonce, wrapped: *wrapped }))
    }
}

/// Why slots could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SlotsError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the header of the slots file is damaged")]
    Header,
    #[error("slot {0} of the slots file is damaged")]
    Slot(u32),
}

/// The opened file.
pub(super) struct SlotsFile {
    file: File,
}

impl SlotsFile {
    /// Creates the file without slots, wrapped under the server key of this name.
    pub(super) fn create(path: &Path, key_name: [u8; 16]) -> io::Result<Self> {
        let file = sector::create(path)?;
        let mut header = [0; SECTOR];
        sector::seal(&[MAGIC, &key_name], &mut header);
        file.write_all_at(&header, 0)?;
        Ok(Self { file })
    }

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: sector::open(path)? })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The name of the server key its slots are wrapped under.
    pub(super) fn key_name(&self) -> Result<[u8; 16], SlotsError> {
        let header = sector::read(&self.file, 0)?;
        let fields = sector::unseal::<24>(&header).ok_or(SlotsError::Header)?;
        let (magic, name) = fields.split_first_chunk::<8>().ok_or(SlotsError::Header)?;
        if magic != MAGIC {
            return Err(SlotsError::Header);
        }
        name.first_chunk().copied().ok_or(SlotsError::Header)
    }

    /// How many slots there is room for.
    pub(super) fn room(&self) -> io::Result<u32> {
        let sectors = (self.file.metadata()?.len() / SECTOR as u64).saturating_sub(1);
        u32::try_from(sectors * PER_SECTOR).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    /// Makes room for more slots; durable with the next sync.
    pub(super) fn grow(&self) -> io::Result<()> {
        let sectors = self.file.metadata()?.len() / SECTOR as u64;
        self.file.set_len((sectors + GROWTH) * SECTOR as u64)
    }

    pub(super) fn read(&self, number: u32) -> Result<Option<Slot>, SlotsError> {
        let mut bytes = [0; SLOT];
        self.file.read_exact_at(&mut bytes, place(number))?;
        Slot::decode(&bytes).map_err(|()| SlotsError::Slot(number))
    }

    /// Writes or erases in place; not synced.
    pub(super) fn write(&self, number: u32, slot: Option<&Slot>) -> io::Result<()> {
        let bytes = slot.map_or([0; SLOT], Slot::encode);
        self.file.write_all_at(&bytes, place(number))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Writes all slots once more where they are, and syncs.
    pub(super) fn write_anew(&self) -> io::Result<()> {
        let mut sectors = vec![0; 128 * SECTOR];
        let (mut at, end) = (SECTOR as u64, self.file.metadata()?.len());
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(sectors.len());
            sectors.truncate(length);
            self.file.read_exact_at(&mut sectors, at)?;
            self.file.write_all_at(&sectors, at)?;
            at += length as u64;
        }
        self.sync()
    }

    /// All slots in order, free ones too.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(u32, Option<Slot>) -> Result<(), SlotsError>,
    ) -> Result<(), SlotsError> {
        let room = self.room()?;
        // Positioned reads, so that nobody else's place in the file moves.
        let mut reader =
            io::BufReader::with_capacity(128 * SECTOR, At { file: &self.file, at: SECTOR as u64 });
        let mut bytes = [0; SECTOR];
        let mut number = 0;
        while number < room {
            reader.read_exact(&mut bytes)?;
            for slot in bytes.chunks_exact(SLOT) {
                visit(number, Slot::decode(slot).map_err(|()| SlotsError::Slot(number))?)?;
                number += 1;
            }
        }
        Ok(())
    }

    /// Writes slots at the end of the file, a sector's worth at a time; for a file being made.
    pub(super) fn append(&self, out: &mut Vec<u8>, slot: Option<&Slot>) -> io::Result<()> {
        out.extend_from_slice(&slot.map_or([0; SLOT], Slot::encode));
        if out.len() % SECTOR == SLOT * 6 {
            out.resize(out.len().next_multiple_of(SECTOR), 0);
        }
        if out.len() >= 128 * SECTOR && out.len().is_multiple_of(SECTOR) {
            self.flush(out)?;
        }
        Ok(())
    }

    /// Writes what [`SlotsFile::append`] still holds; whole sectors.
    pub(super) fn flush(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        let mut at = At { file: &self.file, at: end };
        at.write_all(out)?;
        out.clear();
        Ok(())
    }
}

fn place(number: u32) -> u64 {
    let number = u64::from(number);
    (1 + number / PER_SECTOR) * SECTOR as u64 + number % PER_SECTOR * SLOT as u64
}

struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.at)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
