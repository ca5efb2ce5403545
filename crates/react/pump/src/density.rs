//! Tells whether events come densely, so that only then batches wait to fill.

use std::time::Duration;

use tokio::time::Instant;

/// Long enough to see a rate, short enough that a burst of two tenths of a second is noticed.
const WINDOW: Duration = Duration::from_millis(50);

/// The rate of the last full window.
#[derive(Debug)]
pub(crate) struct Density {
    per_window: u64,
    began: Instant,
    seen: u64,
    dense: bool,
}

impl Density {
    pub(crate) fn new(dense_per_second: u64, now: Instant) -> Self {
        let windows_per_second = u64::try_from(1_000 / WINDOW.as_millis()).unwrap_or(1);
        let per_window = (dense_per_second / windows_per_second).max(1);
        Self { per_window, began: now, seen: 0, dense: false }
    }

    /// Counts `more` offsets passed at `now`, and says whether batches should wait to fill.
    pub(crate) fn saw(&mut self, more: u64, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.began);
        if age >= WINDOW {
            // A window that stretched over a pause counts as the rate it really had.
            self.dense = self.seen >= self.per_window && age < WINDOW * 2;
            (self.began, self.seen) = (now, 0);
        }
        self.seen += more;
        self.dense
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_dense_and_a_single_event_after_a_pause_is_not() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut density = Density::new(2_000, start);
        assert!(!density.saw(1, at(0)), "the first event is never late");
        for ms in 1..50 {
            density.saw(3, at(ms));
        }
        assert!(density.saw(3, at(50)), "3 a millisecond");
        assert!(!density.saw(1, at(5_000)), "after a pause");
        assert!(!density.saw(1, at(5_051)), "one in 50 ms");
    }
}
