//! The ledger of erasures: a text file that is only added to, one line a person, for example
//! `2026-11-21T10:04:05.678Z 018bcfe5-6800-7000-8000-000000000001`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::UserId;
use klatch_ports::erasures::{Erasure, ErasureLedger};
use klatch_ports::{ErrorKind, PortError, PortResult};
use parking_lot::Mutex;

use crate::engine::{blocking, create_durably, kind_of};

/// A ledger in a file.
#[derive(Clone, Debug)]
pub struct LedgerFile {
    path: PathBuf,
    /// Held while adding: whether all that can be read is on the disk. It is not known of what an
    /// earlier life of the process wrote, nor after a sync that failed, of which later ones tell
    /// nothing: then all of it is written once more.
    certain: Arc<Mutex<bool>>,
}

impl LedgerFile {
    /// The ledger in this file; it and its directory are made with the first entry.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), certain: Arc::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All entries, oldest first; none when there is no file. Blocks.
    ///
    /// # Errors
    /// `Corrupt` names the line that is no entry, or what the disk says. A last line without its
    /// end is one that was never acknowledged.
    pub fn read(&self) -> PortResult<Vec<Erasure>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(&error)),
        };
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        let lines = whole.lines().enumerate().filter(|(_, line)| !line.is_empty());
        lines.map(|(index, line)| parse(line).ok_or_else(|| self.damaged(index + 1))).collect()
    }

    /// Adds those of `erasures` whose people are not in it yet, and sees to it that all are in it
    /// durably. Blocks; the first time, and after a failure, it writes the whole file: some sixty
    /// bytes a person.
    ///
    /// # Errors
    /// As [`LedgerFile::read`].
    pub fn add_all(&self, erasures: &[Erasure]) -> PortResult<()> {
        let mut certain = self.certain.lock();
        let known = self.read()?;
        let mut new = String::new();
        for Erasure { user, at } in erasures {
            let line = format!("{at} {user}\n");
            if known.iter().all(|known| known.user != *user) && !new.contains(&line) {
                new.push_str(&line);
            }
        }
        let nothing = new.is_empty() && (*certain || known.is_empty());
        if nothing {
            return Ok(());
        }
        let only_new = std::mem::take(&mut *certain);
        self.append(&new, only_new).map_err(|error| self.failed(&error))?;
        *certain = true;
        Ok(())
    }

    /// Writes `lines` behind the last whole one, and what is in front of them unless `only_new`.
    fn append(&self, lines: &str, only_new: bool) -> io::Result<()> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        create_durably(parent)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&self.path)?;
        let mut text = whole_lines(&self.path)?;
        let end = text.len();
        // What a crash left of a line was never acknowledged.
        file.set_len(end as u64)?;
        text.extend_from_slice(lines.as_bytes());
        let from = if only_new { end } else { 0 };
        file.write_all_at(text.get(from..).unwrap_or_default(), from as u64)?;
        file.sync_all()?;
        File::open(parent)?.sync_all()
    }

    fn failed(&self, error: &io::Error) -> PortError {
        let kind = kind_of(error);
        let why = format!("{}: {error}", self.path.display());
        PortError::new(kind, "erasures", "using the ledger").because(why)
    }

    fn damaged(&self, line: usize) -> PortError {
        let why = format!("{}, line {line}: this is no entry", self.path.display());
        PortError::new(ErrorKind::Corrupt, "erasures", "reading the ledger").because(why)
    }
}

/// The file up to the end of the last whole line.
fn whole_lines(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = std::fs::read(path)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes.truncate(end);
    Ok(bytes)
}

fn parse(line: &str) -> Option<Erasure> {
    let (at, user) = line.split_once(' ')?;
    Some(Erasure { user: user.parse::<UserId>().ok()?, at: at.parse().ok()? })
}

#[async_trait]
impl ErasureLedger for LedgerFile {
    async fn add(&self, erasure: Erasure) -> PortResult<()> {
        let ledger = self.clone();
        blocking("adding to the ledger", move || ledger.add_all(&[erasure])).await
    }

    async fn entries(&self) -> PortResult<Vec<Erasure>> {
        let ledger = self.clone();
        blocking("reading the ledger", move || ledger.read()).await
    }
}

#[cfg(test)]
mod tests {
    use klatch_domain::Timestamp;

    use super::*;

    fn erasure(n: u64) -> Erasure {
        let user = UserId::from_bits(0x018b_cfe5_6800_7000_8000_0000_0000_0000 + u128::from(n));
        Erasure { user, at: Timestamp(1_700_000_000_000 + n) }
    }

    #[test]
    fn entries_read_back_in_order_and_nobody_is_in_it_twice() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = LedgerFile::new(dir.path().join("apart/erasures"));
        assert_eq!(ledger.read().unwrap(), []);
        ledger.add_all(&[erasure(2), erasure(1), erasure(2)]).unwrap();
        ledger.add_all(&[erasure(1), erasure(3)]).unwrap();
        assert_eq!(ledger.read().unwrap(), [erasure(2), erasure(1), erasure(3)]);
    }

    #[test]
    fn a_torn_line_was_never_acknowledged_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = LedgerFile::new(dir.path().join("erasures"));
        ledger.add_all(&[erasure(1)]).unwrap();
        let whole = std::fs::read_to_string(ledger.path()).unwrap();
        std::fs::write(ledger.path(), format!("{whole}2026-11-2")).unwrap();
        assert_eq!(ledger.read().unwrap(), [erasure(1)]);
        ledger.add_all(&[erasure(2)]).unwrap();
        assert_eq!(ledger.read().unwrap(), [erasure(1), erasure(2)]);
        std::fs::write(ledger.path(), format!("{whole}nobody\n")).unwrap();
        let error = ledger.read().unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
