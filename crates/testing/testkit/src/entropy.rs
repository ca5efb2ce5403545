use klatch_domain::Entropy;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Randomness that repeats: the same seed gives the same bytes in the same order.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<StdRng>);

impl SeededEntropy {
    /// Randomness from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().fill_bytes(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let (one, same, other) =
            (SeededEntropy::new(7), SeededEntropy::new(7), SeededEntropy::new(8));
        let first = one.bytes16();
        assert_eq!(first, same.bytes16());
        assert_ne!(first, one.bytes16());
        assert_ne!(first, other.bytes16());
    }
}
