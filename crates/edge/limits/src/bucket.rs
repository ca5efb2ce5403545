//! The arithmetic of a token bucket, kept as the time at which it is full again.

use std::time::Duration;

use crate::policy::Window;

/// Windows are not longer than ten years, so that no time overflows.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// A window in microseconds: how long a token takes to come back, and all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    token_us: u64,
    whole_us: u64,
}

impl Rate {
    /// `None`: the window has no limit.
    pub(crate) fn of(window: Window) -> Option<Self> {
        let count = u64::from(window.count);
        let per = u64::try_from(window.per.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        let token_us = per.checked_div(count)?.max(1);
        Some(Self { token_us, whole_us: token_us.saturating_mul(count) })
    }

    /// Takes up to `wish` tokens at `now` out of the bucket that is full at `full_at`, after `back`
    /// were put back. How many there were, and when it is full again.
    pub(crate) fn take(self, full_at: u64, now: u64, back: u32, wish: u32) -> (u32, u64) {
        let full_at = self.without(full_at, now, back);
        let taken = wish.min(self.left(full_at, now));
        (taken, full_at + u64::from(taken) * self.token_us)
    }

    /// When the bucket is full again if `tokens` are put back.
    pub(crate) fn without(self, full_at: u64, now: u64, tokens: u32) -> u64 {
        let back = u64::from(tokens).saturating_mul(self.token_us);
        self.sane(full_at.saturating_sub(back), now)
    }

    /// Tokens there are at `now`.
    pub(crate) fn left(self, full_at: u64, now: u64) -> u32 {
        let missing_us = self.sane(full_at, now) - now;
        let tokens = (self.whole_us - missing_us) / self.token_us;
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// How long until there is a token.
    pub(crate) fn wait(self, full_at: u64, now: u64) -> Duration {
        let one_at = (self.sane(full_at, now) + self.token_us).saturating_sub(self.whole_us);
        Duration::from_micros(one_at.saturating_sub(now))
    }

    /// How long until all are there.
    pub(crate) fn full_after(self, full_at: u64, now: u64) -> Duration {
        Duration::from_micros(self.sane(full_at, now) - now)
    }

    /// A bucket is never more than empty. One that says so is from before a clock went back, or
    /// from an instance whose clock is ahead; who sees it must keep what this makes of it, or it
    /// would look empty for as long as the clocks differ.
    pub(crate) fn sane(self, full_at: u64, now: u64) -> u64 {
        full_at.clamp(now, now.saturating_add(self.whole_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;
    const SECOND: u64 = 1_000_000;

    fn rate(count: u32, per: Duration) -> Rate {
        Rate::of(Window { count, per }).unwrap()
    }

    #[test]
    fn a_full_bucket_gives_its_count_and_then_one_at_a_time() {
        let rate = rate(60, Duration::from_mins(1));
        let (taken, full_at) = rate.take(0, NOW, 0, 100);
        assert_eq!((taken, full_at), (60, NOW + 60 * SECOND));
        assert_eq!(rate.take(full_at, NOW, 0, 1).0, 0);
        assert_eq!(rate.wait(full_at, NOW), Duration::from_secs(1));
        assert_eq!(rate.wait(full_at, NOW + SECOND / 4), Duration::from_millis(750));
        assert_eq!(rate.take(full_at, NOW + SECOND, 0, 5), (1, NOW + 61 * SECOND));
        assert_eq!(rate.left(full_at, NOW + 30 * SECOND), 30);
        assert_eq!(rate.full_after(full_at, NOW + 30 * SECOND), Duration::from_secs(30));
        assert_eq!(rate.left(full_at, NOW + 90 * SECOND), 60);
    }

    #[test]
    fn what_is_put_back_was_never_taken() {
        let rate = rate(10, Duration::from_secs(10));
        let (_, full_at) = rate.take(0, NOW, 0, 10);
        assert_eq!(rate.take(full_at, NOW, 4, 10), (4, full_at));
        assert_eq!(rate.without(full_at, NOW, 100), NOW, "never more than full");
    }

    #[test]
    fn a_clock_that_goes_back_costs_a_window_at_most() {
        let rate = rate(10, Duration::from_secs(10));
        let (_, full_at) = rate.take(0, NOW, 0, 10);
        let long_before = NOW - 500 * SECOND;
        assert_eq!(rate.full_after(full_at, long_before), Duration::from_secs(10));
        assert_eq!(rate.wait(full_at, long_before), Duration::from_secs(1));
    }

    #[test]
    fn windows_of_any_size_work_and_nothing_is_no_limit() {
        assert_eq!(Rate::of(Window { count: 0, per: Duration::from_secs(1) }), None);
        let many = rate(u32::MAX, Duration::from_secs(1));
        assert_eq!(many.take(0, NOW, 0, 1_000).0, 1_000);
        let long = rate(3, Duration::MAX);
        assert_eq!(long.take(0, NOW, 0, 5).0, 3);
    }
}
