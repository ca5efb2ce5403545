//! The certificate: read at the start, and again when its files change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use klatch_domain::{Clock as _, Timestamp};
use klatch_gateway::{Tls, TlsError};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::Process;
use crate::config::{Config, ConfigError, TlsFiles};
use crate::doctor::certificate::{DAY_MS, FEW_DAYS, ends};
use crate::host::{self, SystemClock};

/// How often the files are looked at without being asked to.
const AGAIN: Duration = Duration::from_mins(1);
/// Of a renewal one file may be there and the other not yet: files that cannot be used are looked
/// at once more after this before anything is said.
const HALF_WAY: Duration = Duration::from_secs(2);

/// The certificate that is shown, and its files.
pub(crate) struct Certificate {
    files: TlsFiles,
    tls: Tls,
    state: Mutex<State>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({})", self.files.cert.display())
    }
}

struct State {
    /// What the files held that are in use.
    used: Pair,
    /// The last moment of the certificate in use, if it is understood.
    ends_at: Option<Timestamp>,
    /// Why what the files hold now cannot be used.
    broken: Option<String>,
    renewals: u64,
    /// Days left when it was last said that they are few.
    said_days: Option<u64>,
}

/// Certificate and key as the files hold them.
#[derive(PartialEq, Eq)]
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    /// Blocks.
    fn read(files: &TlsFiles) -> Result<Self, ConfigError> {
        let read = |key, file: &Path| {
            std::fs::read(file).map_err(|error| ConfigError::Refused {
                key,
                problem: format!("{}: {error}", file.display()),
            })
        };
        Ok(Self { cert: read(CERT, &files.cert)?, key: read(KEY, &files.key)? })
    }
}

const CERT: &str = "server.tls.cert";
const KEY: &str = "server.tls.key";

impl Certificate {
    /// The certificate and key that the configuration names. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub(crate) fn read(config: &Config) -> Result<Option<Self>, ConfigError> {
        let Some(files) = config.server.tls.clone() else { return Ok(None) };
        let used = Pair::read(&files)?;
        let tls = Tls::new(&used.cert, &used.key).map_err(|error| refused(&files, &error))?;
        let ends_at = ends(&used.cert);
        let state = State { used, ends_at, broken: None, renewals: 0, said_days: None };
        Ok(Some(Self { files, tls, state: Mutex::new(state) }))
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Looks at the files once a minute and at each `SIGHUP`, until the process stops.
    pub(super) fn keep_fresh(self: Arc<Self>, process: &Process) -> anyhow::Result<()> {
        let mut asked = host::hangups()?;
        let stop = process.stop.clone();
        process.tasks.spawn(async move {
            let looking = async {
                loop {
                    self.say_when_it_ends();
                    tokio::select! {
                        () = sleep(AGAIN) => {}
                        _ = asked.recv() => tracing::info!("asked to read the certificate again"),
                    }
                    self.look().await;
                }
            };
            stop.run_until_cancelled(looking).await;
        });
        Ok(())
    }

    /// Shows what the files hold if it changed and can be used.
    async fn look(self: &Arc<Self>) {
        let mut outcome = self.try_once().await;
        if outcome.is_err() {
            sleep(HALF_WAY).await;
            outcome = self.try_once().await;
        }
        let broken = outcome.err();
        let mut state = self.state.lock();
        if let Some(problem) = &broken
            && state.broken.as_ref() != Some(problem)
        {
            tracing::error!(
                problem,
                "the new certificate cannot be used; the one from before is shown on"
            );
        }
        state.broken = broken;
    }

    async fn try_once(self: &Arc<Self>) -> Result<(), String> {
        let this = Arc::clone(self);
        let tried = tokio::task::spawn_blocking(move || this.renew()).await;
        tried.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    fn renew(&self) -> Result<(), ConfigError> {
        let pair = Pair::read(&self.files)?;
        let mut state = self.state.lock();
        if pair == state.used {
            return Ok(());
        }
        self.tls.renew(&pair.cert, &pair.key).map_err(|error| refused(&self.files, &error))?;
        state.ends_at = ends(&pair.cert);
        state.used = pair;
        state.renewals += 1;
        state.said_days = None;
        drop(state);
        tracing::info!("shows another certificate from now on");
        Ok(())
    }

    /// Once a day, when there are few left.
    fn say_when_it_ends(&self) {
        let mut state = self.state.lock();
        let Some(days) = state.days_left(SystemClock.now()).filter(|days| *days < FEW_DAYS) else {
            return;
        };
        if state.said_days != Some(days) {
            state.said_days = Some(days);
            tracing::warn!(days, "the certificate ends soon");
        }
    }

    /// What is wrong with it, or will be soon.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state.lock();
        let soon = state.days_left(SystemClock.now()).filter(|days| *days < FEW_DAYS);
        let soon = soon.map(|days| match days {
            0 => "it ends within a day, or has ended".to_owned(),
            days => format!("it ends in {days} days"),
        });
        let broken = state.broken.as_ref().map(|problem| {
            format!("the new one cannot be used, the one from before is shown on: {problem}")
        });
        let all: Vec<_> = broken.into_iter().chain(soon).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Its last moment, if it is understood.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        self.state.lock().ends_at
    }

    /// Whether the files hold what cannot be used.
    pub(crate) fn is_broken(&self) -> bool {
        self.state.lock().broken.is_some()
    }

    /// How often another one was taken.
    pub(crate) fn renewals(&self) -> u64 {
        self.state.lock().renewals
    }
}

impl State {
    fn days_left(&self, now: Timestamp) -> Option<u64> {
        Some(self.ends_at?.0.saturating_sub(now.0) / DAY_MS)
    }
}

fn refused(files: &TlsFiles, error: &TlsError) -> ConfigError {
    let (key, file) = match error {
        TlsError::Certificate(_) => (CERT, &files.cert),
        TlsError::Key(_) | TlsError::Mismatch => (KEY, &files.key),
    };
    ConfigError::Refused { key, problem: format!("{}: {error}", file.display()) }
}
