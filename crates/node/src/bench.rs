//! `klatch bench`: load from a second process, a table and JSON at the end.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use klatch_domain::{Clock as _, Entropy as _};
use klatch_loadgen::{Children, Pin, Report, Sizes, Target, Workload};

use crate::host::{self, SystemClock, SystemEntropy};

/// What the run's thread has for its calls: as much as a main thread.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// How long a run may take to end once its servers were asked to.
const END_WAIT: Duration = Duration::from_secs(30);

/// Flags of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to run: baseline, fanout, rooms, half, acks, pairs, idle, tls, history, readers, slow,
    /// storm, logins, manyrooms, million [default: all].
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// Sizes that only show that everything works.
    #[arg(long, conflicts_with = "full")]
    small: bool,
    /// Sizes as the targets name them: 18,000 idle connections, as many through TLS, a storm of
    /// 15,000, a room of a million members with 10,000 online. Needs 20,000 open files.
    #[arg(long)]
    full: bool,
    /// How often each workload runs, in turns.
    #[arg(long, default_value_t = 1)]
    repetitions: u32,
    /// Seconds that each measured stretch sends [default: 10, or 0.5 with --small].
    #[arg(long)]
    seconds: Option<f64>,
    /// Idle connections.
    #[arg(long)]
    idle: Option<u32>,
    /// Idle connections through TLS.
    #[arg(long, value_name = "CONNECTIONS")]
    tls: Option<u32>,
    /// Messages in the history.
    #[arg(long)]
    history_messages: Option<u32>,
    /// Connections that storm cuts.
    #[arg(long)]
    storm: Option<u32>,
    /// Rooms of the one who is in many.
    #[arg(long)]
    many_rooms: Option<u32>,
    /// Members of the very large room.
    #[arg(long)]
    members: Option<u32>,
    /// Members of it who are online.
    #[arg(long)]
    online: Option<u32>,
    /// Keep the server on processor 0 and the load on processor 1.
    #[arg(long)]
    pin: bool,
    /// Measure this server binary instead of this one: compares builds under the same load.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where data directories are made, and removed again [default: the system's temporary one].
    #[arg(long, value_name = "DIRECTORY")]
    data_root: Option<PathBuf>,
    /// Also write the report as JSON here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: BenchArgs) -> anyhow::Result<()> {
    let exe = std::env::current_exe().context("finding this executable")?;
    let (mut nonce, now) = ([0; 8], SystemClock.now());
    SystemEntropy.fill(&mut nonce);
    let command_line = std::env::args().collect::<Vec<_>>().join(" ");
    let server = args.server.clone().unwrap_or_else(|| exe.clone());
    let spawn = Target::Spawn {
        argv: vec![server.into(), "serve".into()],
        environment: unlimited(),
        data_root: args.data_root.clone().unwrap_or_else(std::env::temp_dir),
    };
    let report = until_asked_to_end(klatch_loadgen::Args {
        workloads: workloads(&args.workloads)?,
        target: spawn,
        baseline_argv: Some(vec![exe.into(), "bench-baseline".into()]),
        sizes: sizes(&args),
        repetitions: args.repetitions,
        seconds: args.seconds.unwrap_or(if args.small { 0.5 } else { 10.0 }),
        pin: args.pin.then(|| Pin { server: vec![0], load: vec![1] }),
        unix_seconds: now.0 / 1000,
        nonce: u64::from_be_bytes(nonce),
        command_line: program_name(command_line),
        durability: None,
        children: Children::default(),
    })?;
    host::say(&report.markdown());
    if let Some(file) = args.json {
        std::fs::write(&file, report.json()?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    anyhow::ensure!(report.is_clean(), "messages were lost, doubled, out of order or refused");
    Ok(())
}

/// Runs it on a thread of its own. Asked to end, it ends its servers; the run ends with them, and
/// removes what it has written.
fn until_asked_to_end(args: klatch_loadgen::Args) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = host::Signals::listen()?;
        let children = args.children.clone();
        let (tell, mut told) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("klatch-bench".to_owned()).stack_size(STACK_BYTES).spawn(
            move || {
                // Nobody waits any more for a run that was asked to end and did not.
                let _ = tell.send(klatch_loadgen::run(&args, &mut std::io::stderr()));
            },
        )?;
        tokio::select! {
            report = &mut told => return report.context("the run panicked")?,
            () = signals.asked_to_end() => children.end(),
        }
        let ended = tokio::time::timeout(END_WAIT, told).await;
        anyhow::ensure!(ended.is_ok(), "asked to end; its files may be left behind");
        anyhow::bail!("ended before all was measured, as asked")
    })
}

fn sizes(args: &BenchArgs) -> Sizes {
    let sizes = match (args.small, args.full) {
        (true, _) => Sizes::small(),
        (_, true) => Sizes::full(),
        _ => Sizes::default(),
    };
    Sizes {
        idle: args.idle.unwrap_or(sizes.idle),
        tls: args.tls.unwrap_or(sizes.tls),
        history_messages: args.history_messages.unwrap_or(sizes.history_messages),
        storm: args.storm.unwrap_or(sizes.storm),
        many_rooms: args.many_rooms.unwrap_or(sizes.many_rooms),
        crowd: args.members.unwrap_or(sizes.crowd),
        crowd_online: args.online.unwrap_or(sizes.crowd_online),
        ..sizes
    }
}

/// Limits that a few clients reach which stand for many.
fn unlimited() -> Vec<(String, String)> {
    let high = [
        ("KLATCH_REALTIME__FRAMES_PER_SECOND", "65535"),
        ("KLATCH_REALTIME__FRAMES_BURST", "65535"),
        ("KLATCH_REALTIME__ROOM_KIB_PER_SECOND", "1048576"),
    ];
    high.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
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
    klatch_loadgen::baseline_server(SystemClock.now().0 / 1000, &mut std::io::stdout())
}
