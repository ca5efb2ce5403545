//! `klatch soak`, short: the command that a user runs, with kills, and what it says at the end.

use klatch_e2e::server::{Exit, quiet, run};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_of_half_a_minute_with_two_kills_finds_nothing_wrong() {
    let _turn = quiet::beside_others().await.unwrap();
    let here = tempfile::tempdir().unwrap();
    let arguments = [
        "soak",
        "--for",
        "28s",
        "--kill-every",
        "12s",
        "--people",
        "16",
        "--data-root",
        ".",
        "--json",
        "report.json",
    ];
    let said = run(&arguments, &[], here.path()).unwrap();
    println!("{}\n{}", said.err, said.out);
    assert_eq!(said.exit, Exit::Code(0), "{}\n{}", said.out, said.err);
    assert!(said.out.contains("all promises were kept"), "{}", said.out);
    let report = std::fs::read(here.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    for wrong in ["lost", "doubled", "reordered", "leaked", "other"] {
        assert_eq!(report["wrongs"][wrong], 0, "{report}");
    }
    assert_eq!(report["kills"], 2);
    assert_eq!((&report["restarts"], &report["pauses"]), (&1.into(), &1.into()), "{report}");
    for (key, least) in [
        ("acknowledged", 500),
        ("retries", 1),
        ("repeats", 10),
        ("changes", 50),
        ("moves", 50),
        ("walks", 100),
        ("reconnects", 20),
        ("frames", 5_000),
        ("memberChecks", 5_000),
        ("roomsReadAgain", 8),
    ] {
        let count = report[key].as_u64().unwrap();
        assert!(count >= least, "{key} is {count}, too little to mean anything");
    }
    for tier in ["replay", "delta", "snapshot"] {
        assert!(report["resumes"][tier].as_u64().unwrap() > 0, "nobody had a {tier}: {report}");
    }
    assert_eq!(report["resumes"]["invalid"], 0);
    let left = std::fs::read_dir(here.path()).unwrap().count();
    assert_eq!(left, 1, "the data directory is removed");
}
