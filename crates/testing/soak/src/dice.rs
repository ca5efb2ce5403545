//! Chance that can be repeated: a seed gives the same choices again.

use std::time::Duration;

/// A splitmix64 generator; not for secrets.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of `KLATCH_SEED`, or one of this moment. Tell it, so that a failure can be tried
    /// again.
    pub fn seed_of_run() -> u64 {
        let given = std::env::var("KLATCH_SEED").ok().and_then(|text| text.parse().ok());
        given.unwrap_or_else(crate::token::unix_millis)
    }

    /// Dice of their own for part `index`, so that parts do not disturb each other's choices.
    #[must_use]
    pub fn part(&self, index: u64) -> Self {
        let mut dice = Self(self.0 ^ index.wrapping_mul(0xd605_bbb5_8c8a_bbc9));
        dice.roll();
        dice
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll().checked_rem(end).unwrap_or(0)
    }

    /// Whether something that happens `percent` times of a hundred happens now.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the items.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len() as u64);
        items.get(usize::try_from(index).unwrap_or(0))
    }

    /// A span of at least `least_ms` and less than `most_ms` milliseconds.
    pub fn millis(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(least_ms + self.below(most_ms.saturating_sub(least_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_choices_and_parts_differ() {
        let rolls = |mut dice: Dice| -> Vec<u64> { (0..8).map(|_| dice.below(1000)).collect() };
        assert_eq!(rolls(Dice::new(7)), rolls(Dice::new(7)));
        assert_ne!(rolls(Dice::new(7).part(1)), rolls(Dice::new(7).part(2)));
        assert_eq!(Dice::new(1).below(0), 0);
        assert_eq!(Dice::new(1).choose::<u8>(&[]), None);
    }
}
