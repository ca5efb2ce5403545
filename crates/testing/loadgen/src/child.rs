//! Processes this one started: read for their address, ended by their id, never left behind.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to leave after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);

/// The processes that a run has started and not ended yet.
#[derive(Clone, Debug, Default)]
pub struct Children {
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    pids: BTreeSet<u32>,
    /// No more may be started.
    is_over: bool,
}

impl Children {
    /// Asks all of them to leave and lets none be started any more, so that the run that they
    /// belong to ends with an error.
    pub fn end(&self) {
        let mut running = self.running.lock();
        running.is_over = true;
        for pid in running.pids.iter().copied().filter_map(pid) {
            // One that has just ended is not waited for yet, so its id is nobody else's.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn spawn(&self, command: &mut Command) -> Result<Child> {
        let mut running = self.running.lock();
        ensure!(!running.is_over, "asked to end");
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        running.pids.insert(child.id());
        Ok(child)
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// A child that is ended when dropped.
pub(crate) struct Process {
    child: Child,
    children: Children,
    /// Kept open: a child that writes into a closed pipe would die of it.
    out: Option<ChildStdout>,
}

impl Process {
    /// Starts a command. Its output goes to `log`.
    pub(crate) fn start(
        children: &Children,
        argv: &[OsString],
        env: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = command(argv, env)?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = children.spawn(&mut command)?;
        Ok(Self { child, children: children.clone(), out: None })
    }

    /// Starts a command that tells where it listens: a line `listening <address>`.
    pub(crate) fn listening(children: &Children, argv: &[OsString]) -> Result<(Self, SocketAddr)> {
        let mut command = command(argv, &[])?;
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let child = children.spawn(&mut command)?;
        let mut process = Self { child, children: children.clone(), out: None };
        let mut lines = BufReader::new(process.child.stdout.take().context("no output")?);
        for _ in 0..100 {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            if let Some((_, address)) = line.split_once("listening ") {
                let address = address.trim().parse()?;
                process.out = Some(lines.into_inner());
                return Ok((process, address));
            }
        }
        bail!("{argv:?} did not tell where it listens")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<String> {
        // Held meanwhile: once it was waited for its id may be given to another.
        let mut running = self.children.running.lock();
        let status = self.child.try_wait().ok().flatten()?;
        running.pids.remove(&self.child.id());
        Some(status.to_string())
    }

    /// Asks it to leave, waits, and kills it if it does not.
    pub(crate) fn stop(&mut self) {
        if self.ended().is_none()
            && let Some(pid) = pid(self.child.id())
        {
            let _ = kill_process(pid, Signal::TERM);
            let deadline = Instant::now() + GRACE;
            while self.ended().is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if self.ended().is_none() {
            self.children.running.lock().pids.remove(&self.child.id());
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn command(argv: &[OsString], env: &[(String, String)]) -> Result<Command> {
    let (program, rest) = argv.split_first().context("an empty command line")?;
    let mut command = Command::new(program);
    command.args(rest).envs(env.iter().map(|(key, value)| (key, value))).stdin(Stdio::null());
    Ok(command)
}
