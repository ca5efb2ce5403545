//! Keeps zeros written ahead of the log's end, on a thread of its own.
//!
//! Overwriting blocks that are there already spares a sync the file system's journal: measured on
//! ext4, 64 KiB synced in 0.10 ms instead of 0.15 and 1 MiB in 0.33 ms instead of 0.6 to 3. And a
//! full disk shows here, before anything of a batch is written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::error::is_full;
use super::segment::{DIR, SPARE};
use crate::disk::{Disk, DiskFile};

/// Zeros are written and synced in steps of this size, so that they never hold up a batch for long.
const STEP: u64 = 1024 * 1024;

/// Why there is no room.
#[derive(Debug)]
pub(super) enum NoRoom {
    /// The disk is full, or nearly so.
    Full,
    /// The disk failed.
    Failed(String),
}

#[derive(Debug)]
pub(super) struct Space {
    state: Mutex<State>,
    wanted: Condvar,
    changed: Condvar,
    /// Whether new appends are refused.
    refusing: AtomicBool,
    reserve: u64,
    interval: Duration,
}

#[derive(Debug)]
struct State {
    active: Filling,
    spare: Option<Filling>,
    /// How large a spare segment should be; 0: none is wanted.
    spare_target: u64,
    /// Whether the thread writes to the spare right now.
    spare_busy: bool,
    /// Whether the last step found no space.
    blocked: bool,
    failed: Option<String>,
    stop: bool,
}

/// A file that is zeros from some place up to `filled`, and should be up to `target`.
#[derive(Clone, Debug)]
struct Filling {
    file: Arc<dyn DiskFile>,
    filled: u64,
    target: u64,
}

/// What the thread does next.
enum Job {
    Active(Filling),
    MakeSpare,
    Spare(Filling),
}

