//! A read model as of one moment: looked through, compared, copied, while the store goes on.

use std::io::{Read, Write};
use std::path::Path;

use klatch_ports::messages::Applied;
use klatch_ports::{Epoch, Partition, PortResult};
use xxhash_rust::xxh3::Xxh3;

use super::layout::{FORM, POSITION};
use super::{ReadModel, Rows, Stores, StoresConfig, View, compare, layout, row};
use crate::engine::rows::{Pair, RowReader, RowWriter};
use crate::engine::{corrupt, failed};
use crate::stores::compare::{Compared, Difference};

/// After so many rows whoever waits is told how far it is.
const TELL_EVERY: u64 = 1_000;
/// Rows of a copy that are committed together.
const BATCH: usize = 2_000;

/// Is told how many rows were looked at, now and then; an error ends the work with it.
pub type Told<'a> = &'a mut dyn FnMut(u64) -> PortResult<()>;

/// All rows of one read model as of one finished commit. Keeps their versions on the disk while it
/// lives.
pub struct Frozen {
    model: ReadModel,
    view: View,
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen").field("model", &self.model).finish_non_exhaustive()
    }
}

/// What all rows together are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many there are.
    pub rows: u64,
    /// XXH3-128 over their keys and values, in their order.
    pub digest: u128,
}

impl Stores {
    /// The rows of one model as they are now.
    pub fn freeze(&self, model: ReadModel) -> Frozen {
        Frozen { model, view: self.rows(model).own_view() }
    }

    /// Makes everything that was committed durable, which commits themselves do not. Blocks.
    ///
    /// # Errors
    /// What the disk says; opening the stores again then shows what is there.
    pub fn persist(&self) -> PortResult<()> {
        ReadModel::ALL.into_iter().try_for_each(|model| self.rows(model).persist())
    }

    /// Makes one model in `<dir>/stores` of the rows in `frozen`, durably. Nobody may have it open,
    /// and what was there is gone. Blocks. What a crash leaves has no position, and is begun anew
    /// by doing it again.
    ///
    /// # Errors
    /// What one of the disks says, or `told`.
    pub fn copy_frozen(dir: &Path, frozen: &Frozen, told: Told<'_>) -> PortResult<()> {
        let mut rows = frozen.view.prefix(&[]);
        let mut next = || match rows.next() {
            Some(guard) => {
                let (key, value) = View::pair(guard)?;
                Ok(Some((key.to_vec(), value.to_vec())))
            }
            None => Ok(None),
        };
        fill(dir, frozen.model, &mut next, None, told)
    }

    /// As [`Stores::copy_frozen`], from what [`Frozen::dump`] wrote; its positions are of `epoch`
    /// from now on.
    ///
    /// # Errors
    /// `Corrupt` when `from` is cut off or no such stream, or what the disk or `told` says.
    pub fn copy_dump(
        dir: &Path,
        model: ReadModel,
        from: &mut dyn Read,
        epoch: Epoch,
        told: Told<'_>,
    ) -> PortResult<()> {
        let mut reader = RowReader::begin(from)?;
        fill(dir, model, &mut || reader.next(), Some(epoch), told)
    }
}

impl Frozen {
    /// Which model.
    pub fn model(&self) -> ReadModel {
        self.model
    }

    /// How far the rows go.
    ///
    /// # Errors
    /// What the disk says.
    pub fn position(&self, partition: Partition) -> PortResult<Applied> {
        let stored = self.view.get(&layout::position(partition))?;
        Ok(stored.map(|bytes| row::decode_position(&bytes)).transpose()?.unwrap_or_default())
    }

    /// Compares the rows with those of `expected`, built from the same log up to the same position,
    /// and tells each difference in the order of keys. Blocks: reads all rows of both.
    ///
    /// # Errors
    /// What the disk or `told` says; `Corrupt` when rows cannot be read at all.
    pub fn compare(
        &self,
        expected: &Self,
        differs: &mut dyn FnMut(Difference),
        told: Told<'_>,
    ) -> PortResult<Compared> {
        compare::compare(&self.view, &expected.view, differs, told)
    }

