//! Moves work that stands back for everything else from processor to processor.
//!
//! A thread of `SCHED_IDLE` gives way to whoever wakes up. But traces (Linux 6.18, 250 ticks a
//! second) show two ways in which others wait for it all the same. A processor that computes for
//! it may notice only at its next tick, up to four milliseconds later, that somebody was woken up
//! just there. And a processor with such work is never without any, so it does not look for those
//! who queue up at another one. Moving the work away cures both: the processor that it leaves has
//! nothing to do for a moment, and takes whoever waits, there or elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

/// How long the work stays. Each move costs some microseconds, and what the caches held of it.
const STAY: Duration = Duration::from_micros(300);
/// Larger machines are left alone: few of their processors have such work, and from one to another
/// may be far.
const PROCESSORS_MAX: usize = 4;
/// The thread calls nothing deep.
const STACK_BYTES: usize = 64 << 10;

/// The thread that began this is moved as long as this lives.
#[derive(Debug)]
pub(crate) struct Hops {
    over: Arc<AtomicBool>,
    mover: Option<JoinHandle<()>>,
}

impl Hops {
    /// Moves the calling thread among the processors that it may use, from a thread of the caller's
    /// priority, which takes some 30 µs to start. Without it nothing is lost but time.
    pub(crate) fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let processors = processors();
        if !(2..=PROCESSORS_MAX).contains(&processors.len()) {
            return Self { over, mover: None };
        }
        let (worker, told) = (gettid(), Arc::clone(&over));
        let thread = thread::Builder::new().name("klatch-hops".to_owned()).stack_size(STACK_BYTES);
        let mover = thread.spawn(move || move_on(worker, &processors, &told));
        if let Err(error) = &mover {
            tracing::debug!(%error, "a hash stays where it is");
        }
        Self { over, mover: mover.ok() }
    }
}

impl Drop for Hops {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Waited for: the number of a thread that has ended may soon be another one's.
        if let Some(mover) = self.mover.take() {
            mover.thread().unpark();
            mover.join().ok();
        }
    }
}

fn processors() -> Vec<CpuSet> {
    let allowed = sched_getaffinity(None).unwrap_or_default();
    let alone = |processor| {
        let mut set = CpuSet::new();
        set.set(processor);
        set
    };
    (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).map(alone).collect()
}

fn move_on(worker: Pid, processors: &[CpuSet], over: &AtomicBool) {
    for processor in processors.iter().cycle() {
        thread::park_timeout(STAY);
        if over.load(Ordering::Acquire) {
            return;
        }
        // A processor that was taken from this process meanwhile is passed over.
        sched_setaffinity(Some(worker), processor).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_is_bound_to_every_processor_in_turn() {
        let allowed = processors();
        let hops = Hops::begin();
        let moved = (2..=PROCESSORS_MAX).contains(&allowed.len());
        let mut left = if moved { allowed.clone() } else { Vec::new() };
        let begun = Instant::now();
        while !left.is_empty() && begun.elapsed() < Duration::from_secs(10) {
            let now = sched_getaffinity(None).unwrap();
            left.retain(|processor| *processor != now);
        }
        assert!(left.is_empty(), "never bound to {left:?}");
        drop(hops);
    }

    #[test]
    fn nobody_is_moved_any_more_when_it_is_over() {
        let hops = Hops::begin();
        thread::sleep(STAY * 5);
        let over = Arc::downgrade(&hops.over);
        drop(hops);
        assert_eq!(over.strong_count(), 0);
    }
}
