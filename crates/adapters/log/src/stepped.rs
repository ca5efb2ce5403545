//! A log without threads, for simulations: what the threads would do happens when it is asked for,
//! on the caller's thread, so that the same calls give the same bytes on the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::tend::{Sealing, Tender};
use super::threads;
use super::writer::{Finished, Round, Start, Writer};

/// What the threads hold otherwise.
pub(super) struct Stepper {
    /// Gone once the log is closed or its disk has failed.
    writer: Option<Writer>,
    told: Receiver<Finished>,
    sealed: Receiver<Sealing>,
    tender: Tender,
    saved: Instant,
}

impl Stepper {
    pub(super) fn new(shared: &Arc<Shared>, mut start: Start) -> Self {
        let (finished, told) = channel();
        let (sealing, sealed) = channel();
        let tender = Tender::new(std::mem::take(&mut start.late));
        let writer = Writer::new(Arc::clone(shared), finished, sealing, &start);
        let saved = Instant::now();
        Self { writer: Some(writer), told, sealed, tender, saved }
    }

    /// Serves what waits as one batch, or marks the end when nothing does; then keeps house.
    /// Whether there was something to serve.
    pub(super) fn step(&mut self, shared: &Shared) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        let round = writer.round(Some(Duration::ZERO));
        if round == Round::Over {
            self.writer = None;
        }
        shared.space.serve(&*shared.disk);
        while let Ok(finished) = self.told.try_recv() {
            threads::tell_one(shared, finished);
        }
        while let Ok(next) = self.sealed.try_recv() {
            self.tender.add(next);
        }
        self.tender.work(shared);
        if self.saved.elapsed() >= shared.config.consumer_save {
            self.saved = Instant::now();
            shared.consumers.save(&*shared.disk);
        }
        round == Round::Served
    }

    /// Serves nothing more and tells everyone who waits that nobody knows.
    pub(super) fn abandon(mut self, shared: &Shared) {
        let Some(writer) = self.writer.take() else { return };
        writer.abandon();
        while let Ok(finished) = self.told.try_recv() {
            threads::tell_one(shared, finished);
        }
    }

    /// Serves all that waits; the queue is closed already.
    pub(super) fn finish(&mut self, shared: &Shared) {
        while self.writer.is_some() {
            self.step(shared);
        }
    }
}
