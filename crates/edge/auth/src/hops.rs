//! Makes processors look up from work that stands back for everything else.
//!
//! A thread of `SCHED_IDLE` gives way to whoever wakes up. But traces show that a processor which
//! computes for another thread may notice only at its next tick that somebody waits, up to four
//! milliseconds later (Linux 6.18, 250 ticks a second); and since a processor with such work counts
//! as free, threads are woken up just there. A thread that is bound to a processor and wakes up
//! every now and then brings the tick forward: with its timer the processor looks who else waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a processor may go without a look. Each costs it a few microseconds.
const PAUSE: Duration = Duration::from_micros(300);
/// Larger machines are left alone: on few of their processors is such work, and so many threads
/// would cost more than they bring.
const PROCESSORS_MAX: usize = 4;
/// These threads call nothing deep.
const STACK_BYTES: usize = 64 << 10;

/// Processors look up as long as this lives.
#[derive(Debug)]
pub(crate) struct Nudge(Arc<AtomicBool>);

impl Nudge {
    /// Starts a thread for each processor that this process may use, which takes some 30 µs each.
    /// They have the priority of the thread that calls. Without them nothing is lost but time.
    pub(crate) fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let allowed = sched_getaffinity(None).unwrap_or_default();
        let processors: Vec<usize> =
            (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect();
        if processors.len() <= PROCESSORS_MAX {
            for processor in processors {
                let over = Arc::clone(&over);
                let thread = std::thread::Builder::new().name("klatch-nudge".to_owned());
                let started =
                    thread.stack_size(STACK_BYTES).spawn(move || look_up(processor, &over));
                if let Err(error) = started {
                    tracing::debug!(%error, "a processor is not told to look up");
                }
            }
        }
        Self(over)
    }
}

impl Drop for Nudge {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn look_up(processor: usize, over: &AtomicBool) {
    let mut own = CpuSet::new();
    own.set(processor);
    if let Err(error) = sched_setaffinity(None, &own) {
        tracing::debug!(%error, "a processor is not told to look up");
        return;
    }
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_for_each_processor_wakes_up_until_the_work_is_over() {
        let allowed = sched_getaffinity(None).unwrap();
        let processors = (0..CpuSet::MAX_CPU).filter(|it| allowed.is_set(*it)).count();
        let nudge = Nudge::begin();
        let threads = Arc::downgrade(&nudge.0);
        std::thread::sleep(PAUSE * 20);
        let expected = if processors <= PROCESSORS_MAX { processors } else { 0 };
        assert_eq!(threads.strong_count(), expected + 1);
        drop(nudge);
        while threads.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
