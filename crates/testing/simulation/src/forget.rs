//! Forgetting in a life: rounds of the real code in virtual time, and what must be so after each.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use klatch_auth::AuditLog;
use klatch_embedded::stores::{Stores, StoresConfig};
use klatch_log::EmbeddedLog;
use klatch_log::disk::sim::SimDisk;
use klatch_ports::log::LogReader as _;
use klatch_ports::{ErrorKind, Offset, Partition, PortError, StreamId};
use klatch_retention::{Behind, Manifest, Pace, Retention, Snapshot, is_stopped, stores_for};
use klatch_soak::dice::Dice;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::clerk;
use crate::files::{Files, Part};
use crate::machine::Machine;

/// How long the log keeps what is appended, as a server does that is told nothing else.
const KEPT_FOR: Duration = Duration::from_hours(24 * 30);
const P0: Partition = Partition(0);
const ROWS: StreamId = StreamId::Messages;

/// What came of forgetting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Times that the log forgot something.
    pub times: u32,
    /// Segments that are gone.
    pub segments: u32,
    /// Rounds that ended with the life before they had made a snapshot.
    pub broken_off: u32,
    /// Rounds after whose snapshot the life ended.
    pub unused: u32,
    /// The power went when forgetting had made a change on the disk, and before it had made all.
    pub cuts: u32,
    /// The disk refused a change that forgetting makes on it.
    pub refused: u32,
    /// Read models were lost and made of the snapshot and the log's tail.
    pub made_of_snapshots: u32,
}

impl Forgotten {
    /// These and others.
    pub fn add(&mut self, other: Self) {
        self.times += other.times;
        self.segments += other.segments;
        self.broken_off += other.broken_off;
        self.unused += other.unused;
        self.cuts += other.cuts;
        self.refused += other.refused;
        self.made_of_snapshots += other.made_of_snapshots;
    }
}

/// Opens the read models of a life as a server does. They may have to be made of the snapshot.
pub(crate) fn open_models(
    machine: &Machine,
    files: &Files,
    log: &Arc<EmbeddedLog>,
) -> Result<Stores> {
    let (dir, start) = (files.dir(), on_a_thread(|| klatch_retention::start(log))?);
    let are_lost = !dir.join("stores").exists();
    let config = StoresConfig { in_place: true, ..StoresConfig::default() };
    let stores = on_a_thread(|| stores_for(log, &dir, &Snapshot::of(&dir), config))?;
    if are_lost && start > Offset::ZERO {
        files.synced(Part::Models)?;
        machine.forgotten.lock().made_of_snapshots += 1;
    }
    Ok(stores)
}

/// The job of one life.
pub(crate) struct Forgetter {
    machine: Arc<Machine>,
    retention: Retention,
    audit: Arc<AuditLog>,
    stop: CancellationToken,
    dice: Mutex<Dice>,
    /// Power cuts before this life.
    cuts: u64,
}

impl Forgetter {
    pub(crate) fn new(
        machine: &Arc<Machine>,
        (log, live): (&Arc<EmbeddedLog>, Stores),
        audit: Arc<AuditLog>,
        (stop, dice): (CancellationToken, Dice),
    ) -> Option<Arc<Self>> {
        let snapshot = Snapshot::of(&machine.files.as_ref()?.dir());
        let clock = Arc::clone(&machine.clock) as _;
        let log = Arc::clone(log);
        let retention = Retention { log, live, snapshot, clock, kept_for: KEPT_FOR };
        let (machine, dice, cuts) =
            (Arc::clone(machine), Mutex::new(dice), machine.disk.power_cuts());
        Some(Arc::new(Self { machine, retention, audit, stop, dice, cuts }))
    }

