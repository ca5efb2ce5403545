//! One process: started, watched, ended by its id.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A running process; killed with SIGKILL when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }
}

impl Process {
    /// Starts the binary in `directory` with these variables and no others of ours, after a shell
    /// has done what `prelude` says; its output is appended to `log`.
    pub(super) fn start(
        (binary, prelude): (&Path, &[&str]),
        argv: &[OsString],
        variables: &[(String, String)],
        (directory, log): (&Path, &Path),
    ) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = if prelude.is_empty() {
            command(binary, variables)
        } else {
            let mut shell = command(Path::new("/bin/sh"), variables);
            let script = format!("{}; exec \"$0\" \"$@\"", prelude.join("; "));
            shell.arg("-c").arg(script).arg(binary);
            shell
        };
        command.args(argv).current_dir(directory).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        Ok(Self { child })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<Exit> {
        self.child.try_wait().ok().flatten().map(Exit::from)
    }

    /// Asks it to leave.
    pub(super) fn terminate(&self) -> Result<()> {
        self.send(Signal::TERM)
    }

    /// Asks it to read again what may have changed (SIGHUP).
    ///
    /// # Errors
    /// It is gone.
    pub fn hang_up(&self) -> Result<()> {
        self.send(Signal::HUP)
    }

    /// Stops it in the middle of whatever it does (SIGSTOP), until [`Process::go_on`].
    ///
    /// # Errors
    /// It is gone.
    pub fn pause(&self) -> Result<()> {
        self.send(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// It is gone.
    pub fn go_on(&self) -> Result<()> {
        self.send(Signal::CONT)
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("no process id")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?}"))
    }

    /// Files that it has open.
    ///
    /// # Errors
    /// The process is gone.
    pub fn open_files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// The process is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A command with these variables and none of our own: what is set where a run is started must not
/// become a setting of its servers.
pub fn command(binary: &Path, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KLATCH_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    command
}
