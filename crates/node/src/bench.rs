//! `klatch bench`: load from a second process, a table and JSON at the end.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use klatch_domain::{Clock as _, Entropy as _};
use klatch_loadgen::{Pin, Sizes, Target, Workload};

use crate::host::{self, SystemClock, SystemEntropy};

/// Flags of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to run: baseline, fanout, rooms, pairs, idle, history [default: all].
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// Sizes that only show that everything works.
    #[arg(long)]
    small: bool,
    /// How often each workload runs, in turns.
    #[arg(long, default_value_t = 1)]
    repetitions: u32,
    /// Seconds that each measured stretch sends.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Idle connections.
    #[arg(long)]
    idle: Option<u32>,
    /// Messages in the history.
    #[arg(long)]
    history_messages: Option<u32>,
    /// Keep the server on processor 0 and the load on processor 1.
    #[arg(long)]
    pin: bool,
    /// Where data directories are made, and removed again [default: the system's temporary one].
    #[arg(long, value_name = "DIRECTORY")]
    data_root: Option<PathBuf>,
    /// Also write the report as JSON here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: BenchArgs) -> anyhow::Result<()> {
    let exe = std::env::current_exe().context("finding this executable")?;
    let mut sizes = if args.small { Sizes::small() } else { Sizes::default() };
    sizes.idle = args.idle.unwrap_or(sizes.idle);
    sizes.history_messages = args.history_messages.unwrap_or(sizes.history_messages);
    let (mut nonce, now) = ([0; 8], SystemClock.now());
    SystemEntropy.fill(&mut nonce);
    let command_line = std::env::args().collect::<Vec<_>>().join(" ");
    let spawn = Target::Spawn {
        argv: vec![exe.clone().into(), "serve".into()],
        environment: Vec::new(),
        data_root: args.data_root.unwrap_or_else(std::env::temp_dir),
    };
    let report = klatch_loadgen::run(
        &klatch_loadgen::Args {
            workloads: workloads(&args.workloads)?,
            target: spawn,
            baseline_argv: Some(vec![exe.into(), "bench-baseline".into()]),
            sizes,
            repetitions: args.repetitions,
            seconds: args.seconds,
            pin: args.pin.then(|| Pin { server: vec![0], load: vec![1] }),
            unix_seconds: now.0 / 1000,
            nonce: u64::from_be_bytes(nonce),
            command_line: program_name(command_line),
            durability: None,
        },
        &mut std::io::stderr(),
    )?;
    host::say(&report.markdown());
    if let Some(file) = args.json {
        std::fs::write(&file, report.json()?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// The command as anyone could type it: without the directory of this build.
fn program_name(command_line: String) -> String {
    let mut words = command_line.splitn(2, ' ');
    let rest = match (words.next(), words.next()) {
        (Some(_), Some(rest)) => rest.to_owned(),
        _ => return command_line,
    };
    format!("klatch {rest}")
}

fn workloads(names: &[String]) -> anyhow::Result<Vec<Workload>> {
    if names.is_empty() {
        return Ok(Workload::ALL.to_vec());
    }
    let parse = |name: &String| name.parse::<Workload>().map_err(anyhow::Error::msg);
    names.iter().map(parse).collect()
}

pub(crate) fn baseline() -> anyhow::Result<()> {
    klatch_loadgen::baseline_server(&mut std::io::stdout())
}
