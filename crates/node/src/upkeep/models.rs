//! `klatch verify` and `klatch rebuild`: read models beside the log that they come from.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use klatch_domain::Clock as _;
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::{Compared, Difference, ReadModel, Stores, StoresConfig};
use klatch_ports::Offset;
use klatch_ports::log::LogReader as _;
use klatch_pump::Replayed;
use klatch_retention::{Held, P0, Pace, Snapshot, end, fold, judge, run, start};
use serde::{Deserialize, Serialize};

use super::{ModelArgs, Which, bar, offline};
use crate::config::Config;
use crate::control;
use crate::host::{self, SystemClock};

/// Where `verify` builds what the log says; removed when it is done.
const SCRATCH: &str = "verify.tmp";
/// Lines that a server keeps of what it found; beyond, differences are only counted.
const LINES_MOST: usize = 10_000;

/// What is to be verified.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Words of the models, and `snapshot`.
    what: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verdict {
    /// For people.
    lines: Vec<String>,
    /// What is not as it should be.
    wrong: Vec<String>,
}

/// `klatch verify`.
pub(crate) fn verify(args: &ModelArgs) -> anyhow::Result<()> {
    let (config, dir) = offline::settings(&args.data)?;
    let wanted =
        Wanted { what: args.which().iter().map(|which| which.word().to_owned()).collect() };
    let bar = bar::counting(0, "events of the log read")?;
    let told = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let asked = run(async {
        match control::find(&dir).await? {
            Some(running) => running.ask("/verify", &wanted, &told).await.map(Some),
            None => Ok(None),
        }
    })??;
    let verdict = if let Some(answer) = asked {
        let verdict: Verdict = serde_json::from_value(answer)?;
        verdict.lines.iter().for_each(|line| host::say(line));
        verdict
    } else {
        verify_at_rest(&wanted, &config, &dir, &mut |done, total| told(done, total))?
    };
    bar.finish_and_clear();
    let first = verdict.wrong.first();
    let Some(first) = first else { return Ok(()) };
    let which = if verdict.wrong.len() == 1 { first } else { "" };
    bail!("not everything is as the log says; mend it with: klatch rebuild {which}");
}

fn verify_at_rest(
    wanted: &Wanted,
    config: &Config,
    dir: &Path,
    step: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Verdict> {
    let log = offline::open_log(config, dir)?;
    let stores = offline::open_stores(&log, dir);
    let snapshot = Snapshot::of(dir);
    let held = snapshot.hold();
    let here = Here { log: &log, dir, held: &held };
    let say = &mut Say { line: &mut |line| host::say(line), step };
    let verdict = here.verify(wanted, stores.as_ref(), &mut Pace::full(), say);
    log.close();
    Ok(verdict)
}

/// `klatch rebuild`.
pub(crate) fn rebuild(args: &ModelArgs) -> anyhow::Result<()> {
    let (config, dir) = offline::settings(&args.data)?;
    let log = offline::open_log(&config, &dir)?;
    let snapshot = Snapshot::of(&dir);
    let held = snapshot.hold();
    let here = Here { log: &log, dir: &dir, held: &held };
    for which in args.which_to_rebuild() {
        match which {
            Which::Model(model) => host::say(&here.make_again(model)?.summary(model)),
            Which::Snapshot => {
                let stores = offline::open_stores(&log, &dir)?;
                let made = here.renew(&stores)?;
                host::say(&made);
            }
        }
    }
    log.close();
    Ok(())
}

/// The answer of a server to [`Wanted`]: its read models as of one position each.
pub(crate) fn verify_live(
    wanted: &Wanted,
    (log, dir): (&Arc<EmbeddedLog>, &Path),
    (live, snapshot): (&Stores, &Snapshot),
    pace: &mut Pace,
    step: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Verdict> {
    let held = snapshot.try_hold();
    let held = held.context("a backup or a snapshot is being made: try again when it is done")?;
    let mut lines = Vec::new();
    let mut keep = |line: &str| {
        if lines.len() < LINES_MOST {
            lines.push(line.to_owned());
        }
    };
    let here = Here { log, dir, held: &held };
    let say = &mut Say { line: &mut keep, step };
    let verdict = here.verify(wanted, Ok(live), pace, say);
    Ok(Verdict { lines, ..verdict })
}

/// Where lines and steps go.
struct Say<'a> {
    line: &'a mut dyn FnMut(&str),
    step: &'a mut dyn FnMut(u64, u64),
}

/// A data directory with its log open.
pub(super) struct Here<'a> {
    pub(super) log: &'a Arc<EmbeddedLog>,
    pub(super) dir: &'a Path,
    pub(super) held: &'a Held<'a>,
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
    /// The snapshot that came first, and how far it goes.
    snapshot: Option<(u64, Offset)>,
    through: Offset,
    replayed: Replayed,
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoch, snapshot, through, replayed: Replayed { records, refused } } = self;
        match snapshot {
            None => write!(
                f,
                "the whole log, epoch {epoch:08x}, offsets 1 to {through}: {records} records"
            )?,
            Some((number, at)) => write!(
                f,
                "snapshot {number} up to offset {at}, and the log's tail, epoch {epoch:08x}, up to \
                 offset {through}: {records} records"
            )?,
        }
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

