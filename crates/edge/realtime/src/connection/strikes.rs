//! How much a client may say, and how often it may be wrong.
//!
//! There is one of each per connection, so they are small: of the tick they keep the lower half,
//! which comes again after 18 hours and then errs by one strike or one second at most.

/// Ticks of the sweep in the span that counts: a minute.
const SPAN: u16 = 60;

/// Counts what must not happen often, within a minute that begins with the first.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    count: u8,
    since: u16,
}

impl Strikes {
    /// One more at `tick`. Whether that makes `max` within a minute.
    pub(super) fn one_more(&mut self, tick: u32, max: u8) -> bool {
        let tick = lower_half(tick);
        if self.count == 0 || tick.wrapping_sub(self.since) > SPAN {
            *self = Self { count: 0, since: tick };
        }
        self.count = self.count.saturating_add(1);
        self.count >= max
    }
}

/// A bucket of words: full at first, and filled a little with every tick.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u16,
    tick: u16,
}

/// What fills an [`Allowance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) per_second: u16,
    pub(super) burst: u16,
}

impl Allowance {
    pub(super) fn full(rate: Rate, tick: u32) -> Self {
        Self { left: rate.burst, tick: lower_half(tick) }
    }

    /// One more word. Whether it is allowed.
    pub(super) fn take(&mut self, rate: Rate, tick: u32) -> bool {
        let tick = lower_half(tick);
        let ticks = tick.wrapping_sub(self.tick);
        if ticks > 0 {
            let more = rate.per_second.saturating_mul(ticks);
            self.left = self.left.saturating_add(more).min(rate.burst);
            self.tick = tick;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

fn lower_half(tick: u32) -> u16 {
    (tick & u32::from(u16::MAX)).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_within_a_minute_is_too_many_and_a_minute_later_counts_anew() {
        let mut count = Strikes::default();
        assert!((0..9).all(|n| !count.one_more(n, 10)));
        assert!(count.one_more(60, 10));
        let mut count = Strikes::default();
        assert!((0..9).all(|_| !count.one_more(5, 10)));
        assert!(!count.one_more(66, 10));
    }

    #[test]
    fn an_allowance_lets_a_burst_through_and_then_its_rate() {
        let rate = Rate { per_second: 2, burst: 5 };
        let mut allowance = Allowance::full(rate, 7);
        let mut allowed = |tick, of| (0..of).filter(|_| allowance.take(rate, tick)).count();
        assert_eq!(allowed(7, 9), 5);
        assert_eq!(allowed(8, 9), 2);
        assert_eq!(allowed(10, 9), 4);
        assert_eq!(allowed(1_000, 9), 5);
    }
}
