//! Long work that steps back for everything else on the machine, and comes about all the same.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use klatch_ports::{ErrorKind, PortError, PortResult};
#[cfg(target_os = "linux")]
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[cfg(target_os = "linux")]
use crate::hops::Hops;

/// How long the work may wait for processors that nobody wants: a machine that has none to spare
/// for so long is busy for good.
const PATIENCE: Duration = Duration::from_millis(300);
/// `SCHED_IDLE`. Niceness alone is not enough: a nice thread keeps its processor for some
/// milliseconds when somebody else wakes up, and those who send would feel it. Where the kernel
/// lets others wait all the same, [`Hops`] help.
#[cfg(target_os = "linux")]
const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
/// A tenth of what others get, where all processors are wanted.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Does work behind everything else: on processors that nobody wants, and if there are none, with
/// a tenth of one. On other systems than Linux priorities are the process's, and stay.
pub(crate) struct Background {
    /// Threads that may wait for processors that nobody wants.
    idle: Arc<Semaphore>,
}

impl Background {
    /// So many may wait for such processors.
    pub(crate) fn new(at_once: usize) -> Self {
        Self { idle: Arc::new(Semaphore::new(at_once)) }
    }

    /// Does `work` on a thread of its own and waits for it; blocks. Work that found no processor in
    /// time is done a second time, and what was begun ends when it can: until then nothing else is
    /// left to such luck.
    ///
    /// # Errors
    /// There are no threads, or the work panicked.
    pub(crate) fn run<T, W>(&self, work: &Arc<W>) -> PortResult<T>
    where
        T: Send + 'static,
        W: Fn() -> T + Send + Sync + 'static,
    {
        if let Ok(slot) = Arc::clone(&self.idle).try_acquire_owned() {
            match idly(Arc::clone(work), slot)?.recv_timeout(PATIENCE) {
                Ok(done) => return Ok(done),
                Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        nicely(work)?.recv().map_err(|_| panicked())
    }
}

/// A thread that has stepped back cannot come forward again, so none of a pool will do. A fresh one
/// costs some 50 µs.
fn idly<T, W>(work: Arc<W>, slot: OwnedSemaphorePermit) -> PortResult<Receiver<T>>
where
    T: Send + 'static,
    W: Fn() -> T + Send + Sync + 'static,
{
    start(move || {
        // Begun before this thread steps back, so that the one that moves it does not.
        #[cfg(target_os = "linux")]
        let hops = Hops::begin();
        #[cfg(target_os = "linux")]
        if let Err(error) =
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE)
        {
            tracing::debug!(?error, "work runs at the priority of everything else");
        }
        let done = work();
        #[cfg(target_os = "linux")]
        drop(hops);
        drop(slot);
        done
    })
}

fn nicely<T, W>(work: &Arc<W>) -> PortResult<Receiver<T>>
where
    T: Send + 'static,
    W: Fn() -> T + Send + Sync + 'static,
{
    let work = Arc::clone(work);
    start(move || {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "work runs at the priority of everything else");
        }
        work()
    })
}

fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> PortResult<Receiver<T>> {
    let (tell, told) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("klatch-hash".to_owned());
    let started = thread.spawn(move || {
        // Nobody waits any more for what was done a second time.
        let _ = tell.send(work());
    });
    match started {
        Ok(_) => Ok(told),
        Err(error) => Err(PortError::new(ErrorKind::Unavailable, "argon2", "start").because(error)),
    }
}

fn panicked() -> PortError {
    PortError::new(ErrorKind::Corrupt, "argon2", "hash")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::Mutex;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn work_steps_back_and_the_thread_that_waits_for_it_does_not() {
        let policy = || thread_priority::thread_schedule_policy().unwrap();
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = (policy(), niceness());
        let slot = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        assert_eq!(idly(Arc::new(policy), slot).unwrap().recv().unwrap(), IDLE);
        assert_eq!(nicely(&Arc::new(niceness)).unwrap().recv().unwrap(), NICE);
        assert_eq!((policy(), niceness()), before);
    }

    #[test]
    fn work_that_finds_no_processor_is_done_again_and_later_work_does_not_wait_for_one() {
        let background = Background::new(1);
        let (release, released) = mpsc::channel::<()>();
        let (released, begun) = (Mutex::new(released), AtomicUsize::new(0));
        let work = Arc::new(move || {
            let turn = begun.fetch_add(1, Ordering::SeqCst);
            if turn == 0 {
                let _ = released.lock().recv();
            }
            turn
        });
        // The first attempt hangs; the second is the answer.
        assert_eq!(background.run(&work).unwrap(), 1);
        assert_eq!(background.idle.available_permits(), 0);
        for turn in 2..10 {
            assert_eq!(background.run(&work).unwrap(), turn);
        }
        release.send(()).unwrap();
        while background.idle.available_permits() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(background.run(&work).unwrap(), 10);
    }

    #[test]
    fn work_that_panics_is_an_error_and_leaves_its_place() {
        let background = Background::new(1);
        let work: Arc<fn()> = Arc::new(|| panic!("on purpose"));
        assert!(background.run(&work).is_err());
        while background.idle.available_permits() == 0 {
            std::thread::yield_now();
        }
    }
}
