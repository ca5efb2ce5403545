//! A seed's whole story: people, trouble, verdict.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use klatch_checker::{History, What, digest};
use klatch_soak::client::{Stage, TierCounts};
use klatch_soak::dice::Dice;
use klatch_soak::load::{Plan, Tally, Town};
use klatch_soak::verdict::Clean;
use tokio::time::Instant;

use crate::machine::{BEGINNING, Machine};
use crate::net::{Line, Network};
use crate::trouble::{Happened, Trouble};

/// Tokens were made long before, so that a clock that goes back finds them good.
const TOKENS_BEFORE_S: u64 = 24 * 3_600;
const NANOS_PER_MS: u64 = 1_000_000;
/// In every so many seeds the log forgets.
const FORGETS: u64 = 4;

/// What came of a seed, when no promise was broken.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was judged.
    pub clean: Clean,
    /// What people did.
    pub tally: Tally,
    /// How resumes were answered.
    pub tiers: TierCounts,
    /// What befell the machine.
    pub happened: Happened,
    /// All that was recorded, in its order.
    pub history: History,
}

impl Outcome {
    /// The history with what happened to different people at the same (virtual) millisecond in a
    /// fixed order: the kernel and hash maps have no reason to prefer one of them.
    pub fn canonical(&self) -> History {
        let mut entries = self.history.entries.clone();
        for entry in &mut entries {
            entry.at /= NANOS_PER_MS;
        }
        entries.sort_by_key(|entry| (entry.at, whose(&entry.what)));
        History { entries }
    }

    /// A digest of [`Outcome::canonical`].
    pub fn hash(&self) -> u64 {
        let mut bytes = Vec::new();
        // Writing into memory cannot fail.
        let _ = klatch_checker::write(&self.canonical(), &mut bytes);
        digest(&bytes)
    }
}

/// Whether the log forgets in this seed.
pub fn forgets(seed: u64) -> bool {
    seed % FORGETS == 1
}

/// Runs `seed` for `time` (virtual; some hundred times faster than real). Nothing outside of it
/// has any influence, and it leaves nothing behind but `keep_in/history-….ndjson` of a seed that
/// breaks a promise.
///
/// # Errors
/// A promise was broken (`klatch_soak::verdict::Broken`), or a server did not start on what a crash
/// left.
pub fn run(seed: u64, time: Duration, keep_in: PathBuf) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .context("building a runtime")?;
    runtime.block_on(story(seed, time, keep_in))
}

/// Sorts what concerns a person's operations, session or connection together.
fn whose(what: &What) -> (u8, u64) {
    match what {
        What::Invoke { process, .. }
        | What::Ok { process, .. }
        | What::Fail { process, .. }
        | What::Unknown { process, .. } => (0, u64::from(*process)),
        What::Watch { session, .. }
        | What::Unwatch { session, .. }
        | What::Settled { session }
        | What::Open { session, .. } => (1, u64::from(*session)),
        What::Resumed { connection }
        | What::Gap { connection, .. }
        | What::Close { connection }
        | What::Receive { connection, .. }
        | What::Other { connection, .. } => (2, *connection),
    }
}

async fn story(seed: u64, time: Duration, keep_in: PathBuf) -> Result<Outcome> {
    let dice = Dice::new(seed);
    let machine = Arc::new(Machine::new(seed, forgets(seed))?);
    let months = machine.clock.months();
    let network = Network::new(dice.part(1 << 40));
    let mut trouble = Trouble::begin(machine, Arc::clone(&network), dice.part(1 << 41)).await?;
    let (begun, mut last) = (Instant::now(), 0);
    let mut stage = Stage::over(Arc::new(Line(network)), move || {
        // Virtual time goes in milliseconds; what happens within one has an order all the same.
        last = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX).max(last + 1);
        last
    });
    stage.token_time = Some(BEGINNING.0 / 1_000 - TOKENS_BEFORE_S);
    stage.keep_in = keep_in;
    stage.forgets = forgets(seed);
    stage.months = months;
    let stage = Arc::new(stage);
    let plan =
        Plan { people: 6, steady_rooms: 2, lobbies: 1, time, pause_ms: 120, seed, chapter: 0 };
    let town = Town::found_on(Arc::clone(&stage), plan).await.context("founding the town")?;
    let ran = town.live_while(trouble.happen(time)).await;
    let ended = trouble.end().await;
    let ran = ran?;
    ended?;
    Ok(Outcome {
        clean: ran.clean,
        tally: ran.tally,
        tiers: ran.tiers,
        happened: trouble.happened,
        history: stage.recorder().snapshot(),
    })
}
