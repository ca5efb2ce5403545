//! Rows as a stream of bytes, for backups, and back.
//!
//! ```text
//! magic (8) | rows: key length u32, value length u32, key, value | u32::MAX | count of rows u64
//! ```

use std::io::{self, Read, Write};

use klatch_ports::PortResult;

use super::{corrupt, failed_io};

const MAGIC: &[u8; 8] = b"KLROWS\x00\x01";
/// No row comes near this.
const ROW_BYTES_MAX: u32 = 16 << 20;

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Writes rows.
pub(crate) struct RowWriter<'a> {
    out: &'a mut dyn Write,
    count: u64,
}

impl<'a> RowWriter<'a> {
    pub(crate) fn begin(out: &'a mut dyn Write) -> PortResult<Self> {
        out.write_all(MAGIC).map_err(copying)?;
        Ok(Self { out, count: 0 })
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> PortResult<()> {
        for part in [key, value] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.out.write_all(&length.to_le_bytes()).map_err(copying)?;
        }
        self.count += 1;
        self.out.write_all(key).and_then(|()| self.out.write_all(value)).map_err(copying)
    }

    /// How many there were.
    pub(crate) fn end(self) -> PortResult<u64> {
        let Self { out, count } = self;
        let end = out.write_all(&u32::MAX.to_le_bytes());
        end.and_then(|()| out.write_all(&count.to_le_bytes()))
            .and_then(|()| out.flush())
            .map_err(copying)?;
        Ok(count)
    }
}

fn copying(error: io::Error) -> klatch_ports::PortError {
    failed_io("copying rows", error)
}

fn restoring(error: io::Error) -> klatch_ports::PortError {
    failed_io("restoring rows", error)
}

/// Reads rows that a [`RowWriter`] wrote.
pub(crate) struct RowReader<'a> {
    from: &'a mut dyn Read,
    count: u64,
}

impl<'a> RowReader<'a> {
    /// # Errors
    /// `Corrupt` when `from` is no such stream, or what it says.
    pub(crate) fn begin(from: &'a mut dyn Read) -> PortResult<Self> {
        if read::<8>(from).map_err(restoring)? != *MAGIC {
            return Err(corrupt("restoring rows", "this is no copy of rows"));
        }
        Ok(Self { from, count: 0 })
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// `Corrupt` when the stream is cut off, or what it says.
    pub(crate) fn next(&mut self) -> PortResult<Option<Pair>> {
        let key = u32::from_le_bytes(read(self.from).map_err(restoring)?);
        if key == u32::MAX {
            let count = u64::from_le_bytes(read(self.from).map_err(restoring)?);
            if count != self.count {
                return Err(corrupt("restoring rows", "rows are missing"));
            }
            return Ok(None);
        }
        let value = u32::from_le_bytes(read(self.from).map_err(restoring)?);
        if key > ROW_BYTES_MAX || value > ROW_BYTES_MAX {
            return Err(corrupt("restoring rows", "a row is longer than any can be"));
        }
        self.count += 1;
        let key = bytes(self.from, key).map_err(restoring)?;
        Ok(Some((key, bytes(self.from, value).map_err(restoring)?)))
    }
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
