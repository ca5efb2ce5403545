//! Many people at once, and nothing wrong with the server.

use std::time::Duration;

use klatch_e2e::dice::Dice;
use klatch_e2e::load::{Faults, Plan, Town};
use klatch_e2e::server::{Server, Settings, quiet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_people_who_come_and_go_at_random_see_one_truth() {
    let _turn = quiet::beside_others().await.unwrap();
    let seed = Dice::seed_of_run();
    eprintln!("KLATCH_SEED={seed}");
    let plan = Plan {
        people: 40,
        steady_rooms: 4,
        lobbies: 3,
        time: Duration::from_secs(12),
        pause_ms: 150,
        seed,
    };
    let mut server = Server::start(Settings::default()).await.unwrap();
    let town = Town::found(&server, plan).await.unwrap();
    let ran = town.live(&mut server, Faults::None).await.unwrap();
    eprintln!("{}\n{:?}\ntiers {:?}\n{:?}", ran.clean.text, ran.tally, ran.tiers, ran.clean.stays);
    assert!(ran.clean.acknowledged > 500, "too little was done to mean anything");
    assert!(ran.tiers.replay > 20, "too few resumes to mean anything");
    assert_eq!(ran.tiers.invalid, 0);
    assert!(server.is_running());
}
