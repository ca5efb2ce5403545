//! `klatch verify` and `klatch rebuild`: read models beside the log that they come from.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::{Compared, Difference, ReadModel, Stores, StoresConfig};
use klatch_ports::log::LogReader;
use klatch_ports::messages::{Applied, MessageReader as _};
use klatch_ports::metadata::MetadataProgress as _;
use klatch_ports::{Offset, Partition};
use klatch_pump::{Projector, Replayed, replay};
use klatch_workers::{MessageWriterProjector, MetaWriterProjector};

use super::{ModelArgs, bar, offline};
use crate::host;

/// Where `verify` builds what the log says; removed when it is done.
const SCRATCH: &str = "verify.tmp";
/// An embedded log has one partition.
pub(super) const P0: Partition = Partition(0);

/// `klatch verify`.
pub(crate) fn verify(args: &ModelArgs) -> anyhow::Result<()> {
    let (config, dir) = offline::settings(&args.data)?;
    let log = offline::open_log(&config, &dir)?;
    let mut wrong = Vec::new();
    for model in args.models() {
        let say = |difference: &Difference| {
            host::say(&format!("{}  {difference}", model.as_str()));
        };
        match check(&log, &dir, model, say) {
            Ok(checked) => {
                host::say(&checked.summary(model));
                if checked.compared.differences > 0 {
                    wrong.push(model.as_str());
                }
            }
            Err(error) => {
                host::complain(&error.context(format!("{} could not be verified", model.as_str())));
                wrong.push(model.as_str());
            }
        }
    }
    log.close();
    if let [first, ..] = wrong.as_slice() {
        let which = if wrong.len() == 1 { *first } else { "" };
        bail!("not everything is as the log says; mend it with: klatch rebuild {which}");
    }
    Ok(())
}

/// `klatch rebuild`.
pub(crate) fn rebuild(args: &ModelArgs) -> anyhow::Result<()> {
    let (config, dir) = offline::settings(&args.data)?;
    let log = offline::open_log(&config, &dir)?;
    for model in args.models() {
        let rebuilt = make_again(&log, &dir, model)?;
        host::say(&rebuilt.summary(model));
    }
    log.close();
    Ok(())
}

/// What `verify` found in one model.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) compared: Compared,
    base: Base,
}

/// What the log says was made from.
#[derive(Debug)]
struct Base {
    epoch: u32,
    through: Offset,
    replayed: Replayed,
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoch, through, replayed: Replayed { records, refused } } = self;
        write!(f, "the whole log, epoch {epoch:08x}, offsets 1 to {through}: {records} records")?;
        if *refused > 0 {
            write!(f, ", {refused} that cannot be applied left out")?;
        }
        Ok(())
    }
}

impl Checked {
    fn summary(&self, model: ReadModel) -> String {
        let Compared { rows, differences, digest } = self.compared;
        let verdict = match differences {
            0 => "all as the log says".to_owned(),
            1 => "1 difference".to_owned(),
            many => format!("{many} differences"),
        };
        format!(
            "{}: {rows} rows, {verdict}\n  base {}\n  digest {digest:032x}",
            model.as_str(),
            self.base
        )
    }
}

/// What `rebuild` made.
#[derive(Debug)]
pub(super) struct Rebuilt {
    base: Base,
}

impl Rebuilt {
    fn summary(&self, model: ReadModel) -> String {
        format!("{}: rebuilt\n  base {}", model.as_str(), self.base)
    }
}

/// Compares one model in `dir` with what the log says up to the same position.
pub(super) fn check(
    log: &Arc<EmbeddedLog>,
    dir: &Path,
    model: ReadModel,
    mut told: impl FnMut(&Difference),
) -> anyhow::Result<Checked> {
    let scratch = dir.join(SCRATCH);
    remove(&scratch)?;
    let found = Stores::open(dir, StoresConfig::default()).context("opening the read models")?;
    let position = run(position(&found, model))??;
    judge(log, position)?;
    let expected = Stores::open(&scratch, StoresConfig::default())?;
    let replayed = fold(log, &expected, model, position.offset)?;
    let compared = found.compare(model, &expected, &mut |difference| told(&difference))?;
    drop(expected);
    remove(&scratch)?;
    let base = Base { epoch: position.epoch.0, through: position.offset, replayed };
    Ok(Checked { compared, base })
}

/// Drops one model in `dir` and makes it again, up to the end of the log.
pub(super) fn make_again(
    log: &Arc<EmbeddedLog>,
    dir: &Path,
    model: ReadModel,
) -> anyhow::Result<Rebuilt> {
    Stores::discard(dir, model)?;
    let stores = Stores::open(dir, StoresConfig::default()).context("opening the read models")?;
    let end = run(log.end(klatch_ports::StreamId::Messages, P0))??;
    let replayed = fold(log, &stores, model, end)?;
    let base = Base { epoch: log.epoch().0, through: end, replayed };
    Ok(Rebuilt { base })
}

/// Whether rows at `position` can be compared with this log at all.
fn judge(log: &Arc<EmbeddedLog>, position: Applied) -> anyhow::Result<()> {
    if position.offset == Offset::ZERO {
        return Ok(());
    }
    if position.epoch != log.epoch() {
        bail!(
            "its rows come from another life of the log (epoch {:08x}, the log is in {:08x})",
            position.epoch.0,
            log.epoch().0
        );
    }
    let end = run(log.end(klatch_ports::StreamId::Messages, P0))??;
    if position.offset > end {
        bail!("its rows go up to offset {}, the log ends at {end}", position.offset);
    }
    Ok(())
}

async fn position(stores: &Stores, model: ReadModel) -> anyhow::Result<Applied> {
    Ok(match model {
        ReadModel::Messages => stores.messages.applied(P0).await?,
        ReadModel::Metadata => stores.metadata.applied(P0).await?,
    })
}

/// Folds the log from where the model is up to `to`.
fn fold(
    log: &Arc<EmbeddedLog>,
    stores: &Stores,
    model: ReadModel,
    to: Offset,
) -> anyhow::Result<Replayed> {
    let (messages, metadata) = (stores.messages.clone(), stores.metadata.clone());
    let projector: Box<dyn Projector> = match model {
        ReadModel::Messages => Box::new(MessageWriterProjector::new(messages.clone(), messages)),
        ReadModel::Metadata => Box::new(MetaWriterProjector::new(metadata.clone(), metadata)),
    };
    let bar = bar::counting(to.0, &format!("events of the log read for {}", model.as_str()))?;
    let told = |at: Offset| bar.set_position(at.0);
    let replayed = run(replay(&*projector, P0, &**log, to, told))??;
    bar.finish_and_clear();
    Ok(replayed)
}

/// Runs to the end on a runtime of its own: these commands do one thing after the other.
pub(super) fn run<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}
