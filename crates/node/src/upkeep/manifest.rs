//! What is in a backup, with the checksum of every file: a line of JSON, then its own SHA-256.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use klatch_retention::{hex, read_sealed, write_sealed};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Its name. A directory without one is no backup, also after one that was broken off.
const NAME: &str = "MANIFEST";
/// Bytes hashed at once.
const PIECE: usize = 1 << 20;

/// Which half of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Half {
    /// Log, accounts, places of consumers.
    Data,
    /// Data keys and the ledger of erasures.
    Keys,
}

/// A half of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    /// Of this form.
    pub(super) format: u32,
    pub(super) half: Half,
    /// The version of Klatch that wrote it.
    pub(super) version: String,
    pub(super) created_at: String,
    /// The end of the log in it; in the half of the keys, the end of the log that they belong to.
    pub(super) position: String,
    pub(super) files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// From the backup's directory.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The form written now.
pub(super) const FORMAT: u32 = 1;

impl Manifest {
    /// Hashes `paths` below `dir`, which are synced, and writes the manifest beside them, whole or
    /// not at all.
    pub(super) fn write(mut self, dir: &Path, paths: &[String]) -> anyhow::Result<Self> {
        for path in paths {
            let (bytes, sha256) = hash(&dir.join(path), &mut |_| {})?;
            self.files.push(Entry { path: path.clone(), bytes, sha256 });
        }
        write_sealed(&dir.join(NAME), &self)?;
        Ok(self)
    }

    /// The manifest in `dir`; `None` when there is none.
    pub(super) fn find(dir: &Path) -> anyhow::Result<Option<Self>> {
        read_sealed(&dir.join(NAME), FORMAT)
    }

    /// The manifest of this half in `dir`.
    pub(super) fn read(dir: &Path, half: Half) -> anyhow::Result<Self> {
        match Self::find(dir)? {
            Some(manifest) if manifest.half == half => Ok(manifest),
            Some(_) => bail!("{} holds the other half of a backup", dir.display()),
            None => bail!("{} is no whole backup: it has no {NAME}", dir.display()),
        }
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Reads every file below `dir` and compares it; an error names the first that is not as it was
    /// written. `told` hears of the bytes read.
    pub(super) fn check(&self, dir: &Path, told: &mut dyn FnMut(u64)) -> anyhow::Result<()> {
        for Entry { path, bytes, sha256 } in &self.files {
            ensure!(is_below(path), "{path:?} is no path of a backup");
            let file = dir.join(path);
            let (found_bytes, found) = hash(&file, told)?;
            ensure!(
                (found_bytes, &found) == (*bytes, sha256),
                "{} is damaged: {found_bytes} bytes with SHA-256 {found}, the backup had {bytes} \
                 with {sha256}",
                file.display()
            );
        }
        Ok(())
    }
}

/// Whether a path stays below the directory it starts from.
fn is_below(path: &str) -> bool {
    use std::path::Component;
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn hash(path: &Path, told: &mut dyn FnMut(u64)) -> anyhow::Result<(u64, String)> {
    let reading = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(reading)?;
    let (mut sum, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece).with_context(reading)?;
        if read == 0 {
            return Ok((bytes, hex(&sum.finalize())));
        }
        sum.update(piece.get(..read).unwrap_or_default());
        bytes += read as u64;
        told(read as u64);
    }
}
