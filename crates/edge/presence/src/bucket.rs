//! Token buckets per person, in this process alone: what is counted here is worth no round trip.

use std::collections::HashMap;
use std::time::Duration;

use klatch_domain::UserId;
use parking_lot::Mutex;
use tokio::time::Instant;

/// People remembered before full buckets are looked for.
const SWEEP_AT: usize = 1_024;

/// A bucket for everyone who used theirs lately. A full one takes no memory.
#[derive(Debug)]
pub(crate) struct Buckets {
    burst: u32,
    refill: Duration,
    /// When each bucket will be full again.
    full_at: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    full_at: HashMap<UserId, Instant>,
    sweep_at: usize,
}

impl Buckets {
    pub(crate) fn new(burst: u32, refill: Duration) -> Self {
        let known = Known { full_at: HashMap::new(), sweep_at: SWEEP_AT };
        Self { burst, refill, full_at: Mutex::new(known) }
    }

    /// Takes one out. `Err`: after this long there is one again.
    pub(crate) fn take(&self, user: UserId) -> Result<(), Duration> {
        let now = Instant::now();
        let mut known = self.full_at.lock();
        if known.full_at.len() >= known.sweep_at {
            known.full_at.retain(|_, full_at| *full_at > now);
            known.full_at.shrink_to_fit();
            known.sweep_at = (known.full_at.len() * 2).max(SWEEP_AT);
        }
        let full_at = known.full_at.entry(user).or_insert(now);
        let after = (*full_at).max(now) + self.refill;
        let wait = (after - now).saturating_sub(self.refill * self.burst);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        *full_at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId::from_bits(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_and_then_one_at_a_time() {
        let buckets = Buckets::new(3, SECOND);
        for _ in 0..3 {
            assert_eq!(buckets.take(ANN), Ok(()));
        }
        assert_eq!(buckets.take(ANN), Err(SECOND));
        assert_eq!(buckets.take(UserId::from_bits(2)), Ok(()), "others are not concerned");
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(buckets.take(ANN), Err(SECOND / 2));
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(buckets.take(ANN), Ok(()));
        assert_eq!(buckets.take(ANN), Err(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_leave_memory() {
        let buckets = Buckets::new(1, SECOND);
        for round in 0..10u128 {
            for user in 0..1_000 {
                assert_eq!(buckets.take(UserId::from_bits(round * 1_000 + user)), Ok(()));
            }
            tokio::time::advance(SECOND).await;
        }
        assert!(buckets.full_at.lock().full_at.len() <= 2 * SWEEP_AT);
    }
}
