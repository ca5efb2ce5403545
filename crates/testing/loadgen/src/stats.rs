//! Latencies in buckets of about 1.5 %, and medians of repetitions.

/// Buckets per power of two.
const FINE: u64 = 64;
const FINE_BITS: u32 = FINE.trailing_zeros();

/// A histogram of nanoseconds. Constant memory, about 30 KiB.
#[derive(Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let size = (64 - FINE_BITS as usize + 1) * FINE_BITS_SIZE;
        Self { buckets: vec![0; size], count: 0 }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "64")]
const FINE_BITS_SIZE: usize = FINE as usize;

/// Values below 64 have a bucket each; above, 64 to each power of two.
#[expect(clippy::cast_possible_truncation, reason = "at most 64 * 60")]
fn bucket(value: u64) -> usize {
    if value < FINE {
        return value as usize;
    }
    let shift = value.ilog2() - FINE_BITS;
    let group = u64::from(shift + 1);
    (group * FINE + ((value >> shift) - FINE)) as usize
}

/// The greatest value of a bucket.
fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket;
    }
    let shift = bucket / FINE - 1;
    ((FINE + bucket % FINE + 1) << shift) - 1
}

impl Histogram {
    pub(crate) fn record(&mut self, nanos: u64) {
        if let Some(count) = self.buckets.get_mut(bucket(nanos)) {
            *count += 1;
        }
        self.count += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The value that `share` (0 to 1) of all values do not exceed, in milliseconds; 0 if empty.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank within a count far below 2^52"
        )]
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "nanoseconds of less than 50 days"
                )]
                return top(index) as f64 / 1e6;
            }
        }
        0.0
    }
}

/// The middle of some figures, with the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of some repetitions; None of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(lower, upper), min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_at_most_two_percent_too_high() {
        for value in (0..200_u64).chain((8..63).map(|bit| (1 << bit) + 12_345)) {
            let top = top(bucket(value));
            assert!(top >= value, "{value} {top}");
            assert!(top - value <= value / 50, "{value} {top}");
        }
    }

    #[test]
    fn quantiles_of_one_to_a_thousand_milliseconds_are_their_ranks() {
        let mut histogram = Histogram::default();
        (1..=1000_u64).for_each(|ms| histogram.record(ms * 1_000_000));
        for (share, expected) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile_ms(share);
            assert!((found - expected).abs() < expected * 0.02, "{share}: {found}");
        }
        let mut both = histogram.clone();
        both.merge(&histogram);
        assert_eq!(both.count(), 2000);
        assert!((both.quantile_ms(0.5) - histogram.quantile_ms(0.5)).abs() < f64::EPSILON);
    }

    #[test]
    fn an_empty_histogram_and_no_repetitions_have_no_figures() {
        assert!(Histogram::default().quantile_ms(0.99) < 1e-5);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
    }
}
