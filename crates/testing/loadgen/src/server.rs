//! The server under load: started as a child with a fresh data directory, or a given one.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::args::Args;
use crate::child::{Children, Process};
use crate::engine::Door;
use crate::http::Http;
use crate::identity::Issuer;
use crate::metrics::Metrics;
use crate::proc::{Cpu, Memory};
use crate::tls::{Certificate, Trust};

/// How long a server may take to be ready.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Beside the data, of a server that speaks TLS.
const CERT_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// The threads that do everything in turns.
const RUNTIME: &str = "klatch-worker";

/// Which server to load.
#[derive(Clone, Debug)]
pub enum Target {
    /// Start one for each workload: `argv` is the executable and its `serve`, to which
    /// `--listen` and `--data-dir` are added.
    Spawn {
        /// The executable and its first arguments.
        argv: Vec<OsString>,
        /// What its environment holds besides this process's own.
        environment: Vec<(String, String)>,
        /// Where data directories are made, and removed again.
        data_root: PathBuf,
    },
    /// Load one that runs already on this machine. It must trust the issuer given.
    Given {
        /// Where it listens.
        address: SocketAddr,
        /// Its process, to read what it costs; without one there are no costs.
        pid: Option<u32>,
        /// A token of an administrator, for the import.
        admin_token: String,
        /// The secret of the HS256 issuer `klatch-bench`.
        issuer_secret: String,
    },
}

/// What a server has used up to a moment.
pub(crate) struct Usage {
    cpu: Option<Cpu>,
    pub(crate) metrics: Metrics,
}

impl Usage {
    /// What was used since, the runtime's threads split by what they did.
    pub(crate) fn since(&self, earlier: &Self) -> Option<Cpu> {
        let mut cpu = self.cpu.as_ref()?.since(earlier.cpu.as_ref()?);
        cpu.split(RUNTIME, &self.metrics.parts(&earlier.metrics));
        Some(cpu)
    }
}

pub(crate) struct Server {
    process: Option<Process>,
    pid: Option<u32>,
    pub(crate) address: SocketAddr,
    pub(crate) issuer: Issuer,
    target: Target,
    cpus: Option<Vec<usize>>,
    children: Children,
    directory: Option<PathBuf>,
    /// Whom its clients trust, if it speaks TLS.
    trust: Option<Trust>,
    /// From the start of the process to its first ready answer.
    pub(crate) start_seconds: f64,
}

