//! A real server: its own process, port and directory; ended by its id, whatever happens.

mod process;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

pub use process::{Exit, Process, command};

use crate::dice::Dice;
use crate::rest::Rest;
use crate::token;

/// The token that makes the first administrator of every server here.
pub const SETUP_TOKEN: &str = "setup-token-of-the-tests";
/// How long a server may take to be ready, on a busy machine.
const READY_MOST: Duration = Duration::from_mins(1);
/// Ports from here on are below those that the system gives to outgoing connections: while the
/// server is down a client that tries to reach it could otherwise be given its port.
const PORTS: (u64, u64) = (20_000, 32_000);

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The binary; this very one when absent.
    pub program: Option<PathBuf>,
    /// Where the server's own directory is made; the system's place for such when absent.
    pub root: Option<PathBuf>,
    /// Variables, besides those of the tests.
    pub variables: Vec<(String, String)>,
    /// Flags after `serve --listen … --data-dir …`.
    pub flags: Vec<String>,
    /// The data directory, when it is not to be a fresh one.
    pub data_dir: Option<PathBuf>,
    /// How many files the process may open, when fewer than the tests may.
    pub files: Option<u64>,
    /// What a shell does before it becomes the server, in the words of `sh`.
    pub prelude: Option<String>,
}

impl Settings {
    /// The same settings with a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same settings with a flag.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// The same settings on a directory that is there already.
    #[must_use]
    pub fn on(mut self, data_dir: &Path) -> Self {
        self.data_dir = Some(data_dir.to_owned());
        self
    }
}

/// A server with a fixed address and directory; its process comes and goes.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    settings: Settings,
    /// Holds the log and the data directory; gone with the server.
    root: TempDir,
    process: Option<Process>,
    ready_after: Duration,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// It ended, or was not ready in time; with what it wrote.
    pub async fn start(settings: Settings) -> Result<Self> {
        let mut server = Self::stopped(settings)?;
        server.begin().await?;
        Ok(server)
    }

    /// A server that is not started yet.
    ///
    /// # Errors
    /// No directory or no port.
    pub fn stopped(settings: Settings) -> Result<Self> {
        let place = settings.root.clone().unwrap_or_else(std::env::temp_dir);
        let root = tempfile::Builder::new().prefix("klatch-test-").tempdir_in(place)?;
        let address = free_address()?;
        let ready_after = Duration::ZERO;
        Ok(Self { address, settings, root, process: None, ready_after })
    }

    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// It ended, or was not ready in time; with what it wrote.
    pub async fn begin(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.spawn()?;
        let rest = Rest::new(self.address, None);
        while begun.elapsed() < READY_MOST {
            if rest.get("/readyz").await.is_ok_and(|answer| answer.status == 200) {
                self.ready_after = begun.elapsed();
                return Ok(());
            }
            if let Some(exit) = self.process.as_mut().and_then(Process::ended) {
                self.process = None;
                bail!("the server ended: {exit}\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the server was not ready after {READY_MOST:?}\n{}", self.log_tail())
    }

    /// Starts the process and waits for nothing.
    ///
    /// # Errors
    /// There is no binary.
    pub fn spawn(&mut self) -> Result<()> {
        let mut argv: Vec<OsString> = vec!["serve".into(), "--listen".into()];
        argv.push(self.address.to_string().into());
        argv.push("--data-dir".into());
        argv.push(self.data_dir().into());
        argv.extend(self.settings.flags.iter().map(OsString::from));
        let mut variables = vec![
            token::server_variable(),
            ("KLATCH_AUTH__SETUP_TOKEN".to_owned(), SETUP_TOKEN.to_owned()),
            // A few clients stand for many; tests of the limits set it back.
            ("KLATCH_LIMITS__PROFILE".to_owned(), "test".to_owned()),
        ];
        variables.extend(self.settings.variables.iter().cloned());
        self.process = None;
        let files = self.settings.files.map(|files| format!("ulimit -n {files}"));
        let preludes = [&files, &self.settings.prelude];
        let prelude: Vec<&str> = preludes.into_iter().flatten().map(String::as_str).collect();
        let (directory, log) = (self.root.path(), self.log());
        let program = match &self.settings.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().context("finding this executable")?,
        };
        self.process =
            Some(Process::start((&program, &prelude), &argv, &variables, (directory, &log))?);
        Ok(())
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks the process to leave with SIGTERM and tells how it ended and how long it took.
    ///
    /// # Errors
    /// It runs no more, or did not end within `most`.
    pub async fn terminate(&mut self, most: Duration) -> Result<(Exit, Duration)> {
        let begun = Instant::now();
        self.ask_to_leave()?;
        let exit = self.wait_ended(most).await?;
        Ok((exit, begun.elapsed()))
    }

    /// Asks the process to leave with SIGTERM and waits for nothing.
    ///
    /// # Errors
    /// It runs no more.
    pub fn ask_to_leave(&self) -> Result<()> {
        self.process.as_ref().context("the server is not running")?.terminate()
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// It did not within `most`, or was not running.
    pub async fn wait_ended(&mut self, most: Duration) -> Result<Exit> {
        let begun = Instant::now();
        loop {
            let process = self.process.as_mut().context("the server is not running")?;
            if let Some(exit) = process.ended() {
                self.process = None;
                return Ok(exit);
            }
            if begun.elapsed() > most {
                bail!("the server did not end within {most:?}\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// The process.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Where it listens; the same after every restart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long the last start took from the process to readiness.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The directory of everything that the run keeps: the data directory and the server's log.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.settings.data_dir.clone().unwrap_or_else(|| self.root.path().join("data"))
    }

    /// Ends the process and leaves its directory where it is, for whoever looks for a cause.
    pub fn keep(mut self) -> PathBuf {
        self.process = None;
        self.root.disable_cleanup(true);
        self.root.path().to_owned()
    }

    /// Changes what the next start begins with.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// A REST client for the user of this name, who is made at first sight.
    pub fn rest_as(&self, username: &str) -> Rest {
        Rest::new(self.address, Some(token::of(username)))
    }

    /// A REST client without a token.
    pub fn rest(&self) -> Rest {
        Rest::new(self.address, None)
    }

    /// Registers the first administrator.
    ///
    /// # Errors
    /// It was refused, e.g. because there is one already.
    pub async fn register_admin(&self) -> Result<Rest> {
        let body = serde_json::json!({
            "username": "root", "email": "root@example.org",
            "password": "correct horse battery staple", "setupToken": SETUP_TOKEN,
        });
        let answer = self.rest().post("/api/v1/auth/register", &body).await?;
        let token = answer.success()?.text("accessToken")?;
        Ok(Rest::new(self.address, Some(token)))
    }

    /// All that the server wrote, over all its processes.
    pub fn output(&self) -> String {
        std::fs::read(self.log())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines that the server wrote.
    pub fn log_tail(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
        format!("--- the server's last lines:\n{}\n---", tail.join("\n"))
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "what a test runner keeps for a failed test")]
            {
                eprintln!("{}", self.log_tail());
            }
        }
    }
}

/// A port that was free a moment ago.
///
/// # Errors
/// None was.
pub fn free_address() -> Result<SocketAddr> {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let seed = token::unix_millis() ^ (u64::from(std::process::id()) << 32);
    let mut dice = Dice::new(seed).part(ASKED.fetch_add(1, Ordering::Relaxed));
    let (first, end) = PORTS;
    for _ in 0..200 {
        let port = u16::try_from(first + dice.below(end - first)).unwrap_or(u16::MAX);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port between {first} and {end}")
}
