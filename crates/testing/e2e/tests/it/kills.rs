//! SIGKILL at random moments under load.

use std::time::Duration;

use klatch_e2e::dice::Dice;
use klatch_e2e::load::{Faults, Plan, Town};
use klatch_e2e::server::{Server, Settings, quiet};

/// Kills of the normal run; `make soak-kill` makes more.
const KILLS: u32 = 5;
/// After a SIGKILL a server answers again within this.
const READY_MOST: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_nothing_it_acknowledged() {
    // Alone: the time to readiness is part of the promise.
    let _turn = quiet::alone().await.unwrap();
    let given = std::env::var("KLATCH_KILLS").ok().and_then(|text| text.parse().ok());
    let kills = given.unwrap_or(KILLS);
    let seed = Dice::seed_of_run();
    eprintln!("KLATCH_SEED={seed} KLATCH_KILLS={kills}");
    let plan = Plan {
        people: 30,
        steady_rooms: 4,
        lobbies: 2,
        time: Duration::ZERO,
        pause_ms: 60,
        seed,
        chapter: 0,
    };
    // Little is much here, so that every tier occurs again and again.
    let settings = Settings::default()
        .with("KLATCH_REALTIME__REPLAY_EVENTS", "8")
        .with("KLATCH_REALTIME__DELTA_EVENTS", "5")
        .with("KLATCH_REALTIME__DELTA_ROOMS", "4");
    let mut server = Server::start(settings).await.unwrap();
    let town = Town::found(&server, plan).await.unwrap();
    let ran = town.live(&mut server, Faults::Kills(kills)).await.unwrap();
    eprintln!("{}\n{:?}\n{:?}", ran.clean.text, ran.tally, ran.clean.stays);
    eprintln!(
        "{kills} kills in {:?}; ready after {:?} (median), {:?} (slowest); {:?}",
        ran.kills.took,
        ran.kills.median(),
        ran.kills.slowest(),
        ran.tiers
    );
    assert_eq!(ran.kills.ready_after.len(), kills as usize);
    assert!(ran.kills.slowest() < READY_MOST, "{:?}", ran.kills.ready_after);
    assert!(ran.clean.acknowledged > 100 * u64::from(kills), "too little was done in between");
    assert!(ran.tiers.replay > 0, "nobody resumed by replay");
    assert!(ran.tiers.delta > 0, "nobody resumed by delta");
    assert!(ran.tiers.snapshot > 0, "nobody had to begin anew");
    assert_eq!(ran.tiers.invalid, 0, "positions of before a kill were not known after it");
}
