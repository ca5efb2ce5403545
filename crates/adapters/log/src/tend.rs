//! The thread that keeps house: indexes of sealed segments, merged tables, places of consumers.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use tokio::time::Instant;

use super::Shared;
use super::heads::Covered;
use super::image::Late;
use super::index::{Contents, write};
use super::segment::{Sealed, index_path};
use super::table::HeadMap;

/// A segment that needs its index.
pub(super) struct Sealing {
    pub(super) sealed: Arc<Sealed>,
    pub(super) heads: Arc<HeadMap>,
}

/// Sealed segments that have no index yet, oldest first.
///
/// A table comes into use only after those of all older segments: heads that still wait in memory
/// are taken for newer than every table. Bounded by the disk, which takes no more segments when it
/// has no space for their much smaller indexes.
pub(super) struct Tender {
    /// Of segments that were sealed before the log was opened; their tables are in use.
    late: VecDeque<Late>,
    waiting: VecDeque<Sealing>,
    /// Whether somebody was told that the first one failed.
    warned: bool,
}

impl Tender {
    pub(super) fn new(late: Vec<Late>) -> Self {
        Self { late: late.into(), waiting: VecDeque::new(), warned: false }
    }

    pub(super) fn add(&mut self, next: Sealing) {
        self.waiting.push_back(next);
    }

    /// Writes the indexes that are missing, as far as the disk lets it.
    pub(super) fn work(&mut self, shared: &Shared) {
        while let Some(next) = self.late.front() {
            // It was told at the opening.
            if store(shared, next).is_err() {
                break;
            }
            self.late.pop_front();
        }
        while let Some(next) = self.waiting.front() {
            if let Err(error) = index(shared, next) {
                if !self.warned {
                    // The log is whole without it, and the next opening makes it anew.
                    tracing::warn!(
                        "{}: the index was not written, and is tried again: {error}",
                        shared.disk.describe(&index_path(next.sealed.base)),
                    );
                }
                self.warned = true;
                return;
            }
            self.waiting.pop_front();
            self.warned = false;
            if let Err(error) = shared.heads.merge(&*shared.disk) {
                // The tables that were to be merged stay in use.
                tracing::warn!("tables of heads were not merged: {error}");
            }
        }
    }
}

/// Works until the writer, who has the other end, is gone.
pub(super) fn run(shared: &Shared, sealing: &Receiver<Sealing>, mut tender: Tender) {
    let mut saved = Instant::now();
    loop {
        let left = shared.config.consumer_save.saturating_sub(saved.elapsed());
        match sealing.recv_timeout(left) {
            Ok(next) => tender.add(next),
            Err(RecvTimeoutError::Timeout) => {
                saved = Instant::now();
                shared.consumers.save(&*shared.disk);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        tender.work(shared);
    }
}

/// Writes the index of a segment that had none when the log was opened.
fn store(shared: &Shared, Late { sealed, image }: &Late) -> io::Result<()> {
    if sealed.last < shared.segments.first() {
        // It was forgotten meanwhile.
        return Ok(());
    }
    let table = image.store(&*shared.disk, &index_path(sealed.base))?;
    shared.heads.put_on_disk(sealed.base, Arc::new(table));
    *sealed.marks.lock() = None;
    Ok(())
}

/// Writes a sealed segment's index.
fn index(shared: &Shared, Sealing { sealed, heads }: &Sealing) -> io::Result<()> {
    let marks = sealed.marks.lock().clone();
    let Some(marks) = marks else { return Ok(()) };
    let Sealed { base, last, stamp, .. } = **sealed;
    if last < shared.segments.first() {
        // It was forgotten meanwhile.
        return Ok(());
    }
    let contents = Contents { base, last, stamp, marks: &marks };
    let entries = heads.iter().map(|(key, offset)| (*key, *offset));
    let table = Arc::new(write(&*shared.disk, &index_path(base), &contents, entries)?);
    shared.heads.add_table(Covered { base, last, segments: 1, table });
    // From now on the marks can be read when somebody needs them.
    *sealed.marks.lock() = None;
    Ok(())
}
