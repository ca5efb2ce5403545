//! The snapshot in backups: its rows as files, and back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use klatch_domain::Timestamp;
use klatch_embedded::stores::{ReadModel, Stores};
use klatch_ports::Epoch;

use super::{Held, P0, Part};
use crate::pace::Pace;

impl Held<'_> {
    /// Writes the rows to files in `to`, for a backup; gives their names.
    ///
    /// # Errors
    /// It is damaged, or what one of the disks says.
    pub fn dump(&self, to: &Path) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        let Some(manifest) = self.manifest()? else { return Ok(names) };
        let stores = self.open().map_err(|error| self.damaged(&format!("{error:#}")))?;
        for model in ReadModel::ALL {
            self.compare(&stores, &manifest, model, &mut Pace::full())?;
            let name = dump_name(model);
            let mut options = File::options();
            let file = options.write(true).create_new(true).mode(0o600).open(to.join(&name))?;
            let mut out = BufWriter::with_capacity(1 << 20, file);
            stores.freeze(model).dump(&mut out, &mut |_| Ok(()))?;
            out.get_ref().sync_all()?;
            names.push(name);
        }
        Ok(names)
    }

    /// Makes the snapshot of what [`Held::dump`] wrote to `from`, for the life `epoch` of the log.
    ///
    /// # Errors
    /// What one of the disks says.
    pub fn load(&self, from: &Path, epoch: Epoch, now: Timestamp) -> anyhow::Result<()> {
        for model in ReadModel::ALL {
            let path = from.join(dump_name(model));
            let file = File::open(&path).with_context(|| format!("reading {}", path.display()))?;
            let mut rows = BufReader::with_capacity(1 << 20, file);
            Stores::copy_dump(self.dir, model, &mut rows, epoch, &mut |_| Ok(()))?;
        }
        let (stores, mut models) = (self.open()?, BTreeMap::new());
        for model in ReadModel::ALL {
            let frozen = stores.freeze(model);
            let digest = frozen.digest(&mut |_| Ok(()))?;
            models.insert(model.as_str().to_owned(), Part::new(frozen.position(P0)?, digest));
        }
        self.write(1, epoch, now, models)?;
        Ok(())
    }
}

/// The file of one model's rows in a backup.
pub fn dump_name(model: ReadModel) -> String {
    format!("snapshot-{}.rows", model.as_str())
}
