//! How much of a machine long work takes, and how it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use klatch_ports::{ErrorKind, PortError, PortResult};
use tokio_util::sync::CancellationToken;

/// Rests this many times as long as it works.
const RESTS: u32 = 3;
/// Rests no longer than this at once, so that it hears soon that it is to stop.
const REST_MOST: Duration = Duration::from_millis(250);

/// The pace of one piece of work.
#[derive(Debug)]
pub struct Pace {
    stop: CancellationToken,
    /// Pieces until it ends.
    pieces: u64,
    /// Whoever waits, so that this ends.
    wanted: Arc<AtomicUsize>,
    rests: u32,
    began: Instant,
}

impl Pace {
    /// As fast as it goes, for someone who waits.
    pub fn full() -> Self {
        let (stop, wanted) = (CancellationToken::new(), Arc::default());
        Self { stop, pieces: u64::MAX, wanted, rests: 0, began: Instant::now() }
    }

    /// As fast as it goes, until `stop`.
    pub fn until(stop: CancellationToken) -> Self {
        Self { stop, ..Self::full() }
    }

    /// As fast as it goes, and broken off after so many pieces.
    pub fn broken_off_after(pieces: u64) -> Self {
        Self { pieces, ..Self::full() }
    }

    /// A quarter of a core, until `stop` or until somebody is `wanted`.
    pub(crate) fn gentle(stop: CancellationToken, wanted: Arc<AtomicUsize>) -> Self {
        Self { stop, wanted, rests: RESTS, ..Self::full() }
    }

    /// Called after each small piece of the work; blocks while it rests.
    ///
    /// # Errors
    /// `Closed`: it is to stop, for good or for now.
    pub fn breathe(&mut self) -> PortResult<()> {
        let is_over = self.pieces == 0;
        self.pieces = self.pieces.saturating_sub(1);
        if is_over || self.stop.is_cancelled() || self.wanted.load(Ordering::Relaxed) > 0 {
            return Err(PortError::new(ErrorKind::Closed, "klatch", "working in the background"));
        }
        if self.rests > 0 {
            let rest = (self.began.elapsed() * self.rests).min(REST_MOST);
            std::thread::sleep(rest);
        }
        self.began = Instant::now();
        Ok(())
    }
}
