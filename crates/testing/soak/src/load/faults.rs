//! What is done to the server while people act.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::dice::Dice;
use crate::server::{Exit, Server};

/// How long an orderly end may take.
const LEAVE_MOST: Duration = Duration::from_secs(40);

/// What is done to the server.
#[derive(Clone, Copy, Debug)]
pub enum Faults {
    /// Nothing.
    None,
    /// SIGKILL and restart, this often, at random moments.
    Kills(u32),
    /// SIGKILL and restart again and again; half-way between two kills in turns an orderly restart
    /// (SIGTERM) and a pause (SIGSTOP, some seconds, SIGCONT).
    Soak {
        /// How long in all.
        time: Duration,
        /// From one kill to the next.
        kill_every: Duration,
    },
}

/// What was done to the server, and how it came back.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    /// From each new process after a kill to readiness.
    pub ready_after: Vec<Duration>,
    /// Orderly ends, each with how long it took.
    pub left_in: Vec<Duration>,
    /// Pauses.
    pub paused: Vec<Duration>,
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
            kills.kill(server, &mut dice).await.with_context(|| format!("after kill {number}"))?;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        kills.took = begun.elapsed();
        Ok(kills)
    }

    /// See [`Faults::Soak`]. The last kill comes early enough for everybody to come back.
    pub(super) async fn soak(
        server: &mut Server,
        (time, kill_every): (Duration, Duration),
        mut dice: Dice,
    ) -> Result<Self> {
        let begun = Instant::now();
        let mut kills = Self::default();
        let (mut next, mut milder) = (kill_every, true);
        let mut orderly = dice.chance(50);
        loop {
            let at = if milder { next.saturating_sub(kill_every / 2) } else { next };
            if at + kill_every / 4 > time {
                tokio::time::sleep(time.saturating_sub(begun.elapsed())).await;
                kills.took = begun.elapsed();
                return Ok(kills);
            }
            // Not at the same tick of anything.
            let at = at + dice.millis(0, 500);
            tokio::time::sleep(at.saturating_sub(begun.elapsed())).await;
            if !milder {
                kills.kill(server, &mut dice).await.context("after a kill")?;
                next += kill_every;
            } else if orderly {
                kills.restart(server).await?;
            } else {
                kills.pause(server, &mut dice).await?;
            }
            orderly ^= milder;
            milder = !milder;
        }
    }

    async fn kill(&mut self, server: &mut Server, dice: &mut Dice) -> Result<()> {
        server.kill();
        // Long enough for some to miss more than a replay holds.
        if dice.chance(30) {
            tokio::time::sleep(dice.millis(50, 500)).await;
        }
        server.begin().await?;
        self.ready_after.push(server.ready_after());
        Ok(())
    }

    async fn restart(&mut self, server: &mut Server) -> Result<()> {
        let (exit, took) = server.terminate(LEAVE_MOST).await.context("after SIGTERM")?;
        ensure!(exit == Exit::Code(0), "after SIGTERM the server ended with {exit}");
        self.left_in.push(took);
        server.begin().await.context("after an orderly end")
    }

    async fn pause(&mut self, server: &mut Server, dice: &mut Dice) -> Result<()> {
        let time = dice.millis(500, 4_000);
        let process = server.process().context("the server is not running")?;
        process.pause()?;
        tokio::time::sleep(time).await;
        process.go_on()?;
        self.paused.push(time);
        Ok(())
    }

    /// What was done in another stretch of the same run, too.
    pub fn add(&mut self, other: Self) {
        self.ready_after.extend(other.ready_after);
        self.left_in.extend(other.left_in);
        self.paused.extend(other.paused);
        self.took += other.took;
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
