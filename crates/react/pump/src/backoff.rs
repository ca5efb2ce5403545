//! Waiting longer after each failure, and never in step with others.

use std::time::Duration;

use klatch_domain::Entropy;

use crate::config::RetryConfig;

impl RetryConfig {
    /// The wait after `failures` failures in a row (1 is the first): doubled each time up to the
    /// longest, of which between half and all is taken, so that many workers do not come back in
    /// one moment.
    pub(crate) fn wait_after(&self, failures: u32, entropy: &dyn Entropy) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let full = self.first.saturating_mul(1 << doublings).min(self.most);
        let mut random = [0];
        entropy.fill(&mut random);
        full / 2 + (full / 2) * u32::from(random[0]) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Always(u8);

    impl Entropy for Always {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_takes_up_to_half() {
        let retry = RetryConfig {
            first: Duration::from_millis(100),
            most: Duration::from_secs(1),
            attempts: 5,
        };
        let waits = |random| [1, 2, 3, 4, 5, 1000].map(|n| retry.wait_after(n, &Always(random)));
        assert_eq!(waits(255).map(|wait| wait.as_millis()), [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(waits(0).map(|wait| wait.as_millis()), [50, 100, 200, 400, 500, 500]);
    }
}
