use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use klatch_domain::{Clock, Timestamp};

/// A clock that moves only when it is told to, in either direction. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(start.0)))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.set(self.now().plus_ms(ms));
    }

    /// Sets the clock, also back.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.0, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::at(Timestamp(1_767_225_600_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_for_all_clones() {
        let clock = ManualClock::default();
        let clone = clock.clone();
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00.000Z");
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clone.now().to_string(), "2026-01-01T00:00:01.500Z");
        clone.set(Timestamp(7));
        assert_eq!(clock.now(), Timestamp(7));
    }
}
