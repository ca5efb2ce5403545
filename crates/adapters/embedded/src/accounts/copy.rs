//! All rows of the accounts as a stream of bytes, for backups, and back.

use std::io::{Read, Write};
use std::path::Path;

use fjall::Readable as _;
use klatch_ports::PortResult;

use super::{Accounts, Rows};
use crate::engine::failed;
use crate::engine::rows::{Pair, RowReader, RowWriter};

/// Rows written back with one sync.
const BATCH: usize = 1_000;

impl Accounts {
    /// Writes all rows as of now to `out`; how many. What is written meanwhile is not in it.
    /// Blocks.
    ///
    /// # Errors
    /// What the disk or `out` says.
    pub fn dump(&self, out: &mut dyn Write) -> PortResult<u64> {
        let mut writer = RowWriter::begin(out)?;
        let life = self.rows.life();
        for row in life.database.snapshot().iter(&life.keyspace) {
            let (key, value) = row.into_inner().map_err(failed("copying accounts"))?;
            writer.put(&key, &value)?;
        }
        writer.end()
    }

    /// Makes accounts in `<dir>/accounts` of what [`Accounts::dump`] wrote, synced; how many rows.
    /// There must be none yet. Blocks.
    ///
    /// # Errors
    /// `Corrupt` when `from` is cut off or no such stream, or what the disk says.
    pub fn load(dir: &Path, from: &mut dyn Read) -> PortResult<u64> {
        let accounts = Self::open(dir)?;
        let mut reader = RowReader::begin(from)?;
        let (mut count, mut rows) = (0_u64, Vec::with_capacity(BATCH));
        while let Some(row) = reader.next()? {
            rows.push(row);
            count += 1;
            if rows.len() >= BATCH {
                put(&accounts.rows, &mut rows)?;
            }
        }
        put(&accounts.rows, &mut rows)?;
        Ok(count)
    }
}

fn put(rows: &Rows, pairs: &mut Vec<Pair>) -> PortResult<()> {
    let life = rows.life();
    let mut batch = fjall::OwnedWriteBatch::with_capacity(life.database.clone(), pairs.len())
        .durability(Some(fjall::PersistMode::SyncAll));
    for (key, value) in pairs.drain(..) {
        batch.insert(&life.keyspace, key, value);
    }
    batch.commit().map_err(failed("restoring accounts"))
}