impl Space {
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        filled: u64,
        reserve: u64,
        interval: Duration,
    ) -> Self {
        let state = State {
            active: Filling { file, filled, target: filled },
            spare: None,
            spare_target: 0,
            spare_busy: false,
            blocked: false,
            failed: None,
            stop: false,
        };
        Self {
            state: Mutex::new(state),
            wanted: Condvar::new(),
            changed: Condvar::new(),
            refusing: AtomicBool::new(false),
            reserve,
            interval,
        }
    }

    /// Whether new appends are to be refused because the disk is nearly full.
    pub(super) fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// Asks for zeros up to `target` without waiting.
    pub(super) fn request(&self, target: u64) {
        let mut state = self.state.lock();
        state.active.target = state.active.target.max(target);
        self.wanted.notify_one();
    }

    /// Asks for a spare segment of this size without waiting.
    pub(super) fn request_spare(&self, bytes: u64) {
        self.state.lock().spare_target = bytes;
        self.wanted.notify_one();
    }

    /// Waits until there are zeros up to `end`; how far there are any.
    ///
    /// # Errors
    /// When there is no space for them now.
    pub(super) fn wait_for(&self, end: u64) -> Result<u64, NoRoom> {
        let mut state = self.state.lock();
        loop {
            if state.active.filled >= end {
                return Ok(state.active.filled);
            }
            state.active.target = state.active.target.max(end);
            self.wanted.notify_one();
            if let Some(why) = &state.failed {
                return Err(NoRoom::Failed(why.clone()));
            }
            if state.blocked || state.stop {
                return Err(NoRoom::Full);
            }
            self.changed.wait(&mut state);
        }
    }

    /// The spare segment, if there is one, and how far it is zeros.
    pub(super) fn take_spare(&self) -> Option<(Arc<dyn DiskFile>, u64)> {
        let mut state = self.state.lock();
        state.spare_target = 0;
        while state.spare_busy {
            self.changed.wait(&mut state);
        }
        state.spare.take().map(|spare| (spare.file, spare.filled))
    }

    /// From now on another file is filled.
    pub(super) fn switch(&self, file: Arc<dyn DiskFile>, filled: u64) {
        self.state.lock().active = Filling { file, filled, target: filled };
    }

    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.wanted.notify_one();
        self.changed.notify_all();
    }

    /// What the thread does until it is stopped.
    pub(super) fn run(&self, disk: &dyn Disk) {
        loop {
            let job = {
                let mut state = self.state.lock();
                if state.stop {
                    return;
                }
                let stuck = state.blocked || state.failed.is_some();
                let job = if stuck { None } else { state.job() };
                if job.is_none() {
                    self.wanted.wait_for(&mut state, self.interval);
                    // Whatever blocked may be over: try again.
                    state.blocked = false;
                }
                state.spare_busy = matches!(job, Some(Job::MakeSpare | Job::Spare(_)));
                job
            };
            match job {
                Some(job) => self.work(disk, job),
                None => self.look(disk),
            }
        }
    }

    /// Does what is asked for now, and looks at the disk's space; for a log without threads.
    pub(super) fn serve(&self, disk: &dyn Disk) {
        self.state.lock().blocked = false;
        loop {
            let job = {
                let mut state = self.state.lock();
                let stuck = state.blocked || state.failed.is_some();
                let job = if stuck { None } else { state.job() };
                state.spare_busy = matches!(job, Some(Job::MakeSpare | Job::Spare(_)));
                job
            };
            match job {
                Some(job) => self.work(disk, job),
                None => return self.look(disk),
            }
        }
    }

    fn work(&self, disk: &dyn Disk, job: Job) {
        match job {
            Job::Active(filling) => self.fill_active(disk, &filling),
            Job::MakeSpare => self.make_spare(disk),
            Job::Spare(filling) => self.fill_spare(disk, &filling),
        }
    }

    /// Looks at the disk's space. A step that found none decides for itself.
    fn look(&self, disk: &dyn Disk) {
        // A disk that cannot say how full it is will say so when it is written to.
        let Ok(free) = disk.free_space() else { return };
        if free < self.reserve {
            self.refuse();
        } else if self.state.lock().job().is_none() {
            self.refusing.store(false, Ordering::Relaxed);
        }
    }

    fn refuse(&self) {
        if !self.refusing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the disk is nearly full: the log refuses appends until there is space"
            );
        }
    }

    fn fill_active(&self, disk: &dyn Disk, filling: &Filling) {
        let outcome = self.step(disk, filling);
        let mut state = self.state.lock();
        match outcome {
            Ok(filled) => {
                // The writer may have gone to another file meanwhile.
                if Arc::ptr_eq(&state.active.file, &filling.file) {
                    state.active.filled = state.active.filled.max(filled);
                }
            }
            Err(error) => self.fail(&mut state, &error),
        }
        self.changed.notify_all();
    }

    fn make_spare(&self, disk: &dyn Disk) {
        let made = remove_if_there(disk, SPARE).and_then(|()| disk.create(SPARE));
        let mut state = self.state.lock();
        state.spare_busy = false;
        match made {
            Ok(file) => {
                let target = state.spare_target;
                state.spare = Some(Filling { file, filled: 0, target });
            }
            Err(error) => self.fail(&mut state, &error),
        }
        self.changed.notify_all();
    }

    fn fill_spare(&self, disk: &dyn Disk, filling: &Filling) {
        let outcome = self.step(disk, filling);
        let mut state = self.state.lock();
        state.spare_busy = false;
        match (outcome, &mut state.spare) {
            (Ok(filled), Some(spare)) => spare.filled = filled,
            (Ok(_), None) => {}
            (Err(error), _) => self.fail(&mut state, &error),
        }
        self.changed.notify_all();
    }

    fn fail(&self, state: &mut State, error: &io::Error) {
        if is_full(error) {
            state.blocked = true;
            self.refuse();
        } else {
            state.failed = Some(error.to_string());
        }
    }

    fn step(&self, disk: &dyn Disk, filling: &Filling) -> io::Result<u64> {
        let end = filling.target.min(filling.filled + STEP);
        prepare(disk, &*filling.file, filling.filled, end, self.reserve)?;
        self.refusing.store(false, Ordering::Relaxed);
        Ok(end)
    }
}

impl State {
    fn job(&self) -> Option<Job> {
        if self.active.filled < self.active.target {
            return Some(Job::Active(self.active.clone()));
        }
        match &self.spare {
            None if self.spare_target > 0 => Some(Job::MakeSpare),
            Some(spare) if spare.filled < spare.target => Some(Job::Spare(spare.clone())),
            _ => None,
        }
    }
}

/// Writes and syncs zeros, if that leaves the reserve.
///
/// # Errors
/// `StorageFull`, or what the disk says.
pub(super) fn prepare(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    from: u64,
    to: u64,
    reserve: u64,
) -> io::Result<()> {
    if disk.free_space()? < reserve.saturating_add(to - from) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.zero(from, to)?;
    file.sync_data()
}

pub(super) fn remove_if_there(disk: &dyn Disk, path: &str) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Forgets a spare segment of an earlier run.
pub(super) fn clear_spare(disk: &dyn Disk) -> io::Result<()> {
    remove_if_there(disk, SPARE)?;
    disk.sync_dir(DIR)
}
