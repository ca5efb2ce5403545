//! Counts frames that were not understood.

/// Ticks of the sweep in the span that counts: a minute.
const SPAN: u32 = 60;

/// A count within a minute that begins with the first of them.
#[derive(Debug, Default)]
pub(super) struct Misunderstood {
    count: u8,
    since: u32,
}

impl Misunderstood {
    /// One more at `tick`. Whether that makes `max` within a minute.
    pub(super) fn one_more(&mut self, tick: u32, max: u8) -> bool {
        if self.count == 0 || tick.wrapping_sub(self.since) > SPAN {
            *self = Self { count: 0, since: tick };
        }
        self.count = self.count.saturating_add(1);
        self.count >= max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_within_a_minute_is_too_many_and_a_minute_later_counts_anew() {
        let mut count = Misunderstood::default();
        assert!((0..9).all(|n| !count.one_more(n, 10)));
        assert!(count.one_more(60, 10));
        let mut count = Misunderstood::default();
        assert!((0..9).all(|_| !count.one_more(5, 10)));
        assert!(!count.one_more(66, 10));
    }
}
