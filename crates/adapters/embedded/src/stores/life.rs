//! The database that holds a store's rows from one wipe to the next.
//!
//! It lies in a directory whose name is a number. The highest number counts: making the next
//! directory is what wipes, whatever is lost of all else. Older ones are removed, at the latest
//! when the store is opened again, and before the newest is written to.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use fjall::config::BlockSizePolicy;
use fjall::{Database, Keyspace};
use klatch_ports::PortResult;

use super::layout::FORM;
use crate::engine::{self, Buffer, Sizes, Tail, failed_io};
use crate::files::Files;

const KEYSPACE: &str = "rows";

/// The form of the rows that this build writes. 2: every row follows from the log alone, however
/// it was cut into commits.
const FORM_NOW: &[u8] = &[2];

/// A database with one keyspace. Fields are dropped in their order: the files go last.
pub(super) struct Life {
    number: u64,
    keyspace: Keyspace,
    database: Database,
    files: Files,
}

impl Life {
    /// Opens the newest life in `parent`, or the first.
    pub(super) fn newest(parent: &Path, sizes: Sizes, buffer: &Buffer) -> PortResult<Self> {
        let number = remove_ended(parent).map_err(|error| failed_io("opening", error))?;
        Self::open(parent, number.unwrap_or(1), sizes, buffer)
    }

    /// Begins the next life: from here on this one is over, also after a crash.
    pub(super) fn next(&self, parent: &Path, sizes: Sizes, buffer: &Buffer) -> PortResult<Self> {
        Self::open(parent, self.number + 1, sizes, buffer)
    }

    fn open(parent: &Path, number: u64, sizes: Sizes, buffer: &Buffer) -> PortResult<Self> {
        let dir = parent.join(number.to_string());
        let database = engine::open(&dir, sizes, Tail::Replayable)?;
        let options = || {
            engine::options(buffer.fallback())
                .data_block_size_policy(BlockSizePolicy::all(8 * 1024))
        };
        let failed = engine::failed("opening");
        let keyspace = database.keyspace(KEYSPACE, options).map_err(&failed)?;
        if keyspace.first_key_value().is_none() {
            // The first row of the journal: whatever survives a crash, it does.
            keyspace.insert([FORM], FORM_NOW).map_err(&failed)?;
        }
        let files = Files::new(&dir, "wiped rows still take space");
        Ok(Self { number, keyspace, database, files })
    }

    /// Whether the rows are of the form that this build writes.
    pub(super) fn is_of_this_form(&self) -> PortResult<bool> {
        let form = self.keyspace.get([FORM]).map_err(engine::failed("opening"))?;
        Ok(form.is_some_and(|form| *form == *FORM_NOW))
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// Removes the files when the last reader has let go of them.
    pub(super) fn end(&self) {
        self.files.end();
    }
}

/// Removes all lives in `parent` but the newest, and gives its number.
fn remove_ended(parent: &Path) -> io::Result<Option<u64>> {
    let mut lives = Vec::new();
    match fs::read_dir(parent) {
        Ok(entries) => {
            for entry in entries {
                let name = entry?.file_name();
                lives.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let newest = lives.iter().copied().max();
    let ended: Vec<_> = lives.iter().filter(|number| Some(**number) != newest).collect();
    if !ended.is_empty() {
        // That the newest has its name may be what an earlier life failed to sync.
        File::open(parent)?.sync_all()?;
        for number in ended {
            fs::remove_dir_all(parent.join(number.to_string()))?;
        }
        // The newest may be made anew after this, and then must not be the older one.
        File::open(parent)?.sync_all()?;
    }
    Ok(newest)
}
