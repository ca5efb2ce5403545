//! Seeds: many in CI, more at night (`KLATCH_SEEDS=1000`), one again (`KLATCH_SEED=7`).

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use klatch_simulation::{Happened, Outcome, run};

/// Seeds of a normal run.
const SEEDS: u64 = 200;
/// Virtual time of a seed.
const TIME: Duration = Duration::from_secs(4);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Beside the test's own executable.
fn keep_in() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn try_seed(seed: u64) -> Result<Outcome, String> {
    let ran = std::panic::catch_unwind(|| run(seed, TIME, keep_in()));
    let again = format!("repeat it with KLATCH_SEED={seed} make night");
    match ran {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => Err(format!("seed {seed}: {error:#}\n{again}")),
        Err(_) => Err(format!("seed {seed} panicked, see above\n{again}")),
    }
}

#[derive(Default)]
struct Sum {
    happened: Happened,
    acknowledged: u64,
    frames: u64,
    tiers: [u64; 4],
    failed: Vec<String>,
}

#[test]
fn whole_servers_keep_their_promises_whatever_befalls_the_machine() {
    let (first, count) = match number("KLATCH_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("KLATCH_SEEDS").unwrap_or(SEEDS)),
    };
    let (next, sum, begun) = (AtomicU64::new(first), Mutex::new(Sum::default()), Instant::now());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            let ran = try_seed(seed);
            let mut sum = sum.lock().unwrap();
            match ran {
                Ok(outcome) => {
                    sum.happened.add(outcome.happened);
                    sum.acknowledged += outcome.clean.acknowledged;
                    sum.frames += outcome.clean.frames;
                    let tiers = outcome.tiers;
                    let own = [tiers.replay, tiers.delta, tiers.snapshot, tiers.invalid];
                    sum.tiers.iter_mut().zip(own).for_each(|(all, own)| *all += own);
                }
                Err(text) => sum.failed.push(text),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(8) {
            scope.spawn(work);
        }
    });
    let Sum { happened, acknowledged, frames, tiers, failed } = sum.into_inner().unwrap();
    println!(
        "{count} seeds in {:?}: {acknowledged} acknowledged, {frames} live events, \
         resumes {tiers:?}, {happened:?}",
        begun.elapsed()
    );
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n\n"));
    if count >= SEEDS {
        let Happened { power_cuts, torn_writes, kills, failed_syncs, .. } = happened;
        let crashes = [power_cuts, torn_writes, kills, failed_syncs];
        assert!(crashes.iter().all(|count| *count > 50), "{happened:?}");
        assert!(acknowledged > 50 * count, "too little was done to mean anything");
        assert!(tiers[..3].iter().all(|count| *count > 50), "{tiers:?}");
        assert_eq!(tiers[3], 0, "positions that the server gave were invalid");
    }
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_seed_another() {
    let ran = |seed| try_seed(seed).unwrap_or_else(|text| panic!("{text}"));
    let mut hashes = BTreeSet::new();
    for seed in 3..8 {
        let (one, other) = (ran(seed), ran(seed));
        let histories = (one.canonical(), other.canonical());
        let mut both = histories.0.entries.iter().zip(&histories.1.entries).enumerate();
        if let Some((at, (one, other))) = both.find(|(_, (one, other))| one != other) {
            panic!("seed {seed} differs from entry {at} on:\n{one:?}\n{other:?}");
        }
        assert_eq!(one.hash(), other.hash(), "seed {seed}");
        hashes.insert(one.hash());
    }
    assert_eq!(hashes.len(), 5, "other seeds, other histories");
}