impl Here<'_> {
    fn verify(
        &self,
        wanted: &Wanted,
        stores: Result<&Stores, &anyhow::Error>,
        pace: &mut Pace,
        say: &mut Say<'_>,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        for which in Which::ALL.into_iter().filter(|which| wanted.names(*which)) {
            let word = which.word();
            let checked = match (which, stores) {
                (Which::Snapshot, _) => self.held.verify(pace).map(|found| {
                    let none =
                        || "snapshot: there is none yet; the log holds everything".to_owned();
                    (found.map_or_else(none, |manifest| manifest.summary()), true)
                }),
                (Which::Model(_), Err(error)) => Err(anyhow::anyhow!("{error:#}")),
                (Which::Model(model), Ok(stores)) => {
                    let line = &mut *say.line;
                    let told = |difference: &Difference| line(&format!("{word}  {difference}"));
                    let checked = self.check(stores, model, pace, told, &mut *say.step);
                    checked.map(|c| (c.summary(model), c.compared.differences == 0))
                }
            };
            let (line, is_right) = checked.unwrap_or_else(|error| {
                (format!("{word} could not be verified: {error:#}"), false)
            });
            (say.line)(&line);
            if !is_right {
                verdict.wrong.push(word.to_owned());
            }
        }
        verdict
    }

    /// Compares one model of `found` with what the log says up to the same position.
    pub(super) fn check(
        &self,
        found: &Stores,
        model: ReadModel,
        pace: &mut Pace,
        mut told: impl FnMut(&Difference),
        step: &mut dyn FnMut(u64, u64),
    ) -> anyhow::Result<Checked> {
        let scratch = self.dir.join(SCRATCH);
        remove(&scratch)?;
        let found = found.freeze(model);
        let position = found.position(P0)?;
        judge(self.log, position)?;
        let (expected, snapshot) = self.begin(&scratch, model, pace)?;
        if let Some((_, at)) = snapshot {
            ensure!(
                at <= position.offset,
                "its rows go up to offset {}, and those of the snapshot to {at}",
                position.offset
            );
        }
        let total = position.offset.0;
        let replayed = fold(self.log, (&expected, model), position.offset, pace, &mut |at| {
            step(at.0, total);
        })?;
        let compared = found.compare(
            &expected.freeze(model),
            &mut |difference| told(&difference),
            &mut |_| pace.breathe(),
        )?;
        drop(expected);
        remove(&scratch)?;
        let base = Base { epoch: position.epoch.0, snapshot, through: position.offset, replayed };
        Ok(Checked { compared, base })
    }

    /// Drops one model in the directory and makes it again, up to the end of the log.
    pub(super) fn make_again(&self, model: ReadModel) -> anyhow::Result<Rebuilt> {
        let (stores, snapshot) = self.begin(self.dir, model, &mut Pace::full())?;
        let end = end(self.log)?;
        let bar = bar::counting(end.0, &format!("events of the log read for {}", model.as_str()))?;
        let told = &mut |at: Offset| bar.set_position(at.0);
        let replayed = fold(self.log, (&stores, model), end, &mut Pace::full(), told)?;
        bar.finish_and_clear();
        let base = Base { epoch: self.log.epoch().0, snapshot, through: end, replayed };
        Ok(Rebuilt { base })
    }

    /// Stores in `dir` with one model as it was where the log begins: empty, or the snapshot's.
    fn begin(
        &self,
        dir: &Path,
        model: ReadModel,
        pace: &mut Pace,
    ) -> anyhow::Result<(Stores, Option<(u64, Offset)>)> {
        let snapshot = if start(self.log)? == Offset::ZERO {
            Stores::discard(dir, model)?;
            None
        } else {
            let (manifest, at) = self.held.fill(dir, model, pace)?;
            Some((manifest.number, at))
        };
        let config = StoresConfig { refuse_older: snapshot.is_some(), ..StoresConfig::default() };
        let stores = Stores::open(dir, config).context("opening the read models")?;
        Ok((stores, snapshot))
    }

    /// Makes the snapshot anew: from the log, if it holds everything, else from the read models.
    fn renew(&self, live: &Stores) -> anyhow::Result<String> {
        let now = SystemClock.now();
        let (made, base) = if start(self.log)? == Offset::ZERO {
            (self.held.advance(self.log, live, now, &mut Pace::full())?, "the whole log")
        } else {
            (self.held.renew(self.log, live, now)?, "the read models as they are")
        };
        Ok(format!("{}\n  base {base}", made.summary()))
    }
}

impl Wanted {
    fn names(&self, which: Which) -> bool {
        self.what.iter().any(|word| word == which.word())
    }
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}
