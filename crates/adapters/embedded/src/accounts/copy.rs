//! All rows of the accounts as a stream of bytes, for backups, and back.
//!
//! ```text
//! magic (8) | rows: key length u32, value length u32, key, value | u32::MAX | count of rows u64
//! ```

use std::io::{self, Read, Write};
use std::path::Path;

use fjall::Readable as _;
use klatch_ports::PortResult;

use super::{Accounts, Rows};
use crate::engine::{corrupt, failed, failed_io};

const MAGIC: &[u8; 8] = b"KLROWS\x00\x01";
/// Rows written back with one sync.
const BATCH: usize = 1_000;
/// No row comes near this.
const ROW_BYTES_MAX: u32 = 16 << 20;

impl Accounts {
    /// Writes all rows as of now to `out`; how many. What is written meanwhile is not in it.
    /// Blocks.
    ///
    /// # Errors
    /// What the disk or `out` says.
    pub fn dump(&self, out: &mut dyn Write) -> PortResult<u64> {
        let io = |error| failed_io("copying accounts", error);
        out.write_all(MAGIC).map_err(io)?;
        let mut count = 0_u64;
        let life = self.rows.life();
        for row in life.database.snapshot().iter(&life.keyspace) {
            let (key, value) = row.into_inner().map_err(failed("copying accounts"))?;
            for part in [&key, &value] {
                let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
                out.write_all(&length.to_le_bytes()).map_err(io)?;
            }
            out.write_all(&key).and_then(|()| out.write_all(&value)).map_err(io)?;
            count += 1;
        }
        out.write_all(&u32::MAX.to_le_bytes()).map_err(io)?;
        out.write_all(&count.to_le_bytes()).and_then(|()| out.flush()).map_err(io)?;
        Ok(count)
    }

    /// Makes accounts in `<dir>/accounts` of what [`Accounts::dump`] wrote, synced; how many rows.
    /// There must be none yet. Blocks.
    ///
    /// # Errors
    /// `Corrupt` when `from` is cut off or no such stream, or what the disk says.
    pub fn load(dir: &Path, from: &mut dyn Read) -> PortResult<u64> {
        let accounts = Self::open(dir)?;
        let io = |error| failed_io("restoring accounts", error);
        if read::<8>(from).map_err(io)? != *MAGIC {
            return Err(corrupt("restoring accounts", "this is no copy of accounts"));
        }
        let (mut count, mut rows) = (0_u64, Vec::with_capacity(BATCH));
        loop {
            let key = u32::from_le_bytes(read(from).map_err(io)?);
            if key == u32::MAX {
                break;
            }
            let value = u32::from_le_bytes(read(from).map_err(io)?);
            if key > ROW_BYTES_MAX || value > ROW_BYTES_MAX {
                return Err(corrupt("restoring accounts", "a row is longer than any can be"));
            }
            let row = (bytes(from, key).map_err(io)?, bytes(from, value).map_err(io)?);
            rows.push(row);
            count += 1;
            if rows.len() >= BATCH {
                put(&accounts.rows, &mut rows)?;
            }
        }
        put(&accounts.rows, &mut rows)?;
        if u64::from_le_bytes(read(from).map_err(io)?) != count {
            return Err(corrupt("restoring accounts", "rows are missing"));
        }
        Ok(count)
    }
}

fn put(rows: &Rows, pairs: &mut Vec<(Vec<u8>, Vec<u8>)>) -> PortResult<()> {
    let life = rows.life();
    let mut batch = fjall::OwnedWriteBatch::with_capacity(life.database.clone(), pairs.len())
        .durability(Some(fjall::PersistMode::SyncAll));
    for (key, value) in pairs.drain(..) {
        batch.insert(&life.keyspace, key, value);
    }
    batch.commit().map_err(failed("restoring accounts"))
}

fn read<const N: usize>(from: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bytes(from: &mut dyn Read, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
