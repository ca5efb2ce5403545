//! Telling that something takes no more writes until it is opened again.

use std::path::Path;
use std::sync::Arc;

use klatch_ports::{ErrorKind, PortError, PortResult};
use tokio::sync::watch;

/// With less space than this a write fails because of it, whatever is said of the failure; opening
/// again would not help.
const SPACE: u64 = 64 << 20;

/// Told once, heard by whoever watches.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    told: Arc<watch::Sender<Option<Arc<str>>>>,
    dir: Arc<Path>,
}

impl Broken {
    /// That of what lies in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { told: Arc::new(watch::Sender::new(None)), dir: Arc::from(dir) }
    }

    /// Why it takes no more writes, once it does not.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.told.subscribe()
    }

    /// Looks at what became of a write to a fjall database, which takes none after one that failed.
    pub(crate) fn look<T>(&self, outcome: PortResult<T>) -> PortResult<T> {
        if let Err(error) = &outcome
            && error.kind == ErrorKind::Unavailable
            && has_space(&self.dir)
        {
            self.tell(error);
        }
        outcome
    }

    /// Tells that nothing more is written.
    pub(crate) fn tell(&self, error: &PortError) {
        self.told.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                tracing::error!(dir = %self.dir.display(), %error, "nothing more is written here");
                *told = Some(error.to_string().into());
            }
            first
        });
    }
}

/// One that cannot say how full it is has space.
fn has_space(dir: &Path) -> bool {
    rustix::fs::statvfs(dir)
        .map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= SPACE)
}