    /// Looks for work now and then, as the server's job does.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let wait = self.dice.lock().millis(200, 1_500);
            if self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            let Some(covered) = self.cover(&mut Pace::full()) else { continue };
            // Others go on between the two steps.
            let pause = self.dice.lock().millis(0, 100);
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                self.machine.forgotten.lock().unused += 1;
                return;
            }
            self.let_go(&covered).await;
        }
    }

    /// Whether anything is old enough.
    pub(crate) fn has_work(&self) -> bool {
        let start = on_a_thread(|| klatch_retention::start(&self.retention.log));
        start.is_ok_and(|start| self.retention.forgettable() > start)
    }

    /// The first step of a round, if there is work; nothing when it failed or was broken off.
    pub(crate) fn cover(&self, pace: &mut Pace) -> Option<Manifest> {
        if !self.has_work() {
            return None;
        }
        let snapshot = &self.retention.snapshot;
        let covered = on_a_thread(|| self.retention.cover(&snapshot.hold(), pace));
        match covered {
            Ok(covered) => {
                self.synced(Part::Snapshot);
                Some(covered)
            }
            Err(error) if is_stopped(&error) => {
                self.machine.forgotten.lock().broken_off += 1;
                None
            }
            // The workers had no time yet to make again what was lost.
            Err(error) if error.is::<Behind>() => None,
            Err(error) => {
                self.judge(error.context("making a snapshot"));
                None
            }
        }
    }

    /// The second step.
    pub(crate) async fn let_go(&self, covered: &Manifest) {
        let log = &self.retention.log;
        let (segments, before) = (log.segments(), Before::of(&self.machine.disk));
        let done = on_a_thread(|| self.retention.let_go(covered));
        // Which it does before all else.
        self.synced(Part::Models);
        let gone = u32::try_from(segments.saturating_sub(log.segments())).unwrap_or(u32::MAX);
        {
            let mut forgotten = self.machine.forgotten.lock();
            forgotten.times += u32::from(gone > 0);
            forgotten.segments += gone;
            forgotten.cuts += u32::from(before.is_cut_short(&self.machine.disk));
            forgotten.refused += u32::from(done.is_err() && !self.is_cut());
        }
        if let Err(error) = done {
            self.judge(error.context("forgetting"));
        }
        if let Err(error) = self.look().await {
            self.judge(error.context("after forgetting"));
        }
    }

    /// What must be so at any time.
    pub(crate) async fn look(&self) -> Result<()> {
        let log = &self.retention.log;
        let start = log.start(ROWS, P0).await?;
        if start > Offset::ZERO {
            let before = log.read(ROWS, P0, Offset(start.0 - 1), 1).await;
            let is_told = before.as_ref().is_err_and(|error| error.kind == ErrorKind::Forgotten);
            ensure!(is_told, "what was forgotten is read: {before:?}");
            let gone = log.record(ROWS, P0, start).await?;
            ensure!(gone.is_none(), "a record that was forgotten is there: {gone:?}");
        }
        let (mut at, end) = (start, log.end(ROWS, P0).await?);
        while at < end {
            let batch = log.read(ROWS, P0, at, 1_000).await?;
            ensure!(batch.through > at, "nothing can be read after {at}");
            at = batch.through;
        }
        clerk::check(&self.machine, &self.audit).await
    }

    /// A whole comparison of the read models with the snapshot and the log, at the end of a seed.
    pub(crate) async fn finally(&self) -> Result<()> {
        let Retention { snapshot, .. } = &self.retention;
        on_a_thread(|| self.retention.cover(&snapshot.hold(), &mut Pace::full()))
            .context("comparing the read models with the log")?;
        self.look().await
    }

    fn is_cut(&self) -> bool {
        self.machine.disk.power_cuts() != self.cuts
    }

    fn synced(&self, part: Part) {
        if let Some(Err(error)) = self.machine.files.as_ref().map(|files| files.synced(part)) {
            self.machine.breaks(anyhow::Error::new(error));
        }
    }

    /// A disk that is ill excuses what it says, and nothing else.
    fn judge(&self, error: anyhow::Error) {
        let kind = error.chain().find_map(|cause| Some(cause.downcast_ref::<PortError>()?.kind));
        let is_of_a_disk = matches!(kind, Some(ErrorKind::Unavailable | ErrorKind::Full));
        if !(is_of_a_disk && (self.is_cut() || self.machine.is_ailing())) {
            self.machine.breaks(error);
        }
    }
}

/// The disk before something that changes it several times.
struct Before {
    cuts: u64,
    changes: u64,
}

impl Before {
    fn of(disk: &SimDisk) -> Self {
        Self { cuts: disk.power_cuts(), changes: disk.changes() }
    }

    /// Whether the power went since then, and not with or before the first change.
    fn is_cut_short(&self, disk: &SimDisk) -> bool {
        disk.power_cuts() > self.cuts && disk.changes() > self.changes
    }
}

/// Runs `work`, which may block and run runtimes of its own, while everything else stands still;
/// the time is the simulation's.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let simulation = Handle::current();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let _time = simulation.enter();
            work()
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two changes, of which the power goes with the `cut`-th.
    fn changed_twice(disk: &SimDisk, cut: u64) -> bool {
        let before = Before::of(disk);
        disk.power_cut_after(cut);
        let now = disk.disk();
        let _ = now.create("one").and_then(|_| now.create("two"));
        disk.mend();
        before.is_cut_short(disk)
    }

    #[test]
    fn a_cut_counts_when_the_change_had_begun_and_was_not_over() {
        let cases = [(0, false), (1, true), (2, false)];
        for (cut, counts) in cases {
            let disk = SimDisk::new(7);
            assert_eq!(changed_twice(&disk, cut), counts, "with change {cut}");
        }
        let disk = SimDisk::new(7);
        let dead = disk.disk();
        disk.power_cut();
        let before = Before::of(&disk);
        assert!(dead.create("one").is_err());
        assert!(!before.is_cut_short(&disk), "the power had gone earlier");
    }
}
