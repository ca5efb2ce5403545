//! Owns the count of processor time by part of the work, taken from samples of what tasks do.
//! Must not contain: what the parts do, or a clock that tells the time of day.
//!
//! Threads of a runtime do everything in turns, so their names do not tell what the time went
//! into. One poll in [`EVERY`], picked at random, is timed by the thread's own clock of processor
//! time (being preempted does not count) and counts for as many. That costs about 30 ns a poll in
//! the mean. Over a second of work the shares are right to a few percent.
#![warn(missing_docs)]

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use rustix::time::{ClockId, clock_gettime};

/// One poll in so many is timed.
pub const EVERY: u32 = 16;

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// Reads sockets, parses, checks tokens, hands commands on, writes answers.
    Receiving,
    /// Decides commands and makes events of them.
    Deciding,
    /// Finds out who gets an event, and writes it to their sockets.
    Delivering,
    /// Folds events into rows and commits them; reads rows from the disk.
    Storing,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Receiving, Self::Deciding, Self::Delivering, Self::Storing];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Deciding => "deciding",
            Self::Delivering => "delivering",
            Self::Storing => "storing",
        }
    }

    /// Nanoseconds of processor time that went into it in this process, about.
    pub fn nanos(self) -> u64 {
        self.count().load(Ordering::Relaxed)
    }

    fn count(self) -> &'static AtomicU64 {
        static COUNTS: [AtomicU64; Part::ALL.len()] = [const { AtomicU64::new(0) }; 4];
        let [receiving, deciding, delivering, storing] = &COUNTS;
        match self {
            Self::Receiving => receiving,
            Self::Deciding => deciding,
            Self::Delivering => delivering,
            Self::Storing => storing,
        }
    }
}

pin_project! {
    /// A future whose polls count for a part.
    #[derive(Debug)]
    pub struct Metered<F> {
        #[pin]
        future: F,
        part: Part,
    }
}

/// Counts the polls of a future for a part.
pub fn metered<F: Future>(part: Part, future: F) -> Metered<F> {
    Metered { future, part }
}

/// Counts what a function does for a part. For work off the runtime's own threads.
pub fn run<T>(part: Part, work: impl FnOnce() -> T) -> T {
    let before = thread_nanos();
    let outcome = work();
    let used = thread_nanos().saturating_sub(before);
    part.count().fetch_add(used, Ordering::Relaxed);
    outcome
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !is_picked() {
            return this.future.poll(cx);
        }
        let before = thread_nanos();
        let outcome = this.future.poll(cx);
        let used = thread_nanos().saturating_sub(before);
        this.part.count().fetch_add(used * u64::from(EVERY), Ordering::Relaxed);
        outcome
    }
}

/// Picks one in [`EVERY`]: at random, because polls of one kind often follow a pattern.
fn is_picked() -> bool {
    thread_local! {
        static DICE: Cell<u32> = const { Cell::new(0x9e37_79b9) };
    }
    DICE.with(|dice| {
        // Xorshift: never 0 when it was not.
        let mut next = dice.get();
        next ^= next << 13;
        next ^= next >> 17;
        next ^= next << 5;
        dice.set(next);
        next % EVERY == 0
    })
}

/// Nanoseconds of processor time that this thread has used.
fn thread_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses the processor for at least so long.
    fn work(nanos: u64) {
        let begun = thread_nanos();
        while thread_nanos() - begun < nanos {}
    }

    #[test]
    fn samples_of_many_polls_tell_about_what_they_took() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (before, begun) = (Part::Deciding.nanos(), thread_nanos());
        for poll in 0..20_000 {
            // Polls of two kinds in turns, as reading and answering.
            let nanos = if poll % 2 == 0 { 1_000 } else { 9_000 };
            let task = std::pin::pin!(metered(Part::Deciding, async move { work(nanos) }));
            assert!(task.poll(&mut cx).is_ready());
        }
        let used = thread_nanos() - begun;
        let counted = Part::Deciding.nanos() - before;
        let percent = counted * 100 / used;
        assert!((75..=125).contains(&percent), "{percent} % of what was used");
    }

    #[test]
    fn work_off_the_runtime_counts_as_a_whole_and_waiting_does_not() {
        let before = Part::Storing.nanos();
        run(Part::Storing, || {
            work(2_000_000);
            std::thread::sleep(std::time::Duration::from_millis(20));
        });
        let used = Part::Storing.nanos() - before;
        assert!((2_000_000..10_000_000).contains(&used), "{used}");
    }
}
