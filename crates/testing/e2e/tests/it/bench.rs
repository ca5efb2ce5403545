//! `klatch bench`, small: every workload runs, and finds nothing lost, doubled or out of order.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use klatch_e2e::server::{Exit, binary, quiet, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Rows of a whole run, by their names.
const ROWS: [&str; 31] = [
    "bare writer, 8 frames a write",
    "bare writer, 1 frame a write",
    "bare writer, a few times a second",
    "bare writer, rooms",
    "fanout, bursts of eight",
    "fanout, coalesced",
    "fanout, one at a time",
    "fanout, a few a second",
    "rooms",
    "rooms, half load",
    "acks, none",
    "acks, after each delivery",
    "pairs",
    "pairs, half load",
    "idle",
    "idle, TLS",
    "fanout, TLS, bursts of eight",
    "fanout, TLS, one at a time",
    "history, each room's first read",
    "history, hot rooms",
    "readers",
    "slow, all read",
    "slow, all read again",
    "slow, 5 % never read",
    "bare handshakes",
    "storm",
    "sends, nobody signs in",
    "sends, all sign in",
    "logins meanwhile",
    "in 10 rooms",
    "in 500 rooms",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_bench_of_everything_finds_nothing_wrong() {
    let _turn = quiet::beside_others().await.unwrap();
    let here = tempfile::tempdir().unwrap();
    let arguments =
        ["bench", "--small", "--seconds", "0.3", "--data-root", ".", "--json", "report.json"];
    let said = run(&arguments, &[], here.path()).unwrap();
    assert_eq!(said.exit, Exit::Code(0), "{}\n{}", said.out, said.err);
    let report = std::fs::read(here.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["durability"], "fsync");
    let rows = report["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    for name in ROWS.iter().chain(&["million"]) {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
    let mut checked = 0;
    for row in rows {
        assert!(row["figures"]["per_second"]["min"].as_f64().unwrap() > 0.0, "{row}");
        for wrong in ["lost", "doubled", "disordered", "foreign", "not_stored"] {
            if let Some(count) = row["figures"].get(wrong) {
                assert_eq!(count["max"], 0.0, "{wrong}: {row}");
                checked += 1;
            }
        }
        assert_eq!(row["errors"], serde_json::json!({}), "{row}");
    }
    assert!(checked > 40, "only {checked} figures were there to check");
    let of = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    let figure = |name: &str, key: &str| of(name)["figures"][key]["median"].as_f64().unwrap();
    assert!(figure("storm", "all_back_s") > 0.0);
    let whole = |key| figure("idle, TLS", key).total_cmp(&100.0).is_eq();
    assert!(whole("connections") && whole("full_handshakes"), "{}", of("idle, TLS"));
    assert!((figure("million", "deliveries_per_message") - 50.0).abs() < f64::EPSILON);
    // Ten get each message, and what one read brings is acknowledged at once.
    let acks = "acks, after each delivery";
    let each = figure(acks, "acks_per_message");
    let unread = figure(acks, "acks_unread").abs();
    assert!((1.0..=10.0).contains(&each) && unread < f64::EPSILON, "{}", of(acks));
    assert!(of(acks)["figures"]["receiving_s_per_million_acks"].is_object(), "{}", of(acks));
    let left = std::fs::read_dir(here.path()).unwrap().count();
    assert_eq!(left, 1, "data directories are removed");
}

/// Command lines of processes that name this directory.
fn processes_of(directory: &std::path::Path) -> Vec<String> {
    let name = directory.file_name().unwrap().to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|it| std::fs::read_to_string(it.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bench_that_is_asked_to_end_leaves_neither_servers_nor_files_behind() {
    let _turn = quiet::beside_others().await.unwrap();
    let here = tempfile::tempdir().unwrap();
    let root = here.path().to_str().unwrap();
    let mut bench = std::process::Command::new(binary().unwrap())
        .args(["bench", "rooms", "--small", "--seconds", "30", "--data-root", root])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(bench.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("server ready")));
    assert_eq!(processes_of(here.path()).len(), 2, "the bench and its server");
    let pid = i32::try_from(bench.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let said: Vec<String> = said.map(Result::unwrap).collect();
    assert_eq!(bench.wait().unwrap().code(), Some(1));
    assert!(said.last().is_some_and(|line| line.contains("as asked")), "{said:?}");
    assert_eq!(processes_of(here.path()), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0, "data directories are removed");
}
