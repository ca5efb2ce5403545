//! Writers that share syncs: one thread takes whatever waits, and does it at one cost.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use futures::channel::oneshot;
use klatch_ports::{ErrorKind, PortError, PortResult};

/// Jobs done at once at most, so that the first answer of a crowd does not wait for the last.
const BATCH_MAX: usize = 4_096;

/// A thread that does jobs in groups; it ends, all jobs done, when this is dropped.
pub(crate) struct Group<J> {
    engine: &'static str,
    jobs: Option<mpsc::Sender<J>>,
    thread: Option<JoinHandle<()>>,
}

impl<J> std::fmt::Debug for Group<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl<J: Send + 'static> Group<J> {
    /// Starts the thread; `work` gets at least one job at a time.
    pub(crate) fn start(
        engine: &'static str,
        mut work: impl FnMut(Vec<J>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::channel::<J>();
        let run = move || {
            while let Ok(first) = jobs.recv() {
                let rest = jobs.try_iter().take(BATCH_MAX - 1);
                work(std::iter::once(first).chain(rest).collect());
            }
        };
        let thread = thread::Builder::new().name(format!("{engine}:writer")).spawn(run)?;
        Ok(Self { engine, jobs: Some(sender), thread: Some(thread) })
    }

    /// Hands over the job that `make` builds around a way to answer, and waits for the answer.
    pub(crate) async fn run<T>(
        &self,
        operation: &'static str,
        make: impl FnOnce(oneshot::Sender<PortResult<T>>) -> J,
    ) -> PortResult<T> {
        let closed = || PortError::new(ErrorKind::Closed, self.engine, operation);
        let (reply, answer) = oneshot::channel();
        self.jobs.as_ref().and_then(|jobs| jobs.send(make(reply)).ok()).ok_or_else(closed)?;
        answer.await.map_err(|_| closed())?
    }
}

impl<J> Drop for Group<J> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told already by whoever waited for its answer.
            thread.join().ok();
        }
    }
}

/// The same failure for each of those who shared the work.
pub(crate) fn share(error: &PortError) -> PortError {
    let source = error.source.as_ref().map(ToString::to_string);
    let shared = PortError::new(error.kind, error.engine, error.operation);
    match source {
        Some(source) => shared.because(source),
        None => shared,
    }
}
