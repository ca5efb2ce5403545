//! The thread that keeps house: indexes of sealed segments, merged tables, places of consumers.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use tokio::time::Instant;

use super::Shared;
use super::heads::Covered;
use super::index::{Contents, write};
use super::segment::{Sealed, index_path};
use super::table::HeadMap;

/// A segment that needs its index.
pub(super) struct Sealing {
    pub(super) sealed: Arc<Sealed>,
    pub(super) heads: Arc<HeadMap>,
}

/// Works until the writer, who has the other end, is gone.
pub(super) fn run(shared: &Shared, sealing: &Receiver<Sealing>) {
    let mut saved = Instant::now();
    loop {
        let left = shared.config.consumer_save.saturating_sub(saved.elapsed());
        match sealing.recv_timeout(left) {
            Ok(next) => index_or_warn(shared, &next),
            Err(RecvTimeoutError::Timeout) => {
                saved = Instant::now();
                shared.consumers.save(&*shared.disk);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Writes a sealed segment's index.
pub(super) fn index_or_warn(shared: &Shared, next: &Sealing) {
    if let Err(error) = index(shared, next) {
        // The log is whole without it; the next opening makes it anew.
        tracing::warn!(
            "{}: the index was not written: {error}",
            shared.disk.describe(&index_path(next.sealed.base)),
        );
    }
}

fn index(shared: &Shared, Sealing { sealed, heads }: &Sealing) -> io::Result<()> {
    let marks = sealed.marks.lock().clone();
    let Some(marks) = marks else { return Ok(()) };
    let Sealed { base, last, stamp, .. } = **sealed;
    let contents = Contents { base, last, stamp, marks: &marks };
    let entries = heads.iter().map(|(key, offset)| (*key, *offset));
    let table = Arc::new(write(&*shared.disk, &index_path(base), &contents, entries)?);
    shared.heads.add_table(Covered { base, last, segments: 1, table });
    // From now on the marks can be read when somebody needs them.
    *sealed.marks.lock() = None;
    shared.heads.merge(&*shared.disk)
}