impl Server {
    /// Starts the target with an empty data directory called `name`, or takes the given one. With
    /// `tls` it serves https and wss, with a certificate made for it.
    pub(crate) fn start(args: &Args, issuer: &Issuer, name: &str, tls: bool) -> Result<Self> {
        let (address, pid, directory) = match &args.target {
            Target::Given { address, pid, .. } => (*address, *pid, None),
            Target::Spawn { data_root, .. } => {
                let own = format!("klatch-bench-{}-{name}", std::process::id());
                (free_address()?, None, Some(data_root.join(own)))
            }
        };
        let mut server = Self {
            process: None,
            pid,
            address,
            issuer: issuer.clone(),
            target: args.target.clone(),
            cpus: args.pin.as_ref().map(|pin| pin.server.clone()),
            children: args.children.clone(),
            directory,
            trust: None,
            start_seconds: 0.0,
        };
        match &server.directory {
            None => {
                ensure!(!tls, "a server that runs already has a certificate of its own");
                server.wait_ready()?;
            }
            Some(directory) => {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("making {}", directory.display()))?;
                if tls {
                    let certificate = Certificate::new()?;
                    std::fs::write(directory.join(CERT_FILE), certificate.cert_pem())?;
                    std::fs::write(directory.join(KEY_FILE), certificate.key_pem())?;
                    server.trust = Some(Trust::only(&certificate)?);
                }
                server.spawn()?;
                server.issuer.make_admin(&mut server.http(None)?)?;
            }
        }
        Ok(server)
    }

    /// Stops the process and starts it again on the same data. Does nothing to a given server.
    pub(crate) fn restart(&mut self) -> Result<()> {
        if self.process.is_none() {
            return Ok(());
        }
        self.process = None;
        self.address = free_address()?;
        self.spawn()
    }

    fn spawn(&mut self) -> Result<()> {
        let (Target::Spawn { argv, environment, .. }, Some(directory)) =
            (&self.target, &self.directory)
        else {
            bail!("this server was not started here");
        };
        let mut argv = argv.clone();
        argv.extend(["--listen".into(), self.address.to_string().into()]);
        argv.extend(["--data-dir".into(), directory.join("data").into()]);
        // A few clients stand for many.
        let mut environment =
            [&[("KLATCH_LIMITS__PROFILE".into(), "test".into())], environment.as_slice()].concat();
        environment.extend(self.issuer.server_environment());
        if self.trust.is_some() {
            let file = |name| directory.join(name).to_string_lossy().into_owned();
            environment.push(("KLATCH_SERVER__TLS__CERT".into(), file(CERT_FILE)));
            environment.push(("KLATCH_SERVER__TLS__KEY".into(), file(KEY_FILE)));
        }
        let log = directory.join("server.log");
        let start = || Process::start(&self.children, &argv, &environment, &log);
        let process = crate::machine::on(self.cpus.as_deref(), start)?;
        self.pid = Some(process.pid());
        self.process = Some(process);
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < START_LIMIT {
            let ready = self.http(None).and_then(|mut http| http.get("/readyz"));
            if ready.is_ok_and(|answer| answer.status == 200) {
                self.start_seconds = begun.elapsed().as_secs_f64();
                return Ok(());
            }
            if let Some(how) = self.process.as_mut().and_then(Process::ended) {
                bail!("the server ended: {how}\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the server was not ready after {START_LIMIT:?}\n{}", self.log_tail())
    }

    /// The last lines that the server wrote.
    pub(crate) fn log_tail(&self) -> String {
        let Some(directory) = &self.directory else { return String::new() };
        let text = std::fs::read_to_string(directory.join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    /// A token that may import.
    pub(crate) fn admin_token(&self) -> Result<String> {
        match &self.target {
            Target::Given { admin_token, .. } => Ok(admin_token.clone()),
            Target::Spawn { .. } => self.issuer.admin_token(),
        }
    }

    /// A connection that carries a user's token.
    pub(crate) fn http_as(&self, user: &str) -> Result<Http> {
        self.http(Some(&self.issuer.token(user)?))
    }

    /// A connection that carries this token, or none.
    pub(crate) fn http(&self, token: Option<&str>) -> Result<Http> {
        Http::connect(self.address, self.trust.as_ref(), token)
    }

    /// Where WebSocket connections are made.
    pub(crate) fn door(&self) -> Door<'_> {
        Door { trust: self.trust.as_ref(), ..Door::of(self.address) }
    }

    /// What the process tree has used, if its process is known.
    pub(crate) fn cpu(&self) -> Result<Option<Cpu>> {
        self.pid.map(Cpu::of).transpose()
    }

    /// What it has used so far, and its own counters.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage { cpu: self.cpu()?, metrics: self.metrics() })
    }

    /// What the process holds, if it is known.
    pub(crate) fn memory(&self) -> Result<Option<Memory>> {
        self.pid.map(Memory::of).transpose()
    }

    /// Waits until the process uses next to nothing: work that it put off belongs to the run.
    /// At most `limit`.
    pub(crate) fn settle(&self, limit: Duration) -> Result<()> {
        let Some(mut before) = self.cpu()? else { return Ok(()) };
        let deadline = Instant::now() + limit;
        let step = Duration::from_millis(250);
        let mut quiet = 0;
        while quiet < 2 && Instant::now() < deadline {
            std::thread::sleep(step);
            let Some(now) = self.cpu()? else { return Ok(()) };
            let share = now.since(&before).seconds / step.as_secs_f64();
            quiet = if share < 0.05 { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }

    /// The server's own counters; none if it shows none.
    pub(crate) fn metrics(&self) -> Metrics {
        let scrape = || self.http(None)?.get("/metrics")?.success();
        scrape().map(|text| Metrics::parse(&String::from_utf8_lossy(&text))).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process = None;
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
