//! What befalls the machine while people use it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use klatch_retention::Pace;
use klatch_soak::dice::Dice;
use klatch_soak::load::Kills;
use klatch_testkit::BusFaults;
use tokio::time::Instant;

use crate::files::Left;
use crate::forget::Forgotten;
use crate::machine::Machine;
use crate::net::Network;
use crate::server::Life;

const HOUR_MS: i64 = 3_600_000;
/// What the tasks of a life may take to end.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// After this the power goes although nothing was written that it could have gone with.
const CUT_MOST: Duration = Duration::from_millis(400);

/// What happened, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// The power went between two writes.
    pub power_cuts: u32,
    /// The power went with a write that was running.
    pub torn_writes: u32,
    /// The process died, and the kernel kept what it had.
    pub kills: u32,
    /// A sync failed, and the process started again.
    pub failed_syncs: u32,
    /// The disk was full for a while.
    pub full_disks: u32,
    /// It was still full when servers were started.
    pub full_starts: u32,
    /// The disk was slow for a while.
    pub slow_disks: u32,
    /// Inboxes lost and repeated frames for a while.
    pub lossy_inboxes: u32,
    /// The clock was off by an hour for a while.
    pub clock_jumps: u32,
    /// A month passed while the machine was off.
    pub months: u32,
    /// What came of forgetting, where the log forgets.
    pub forgotten: Forgotten,
}

impl Happened {
    /// These and others.
    pub fn add(&mut self, other: Self) {
        self.power_cuts += other.power_cuts;
        self.torn_writes += other.torn_writes;
        self.kills += other.kills;
        self.failed_syncs += other.failed_syncs;
        self.full_disks += other.full_disks;
        self.full_starts += other.full_starts;
        self.slow_disks += other.slow_disks;
        self.lossy_inboxes += other.lossy_inboxes;
        self.clock_jumps += other.clock_jumps;
        self.months += other.months;
        self.forgotten.add(other.forgotten);
    }
}

/// The servers' fate.
pub(crate) struct Trouble {
    pub(crate) machine: Arc<Machine>,
    pub(crate) network: Arc<Network>,
    pub(crate) dice: Dice,
    pub(crate) happened: Happened,
    life: Arc<Life>,
    /// Power cuts before this life.
    cuts: u64,
}

impl Trouble {
    /// The first life.
    pub(crate) async fn begin(
        machine: Arc<Machine>,
        network: Arc<Network>,
        mut dice: Dice,
    ) -> Result<Self> {
        let life = Arc::new(Life::begin(&machine, dice.roll()).await?);
        network.lead_to(Arc::clone(&life));
        Ok(Self { machine, network, dice, happened: Happened::default(), life, cuts: 0 })
    }

