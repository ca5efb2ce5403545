//! Processes this one started: read for their address, ended by their id, never left behind.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to leave after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);

/// A child that is ended when dropped.
pub(crate) struct Process {
    child: Child,
    /// Kept open: a child that writes into a closed pipe would die of it.
    out: Option<ChildStdout>,
}

impl Process {
    /// Starts a command. Its output goes to `log`.
    pub(crate) fn start(argv: &[OsString], env: &[(String, String)], log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = command(argv, env)?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {argv:?}"))?;
        Ok(Self { child, out: None })
    }

    /// Starts a command that tells where it listens: a line `listening <address>`.
    pub(crate) fn listening(argv: &[OsString]) -> Result<(Self, SocketAddr)> {
        let mut command = command(argv, &[])?;
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("starting {argv:?}"))?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?);
        let mut process = Self { child, out: None };
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
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Asks it to leave, waits, and kills it if it does not.
    pub(crate) fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if self.ended().is_none()
            && let Some(pid) = pid
        {
            let _ = kill_process(pid, Signal::TERM);
            let deadline = Instant::now() + GRACE;
            while self.ended().is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if self.ended().is_none() {
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
