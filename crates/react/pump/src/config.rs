//! What an operator may set about the loops.

use std::time::Duration;

/// How failures are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// Wait after the first failure; each further one doubles it.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
    /// How often one record is tried before it becomes a dead letter; at least 1. An engine that
    /// is not there does not count: that is tried for ever.
    pub attempts: u32,
}

impl Default for RetryConfig {
    /// 50 ms doubling to 10 s; five attempts.
    fn default() -> Self {
        Self { first: Duration::from_millis(50), most: Duration::from_secs(10), attempts: 5 }
    }
}

/// How a projection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectionConfig {
    /// Most records applied and committed together.
    pub batch: usize,
    /// How long a batch may fill while events come densely. Readers that wait for their own write
    /// wait this much longer then, and never when little happens.
    pub linger: Duration,
    /// From how many offsets a second on events count as dense.
    pub dense_per_second: u64,
    /// After how many offsets without anything to apply the position is committed all the same,
    /// so that a restart need not look at them again.
    pub commit_every: u64,
    /// How failures are repeated.
    pub retry: RetryConfig,
}

impl Default for ProjectionConfig {
    /// Batches of 200 (the specification's), 10 ms of lingering from 2,000 a second on (20 records
    /// then share a commit), a commit at least every 10,000 offsets.
    fn default() -> Self {
        Self {
            batch: 200,
            linger: Duration::from_millis(10),
            dense_per_second: 2_000,
            commit_every: 10_000,
            retry: RetryConfig::default(),
        }
    }
}

/// How a reaction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReactionConfig {
    /// Most records fetched and acknowledged together.
    pub batch: usize,
    /// How long one job may take before it counts as failed.
    pub job_timeout: Duration,
    /// How failures are repeated.
    pub retry: RetryConfig,
}

impl Default for ReactionConfig {
    /// 50 records a fetch, 30 s a job.
    fn default() -> Self {
        Self { batch: 50, job_timeout: Duration::from_secs(30), retry: RetryConfig::default() }
    }
}
