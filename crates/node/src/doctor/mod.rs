//! `klatch doctor`: looks at what a server needs, says what is wrong and how to mend it.

pub(crate) mod certificate;
mod clock;
mod disk;
mod files;
mod mail;
mod port;
mod probe;
mod public;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use klatch_domain::Clock;
use serde::Serialize;

use crate::cli::ConfigArgs;
use crate::config::{self, Config};
use crate::host::{self, SystemClock};

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The address that the server listens on, or will.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where everything is kept, or will be [default: ./data].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// The address that people use, through whatever proxies: `http(s)://host[:port]`
    /// [default: `server.public_url`].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// An access token: with one a whole connection is tried through the address.
    #[arg(long, value_name = "TOKEN", env = "KLATCH_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How long a quiet connection must stay open there: 40s, 2m; 0s tries none.
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = idle)]
    idle: Duration,
    /// Findings as JSON.
    #[arg(long)]
    json: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Good,
    /// It works, and something may come of it.
    Warning,
    /// It does not work, or a promise cannot be kept.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, in a stable word or two.
    pub(crate) check: &'static str,
    pub(crate) level: Level,
    /// What was seen.
    pub(crate) text: String,
    /// How to mend it, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mend: Option<String>,
}

/// What was looked at so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn good(&mut self, check: &'static str, text: impl Into<String>) {
        self.0.push(Finding { check, level: Level::Good, text: text.into(), mend: None });
    }

    pub(crate) fn warn(
        &mut self,
        check: &'static str,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let (text, mend) = (text.into(), Some(mend.into()));
        self.0.push(Finding { check, level: Level::Warning, text, mend });
    }

    pub(crate) fn bad(
        &mut self,
        check: &'static str,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let (text, mend) = (text.into(), Some(mend.into()));
        self.0.push(Finding { check, level: Level::Bad, text, mend });
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// For people.
    fn text(&self) -> String {
        let mut out = String::new();
        for Finding { check, level, text, mend } in &self.0 {
            let mark = match level {
                Level::Good => '✓',
                Level::Warning => '!',
                Level::Bad => '✗',
            };
            let _ = writeln!(out, "{mark} {check:<16} {text}");
            if let Some(mend) = mend {
                let _ = writeln!(out, "  {:<16} → {mend}", "");
            }
        }
        let (warnings, bad) = (self.count(Level::Warning), self.count(Level::Bad));
        let _ = match (warnings, bad) {
            (0, 0) => write!(out, "all is well"),
            _ => write!(out, "{bad} wrong, {warnings} to think about"),
        };
        out
    }
}

/// The report for programs.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether nothing is wrong; warnings are not.
    well: bool,
    findings: &'a [Finding],
}

pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let mut config = config::load(&args.config)?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if let Some(dir) = &args.data_dir {
        config.server.data_dir.clone_from(dir);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let findings = runtime.block_on(look(args, &config, &clock));
    let well = findings.count(Level::Bad) == 0;
    if args.json {
        let report = Report { well, findings: &findings.0 };
        host::say(&serde_json::to_string_pretty(&report)?);
    } else {
        host::say(&findings.text());
    }
    anyhow::ensure!(well, "something is wrong");
    Ok(())
}

async fn look(args: &DoctorArgs, config: &Config, clock: &Arc<dyn Clock>) -> Findings {
    let mut findings = Findings::default();
    let (dir, out) = (&config.server.data_dir, &mut findings);
    disk::look(dir, config.log.reserve_mib, out);
    clock::look(dir, &**clock, out).await;
    files::look(config, out);
    files::look_at_limits(out);
    if let Some(tls) = &config.server.tls {
        match crate::wiring::Certificate::read(config, clock) {
            Ok(_) => certificate::look(&tls.cert, clock.now(), out),
            Err(error) => {
                out.bad("certificate", error.to_string(), "put right what the line names");
            }
        }
    }
    port::look(config, out).await;
    mail::look(config, clock, out).await;
    let url = args.url.as_ref().or(config.server.public_url.as_ref());
    if let Some(url) = url {
        public::look(url, (args.token.as_deref(), args.idle), &**clock, out).await;
    }
    findings
}

fn idle(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { crate::soak::time(text) }
}