    /// Lets things happen for as long as `time`, and then puts everything right.
    pub(crate) async fn happen(&mut self, time: Duration) -> Result<Kills> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let wait = self.dice.millis(50, 1_200);
            tokio::time::sleep(wait).await;
            self.one().await?;
        }
        self.mend();
        // What failed for good while it was mended starts again.
        if self.life.log.fatal().borrow().is_some() {
            self.restart().await?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Kills::default())
    }

    /// The last life ends, and all that it held is given back: connections and their role hold
    /// each other until they end.
    ///
    /// # Errors
    /// A promise was broken of which people know nothing: the first one.
    pub(crate) async fn end(&mut self) -> Result<()> {
        let compared = match &self.life.forgetter {
            Some(forgetter) => forgetter.finally().await,
            None => Ok(()),
        };
        self.happened.forgotten = *self.machine.forgotten.lock();
        self.network.cut();
        self.life.end();
        tokio::time::sleep(LAST_WORDS).await;
        // What was broken before may be why the comparison fails.
        self.machine.judge()?;
        compared
    }

    async fn one(&mut self) -> Result<()> {
        let kinds = if self.machine.files.is_some() { 200 } else { 100 };
        match self.dice.below(kinds) {
            0..12 => {
                self.happened.power_cuts += 1;
                self.cut_power().await?;
            }
            12..34 => {
                self.happened.torn_writes += 1;
                self.cut_power_in_a_write().await?;
            }
            34..44 => {
                self.happened.kills += 1;
                self.restart().await?;
            }
            44..54 => {
                self.happened.failed_syncs += 1;
                self.fail_syncs().await?;
            }
            54..64 => {
                self.happened.full_disks += 1;
                self.machine.set_full(true);
                let room = self.dice.below(40_000);
                self.machine.disk.set_capacity(self.machine.disk.used() + room);
            }
            64..72 => {
                self.happened.slow_disks += 1;
                self.machine.set_disk_ms(400);
            }
            72..86 => {
                self.happened.lossy_inboxes += 1;
                let drop = [10, 50, 100].get(usize::try_from(self.dice.below(3))?).copied();
                let faults = BusFaults { drop: drop.unwrap_or(10), repeat: 20 };
                let place = usize::try_from(self.dice.below(self.life.inboxes.len() as u64))?;
                if let Some(inbox) = self.life.inboxes.get(place) {
                    inbox.set(faults);
                }
            }
            86..93 => {
                self.happened.clock_jumps += 1;
                let skew = if self.dice.chance(50) { HOUR_MS } else { -HOUR_MS };
                self.machine.clock.set_skew(skew);
            }
            100..130 => self.pass_a_month().await?,
            130.. => self.disturb_forgetting().await?,
            _ => self.mend(),
        }
        Ok(())
    }

    /// The machine is off for a month.
    async fn pass_a_month(&mut self) -> Result<()> {
        self.happened.months += 1;
        self.network.cut();
        self.life.end();
        self.machine.clock.pass_a_month();
        self.restart().await
    }

    /// Something happens while the log forgets.
    async fn disturb_forgetting(&mut self) -> Result<()> {
        let forgets = |life: &Life| life.forgetter.clone().filter(|forgetter| forgetter.has_work());
        if forgets(&self.life).is_none() {
            self.pass_a_month().await?;
        }
        let Some(forgetter) = forgets(&self.life) else { return Ok(()) };
        let kind = self.dice.below(8);
        if kind < 2 {
            let pieces = self.dice.below(3);
            forgetter.cover(&mut Pace::broken_off_after(pieces));
            return if kind == 0 { self.restart().await } else { self.cut_power().await };
        }
        let Some(covered) = forgetter.cover(&mut Pace::full()) else { return Ok(()) };
        match kind {
            2 => {
                self.machine.forgotten.lock().unused += 1;
                self.cut_power().await
            }
            3 => {
                self.machine.set_failing(true);
                self.machine.disk.fail_syncs_after(self.dice.below(4));
                forgetter.let_go(&covered).await;
                self.machine.disk.mend();
                self.machine.set_failing(false);
                Ok(())
            }
            _ => {
                self.machine.disk.power_cut_after(self.dice.below(10));
                forgetter.let_go(&covered).await;
                // It may have taken fewer steps.
                self.machine.disk.mend();
                self.restart().await
            }
        }
    }

    fn mend(&self) {
        self.machine.disk.set_capacity(u64::MAX);
        self.machine.set_full(false);
        self.machine.set_disk_ms(4);
        self.machine.clock.set_skew(0);
        for inbox in &self.life.inboxes {
            inbox.set(BusFaults::default());
        }
    }

    async fn cut_power(&mut self) -> Result<()> {
        self.network.cut();
        self.machine.disk.power_cut();
        self.restart().await
    }

    /// The power goes with one of the next calls that change something, whatever it is.
    async fn cut_power_in_a_write(&mut self) -> Result<()> {
        let cuts = self.machine.disk.power_cuts();
        self.machine.disk.power_cut_after(1 + self.dice.below(5));
        let most = Instant::now() + CUT_MOST;
        while self.machine.disk.power_cuts() == cuts {
            if Instant::now() > most {
                self.network.cut();
                self.machine.disk.power_cut();
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.restart().await
    }

    /// Syncs fail from one of the next on: the log must give up by itself.
    async fn fail_syncs(&mut self) -> Result<()> {
        let mut fatal = self.life.log.fatal();
        self.machine.set_failing(true);
        self.machine.disk.fail_syncs_after(self.dice.below(4));
        let gave_up = fatal.wait_for(Option::is_some);
        // With nothing to write there is nothing to fail.
        let _ = tokio::time::timeout(Duration::from_secs(1), gave_up).await;
        self.machine.disk.mend();
        self.restart().await
    }

    /// The next life, on what the last one left.
    async fn restart(&mut self) -> Result<()> {
        self.network.cut();
        self.life.end();
        let pause = self.dice.millis(0, 300);
        tokio::time::sleep(pause).await;
        if self.machine.files.is_some() && self.machine.is_full() && self.dice.chance(60) {
            // Whoever starts a server on a full disk can read.
            self.happened.full_starts += 1;
        } else {
            self.machine.disk.set_capacity(u64::MAX);
            self.machine.set_full(false);
        }
        self.machine.set_failing(false);
        if let Some(files) = &self.machine.files {
            let cuts = self.machine.disk.power_cuts();
            files.next(if cuts == self.cuts { Left::All } else { Left::Cut })?;
            self.cuts = cuts;
            if self.dice.chance(25) {
                files.lose_models()?;
            }
        }
        let seed = self.dice.roll();
        let life = Life::begin(&self.machine, seed).await.context("after a crash")?;
        self.life = Arc::new(life);
        self.network.lead_to(Arc::clone(&self.life));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_promise_that_broke_first_is_told_and_the_life_ended_though_the_end_fails_too() {
        let dice = Dice::new(1);
        let machine = Arc::new(Machine::new(1, true).unwrap());
        let network = Network::new(dice.part(1));
        let mut trouble =
            Trouble::begin(Arc::clone(&machine), network, dice.part(2)).await.unwrap();
        let life = Arc::downgrade(&trouble.life);
        // What is in the way of the snapshot that the comparison makes.
        std::fs::write(machine.files.as_ref().unwrap().dir().join("snapshot"), "").unwrap();
        let alone = trouble.life.forgetter.as_ref().unwrap().finally().await;
        assert!(alone.is_err(), "the comparison does not fail by itself");
        machine.breaks(anyhow::anyhow!("the first one"));
        let told = trouble.end().await.unwrap_err().to_string();
        assert_eq!(told, "the first one");
        assert!(trouble.end().await.is_err(), "the comparison is told if nothing else was broken");
        drop(trouble);
        tokio::time::sleep(LAST_WORDS).await;
        assert!(life.upgrade().is_none(), "something holds the life");
    }
}
