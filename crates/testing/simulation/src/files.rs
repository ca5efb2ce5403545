//! The files of the embedded read models and of their snapshot, over the lives of a machine.
//!
//! They are real files, since fjall knows no other disk. Each life gets a copy of what the one
//! before left, so that handles that outlive their life write where nobody reads. A power cut
//! leaves any part of each newest journal that holds at least what was synced; the suites of
//! `adapters/embedded` know more of what it may leave.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use klatch_soak::dice::Dice;
use parking_lot::Mutex;
use rustix::fs::SeekFrom;
use tempfile::TempDir;

/// What the end of a life leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All that was written.
    All,
    /// What was synced, and of the rest what a power cut leaves.
    Cut,
}

/// Files that are synced together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The read models.
    Models,
    /// The copy of them that lets the log forget.
    Snapshot,
}

impl Part {
    fn dir(self) -> &'static str {
        match self {
            Self::Models => "stores",
            Self::Snapshot => "snapshot",
        }
    }
}

/// The files of all lives.
#[derive(Debug)]
pub(crate) struct Files {
    dir: TempDir,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    life: u32,
    /// Bytes of journals that are durable, by path from the life's directory.
    synced: BTreeMap<PathBuf, u64>,
    dice: Dice,
}

impl Files {
    pub(crate) fn new(dice: Dice) -> io::Result<Self> {
        // Where syncs cost nothing, if there is such a place: no power is cut but by chance here.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        fs::create_dir(dir.path().join("0"))?;
        let state = Mutex::new(State { life: 0, synced: BTreeMap::new(), dice });
        Ok(Self { dir, state })
    }

    /// The directory of the running life.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().join(self.state.lock().life.to_string())
    }

    /// Everything that was written to a part up to now is durable.
    pub(crate) fn synced(&self, part: Part) -> io::Result<()> {
        let root = self.dir();
        let mut found = Vec::new();
        walk(&root.join(part.dir()), &mut found)?;
        let mut state = self.state.lock();
        for path in found.into_iter().filter(|path| is_journal(path)) {
            let bytes = data(&path)?.len() as u64;
            let from_root = path.strip_prefix(&root).unwrap_or(&path).to_owned();
            state.synced.insert(from_root, bytes);
        }
        Ok(())
    }

    /// The directory of the next life, with what this one left.
    pub(crate) fn next(&self, left: Left) -> io::Result<()> {
        let from = self.dir();
        let mut state = self.state.lock();
        state.life += 1;
        let to = self.dir.path().join(state.life.to_string());
        fs::create_dir(&to)?;
        let mut found = Vec::new();
        walk(&from, &mut found)?;
        for path in &found {
            let from_root = path.strip_prefix(&from).unwrap_or(path);
            let target = to.join(from_root);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            if !is_journal(path) {
                fs::copy(path, target)?;
                continue;
            }
            let mut bytes = data(path)?;
            // Older ones were synced before the next was begun.
            let is_newest = !found.iter().any(|other| is_newer_journal(other, path));
            if left == Left::Cut && is_newest {
                let sure = state.synced.get(from_root).copied().unwrap_or(0);
                let rest = (bytes.len() as u64).saturating_sub(sure);
                let kept = match state.dice.below(4) {
                    0 => 0,
                    1 => rest,
                    _ => state.dice.below(rest + 1),
                };
                bytes.truncate(usize::try_from(sure + kept).unwrap_or(usize::MAX));
            }
            fs::write(target, bytes)?;
        }
        Ok(())
    }

    /// The read models are gone.
    pub(crate) fn lose_models(&self) -> io::Result<()> {
        let dir = Part::Models.dir();
        self.state.lock().synced.retain(|path, _| !path.starts_with(dir));
        match fs::remove_dir_all(self.dir().join(dir)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    // Directories tell names in no order, and chance is thrown for each.
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn is_journal(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("jnl"))
}

fn is_newer_journal(other: &Path, than: &Path) -> bool {
    let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
    is_journal(other) && other.parent() == than.parent() && number(other) > number(than)
}

/// A journal without the hole that fjall reserves behind its end.
fn data(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let hole = match rustix::fs::seek(&file, SeekFrom::Hole(0)) {
        Ok(hole) => hole.min(length),
        Err(rustix::io::Errno::NXIO) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut bytes = vec![0; usize::try_from(hole).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    Ok(bytes)
}
