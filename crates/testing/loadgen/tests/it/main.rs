//! The bare writer in a process of its own, small.

#![cfg(test)]

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};

use klatch_loadgen::{Args, Children, Sizes, Target, Workload, baseline_server, run};

const CHILD: &str = "KLATCH_LOADGEN_TEST_IS_BARE_WRITER";

/// Not a test by itself: the process that `the_bare_writer…` starts from this executable.
#[test]
fn bare_writer_process() {
    if std::env::var_os(CHILD).is_some() {
        baseline_server(1_000_000_000, &mut std::io::stdout()).unwrap();
    }
}

/// `env NAME=1 <this executable> bare_writer_process --exact --nocapture`.
fn bare_writer_argv() -> Vec<OsString> {
    let own = std::env::current_exe().unwrap();
    let mut argv: Vec<OsString> = vec!["env".into(), format!("{CHILD}=1").into(), own.into()];
    argv.extend(["bare_writer_process", "--exact", "--nocapture"].map(OsString::from));
    argv
}

fn args() -> Args {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let (admin_token, issuer_secret) = (String::new(), String::new());
    Args {
        workloads: vec![Workload::Baseline],
        target: Target::Given { address, pid: None, admin_token, issuer_secret },
        baseline_argv: Some(bare_writer_argv()),
        sizes: Sizes::small(),
        repetitions: 2,
        seconds: 0.4,
        pin: None,
        unix_seconds: 1_000_000_000,
        nonce: 1,
        command_line: "test".to_owned(),
        durability: None,
        children: Children::default(),
    }
}

#[test]
fn the_bare_writer_gives_four_rows_with_rates_and_costs() {
    let mut progress = Vec::new();
    let report = run(&args(), &mut progress).unwrap();
    let names: Vec<&str> = report.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "bare writer, 8 frames a write",
            "bare writer, 1 frame a write",
            "bare writer, a few times a second",
            "bare writer, rooms"
        ]
    );
    for row in &report.rows {
        assert!(row.figures["per_second"].min > 1.0, "{row:?}");
    }
    let eight = &report.rows[0].figures["cpu_s_per_million"];
    assert!(eight.min > 0.05 && eight.max < 1000.0, "{eight:?}");
    assert!(report.is_clean());
    let table = report.markdown();
    assert!(table.contains("| bare writer, rooms |") && table.contains("2001-09-09"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 4);
    assert!(String::from_utf8(progress).unwrap().contains("baseline (2 of 2)"));
}

#[test]
fn a_server_that_is_not_there_is_an_error_that_names_the_workload() {
    let mut args = args();
    args.workloads = vec![Workload::Fanout];
    args.target = Target::Spawn {
        argv: vec!["false".into()],
        environment: vec![],
        data_root: std::env::temp_dir(),
    };
    let error = run(&args, &mut Vec::new()).unwrap_err();
    assert!(format!("{error:#}").contains("workload fanout: the server ended"), "{error:#}");
}

#[test]
fn tls_at_a_server_that_runs_already_is_refused_and_says_why() {
    let args = Args { workloads: vec![Workload::Tls], ..args() };
    let error = format!("{:#}", run(&args, &mut Vec::new()).unwrap_err());
    assert!(error.contains("workload tls") && error.contains("certificate of its own"), "{error}");
}
