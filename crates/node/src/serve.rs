//! `klatch serve`: start, tell the person at the terminal what to do next, run, stop in order.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tracing_subscriber::EnvFilter;

use crate::cli::ServeArgs;
use crate::config::{self, Config, LogFormat};
use crate::demo::SPEAKER_NAME;
use crate::host;
use crate::wiring::{self, Running};

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("klatch-worker")
        .enable_all()
        .build()?;
    // Before anything is read: whoever renews a certificate may do so at any moment.
    let hangups = {
        let _runtime = runtime.enter();
        host::hangups()?
    };
    let config = config::for_serve(args)?;
    start_logging(&config)?;
    raise_file_limit();
    let ended = runtime.block_on(serve(config, args.demo, hangups));
    // What still runs on blocking threads is reading; nothing durable waits for it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(config: Config, demo: bool, hangups: Signal) -> anyhow::Result<()> {
    let grace = Duration::from_secs(config.server.grace_seconds);
    let mut signals = host::Signals::listen()?;
    let running = tokio::select! {
        running = wiring::start(config, demo, hangups) => running?,
        // What was opened so far is good to be opened again, as after a crash.
        () = signals.asked_to_end() => return Ok(()),
    };
    greet(&running)?;
    let unwritable = running.unwritable();
    let ended = tokio::select! {
        () = signals.asked_to_end() => {
            tracing::info!("leaving; a second signal forces it");
            Ok(())
        }
        error = running.broken() => return Err(error),
        error = unwritable => {
            tracing::error!(error = format!("{error:#}"), "leaving");
            Err(error)
        }
    };
    tokio::select! {
        () = running.stop(grace) => ended,
        () = signals.asked_to_end() => {
            anyhow::bail!("ended before everything was in order, as asked")
        }
    }
}

/// What the person at the terminal reads first.
fn greet(running: &Running) -> anyhow::Result<()> {
    let config = &running.process.config;
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let address = config.server.public_url.as_ref().map_or_else(
        || format!("{scheme}://{}", running.address),
        |url| url.trim_end_matches('/').to_owned(),
    );
    host::say(&format!("Klatch {} is at {address}", env!("CARGO_PKG_VERSION")));
    host::say(&format!("  data directory      {}", config.server.data_dir.display()));
    if let Some(token) = &running.setup_token {
        host::say(&format!("  first administrator {address}/#/setup/{token}"));
    }
    if let Some((seeded, issuer)) = &running.demo {
        let token = issuer.token(SPEAKER_NAME, &*running.process.clock)?;
        host::say("\nOpen the address, sign up, and watch #general. Then try this line:\n");
        host::say(&format!(
            "curl -X POST {address}/api/v1/rooms/{}/messages \\\n  \
             -H 'Authorization: Bearer {token}' \\\n  \
             -H 'Content-Type: application/json' \\\n  \
             -d '{{\"content\": \"Hello from a terminal!\"}}'\n",
            seeded.room
        ));
    }
    Ok(())
}

fn start_logging(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.telemetry.level).map_err(|error| {
        config::ConfigError::Refused { key: "telemetry.level", problem: error.to_string() }
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.telemetry.format {
        LogFormat::Text => lines.compact().init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

/// Every connection is a file: as many as the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the number of open files could not be raised");
    }
}
