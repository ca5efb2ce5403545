//! What is done to the server while people act.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::dice::Dice;
use crate::server::Server;

/// What is done to the server.
#[derive(Clone, Copy, Debug)]
pub enum Faults {
    /// Nothing.
    None,
    /// SIGKILL and restart, this often.
    Kills(u32),
}

/// What the kills showed.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    /// From each new process to readiness.
    pub ready_after: Vec<Duration>,
    /// All of it.
    pub took: Duration,
}

impl Kills {
    /// Kills and restarts `count` times at random moments.
    pub(super) async fn happen(server: &mut Server, count: u32, mut dice: Dice) -> Result<Self> {
        let begun = Instant::now();
        let mut kills = Self::default();
        for number in 1..=count {
            // Most come while everybody is busy, some into the replay and catching up of the last.
            let wait = if dice.chance(25) { dice.millis(0, 200) } else { dice.millis(400, 2_500) };
            tokio::time::sleep(wait).await;
            server.kill();
            // Long enough for some to miss more than a replay holds.
            if dice.chance(30) {
                tokio::time::sleep(dice.millis(50, 500)).await;
            }
            server.begin().await.with_context(|| format!("after kill {number}"))?;
            kills.ready_after.push(server.ready_after());
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        kills.took = begun.elapsed();
        Ok(kills)
    }

    /// The slowest start.
    pub fn slowest(&self) -> Duration {
        self.ready_after.iter().max().copied().unwrap_or_default()
    }

    /// The start in the middle.
    pub fn median(&self) -> Duration {
        let mut sorted = self.ready_after.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}