    /// Reads all rows. Blocks.
    ///
    /// # Errors
    /// As [`Frozen::compare`].
    pub fn digest(&self, told: Told<'_>) -> PortResult<Digest> {
        let (mut digest, mut hash) = (Digest::default(), Xxh3::new());
        for guard in self.view.prefix(&[]) {
            let (key, value) = View::pair(guard)?;
            compare::count_in(&mut hash, &key, &value);
            digest.rows += 1;
            if digest.rows.is_multiple_of(TELL_EVERY) {
                told(digest.rows)?;
            }
        }
        Ok(Digest { digest: hash.digest128(), ..digest })
    }

    /// Writes all rows to `out`, and tells what they are. Blocks.
    ///
    /// # Errors
    /// What the disk, `out` or `told` says.
    pub fn dump(&self, out: &mut dyn Write, told: Told<'_>) -> PortResult<Digest> {
        let mut writer = RowWriter::begin(out)?;
        let (mut rows, mut hash) = (0_u64, Xxh3::new());
        for guard in self.view.prefix(&[]) {
            let (key, value) = View::pair(guard)?;
            compare::count_in(&mut hash, &key, &value);
            writer.put(&key, &value)?;
            rows += 1;
            if rows.is_multiple_of(TELL_EVERY) {
                told(rows)?;
            }
        }
        writer.end()?;
        Ok(Digest { rows, digest: hash.digest128() })
    }
}

type Source<'a> = &'a mut dyn FnMut() -> PortResult<Option<Pair>>;

/// Writes rows into an empty store, their positions last, so that rows without a position are what
/// was broken off.
fn fill(
    dir: &Path,
    model: ReadModel,
    source: Source<'_>,
    epoch: Option<Epoch>,
    told: Told<'_>,
) -> PortResult<()> {
    Stores::discard(dir, model)?;
    let rows = Rows::open_model(dir, model, StoresConfig::default())?;
    let form = rows.own_view().get(&[FORM])?;
    let (mut positions, mut waiting, mut count) = (Vec::new(), Vec::with_capacity(BATCH), 0_u64);
    while let Some((key, value)) = source()? {
        match key.first() {
            Some(&POSITION) => {
                let applied = row::decode_position(&value)?;
                let applied = Applied { epoch: epoch.unwrap_or(applied.epoch), ..applied };
                positions.push((key, row::encode_position(applied)));
            }
            Some(&FORM) if form.as_deref() != Some(value.as_slice()) => {
                return Err(corrupt("copying rows", "they were written by another build"));
            }
            Some(&FORM) => {}
            _ => waiting.push((key, value)),
        }
        count += 1;
        if count.is_multiple_of(TELL_EVERY) {
            told(count)?;
        }
        if waiting.len() >= BATCH {
            put(&rows, &mut waiting)?;
        }
    }
    put(&rows, &mut waiting)?;
    // In this order on the disk: a position speaks of rows that are there.
    rows.persist()?;
    put(&rows, &mut positions)?;
    rows.persist()
}

fn put(rows: &Rows, pairs: &mut Vec<Pair>) -> PortResult<()> {
    let life = std::sync::Arc::clone(&rows.life.read());
    let (count, mut bytes) = (pairs.len(), 0);
    let mut batch = fjall::OwnedWriteBatch::with_capacity(life.database().clone(), count)
        .durability(Some(fjall::PersistMode::Buffer));
    for (key, value) in pairs.drain(..) {
        bytes += key.len() + value.len();
        batch.insert(life.keyspace(), key, value);
    }
    batch.commit().map_err(failed("copying rows"))?;
    rows.buffer.count(life.keyspace(), count, bytes)
}
