//! The threads of a log and how they end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{Builder, JoinHandle};

use super::Shared;
use super::tend::{self, Tender};
use super::writer::{Finished, Start, Writer};

#[derive(Debug)]
pub(super) struct Threads {
    /// In the order in which they end.
    list: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start(shared: &Arc<Shared>, mut start: Start) -> io::Result<Self> {
        // Neither channel grows beyond the queue's bytes: each message is of appends that count
        // there until they are told, or of a segment full of them.
        let (finished, told) = channel();
        let (sealing, sealed) = channel();
        let housekeeper = Tender::new(std::mem::take(&mut start.late));
        let writer = Writer::new(Arc::clone(shared), finished, sealing, &start);
        let (done, tended, filled) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
        let mut list = Vec::with_capacity(4);
        let mut spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            list.push(Builder::new().name(name.to_owned()).spawn(work)?);
            io::Result::Ok(())
        };
        spawn("klatch-log-write", Box::new(move || writer.run()))?;
        spawn("klatch-log-done", Box::new(move || tell(&done, &told)))?;
        spawn("klatch-log-tend", Box::new(move || tend::run(&tended, &sealed, housekeeper)))?;
        spawn("klatch-log-fill", Box::new(move || filled.space.run(&*filled.disk)))?;
        Ok(Self { list })
    }

    /// Waits until all have ended; the queue is closed already.
    pub(super) fn join(self, shared: &Shared) {
        let own = std::thread::current().id();
        for (count, thread) in self.list.into_iter().enumerate() {
            // The last handle may have been dropped by a completion: that thread ends by itself.
            if thread.thread().id() != own && thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
            if count == 0 {
                shared.space.stop();
            }
        }
    }
}

/// Tells readers and appenders what became durable, until the writer is gone.
fn tell(shared: &Shared, finished: &Receiver<Finished>) {
    while let Ok(next) = finished.recv() {
        tell_one(shared, next);
    }
}

/// Tells of one batch.
pub(super) fn tell_one(shared: &Shared, Finished { outcomes, weight, advanced }: Finished) {
    if advanced {
        shared.moved.send_replace(());
    }
    shared.queue.release(weight);
    for (done, outcome) in outcomes {
        // One caller's mistake must not keep the others waiting for ever.
        if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
            tracing::error!("the completion of an append panicked");
        }
    }
}
