//! The certificate: read at the start, and again when its files change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use klatch_domain::{Clock, Timestamp};
use klatch_gateway::{Tls, TlsError};
use parking_lot::Mutex;
use tokio::signal::unix::Signal;
use tokio::time::sleep;

use super::Process;
use crate::config::{Config, ConfigError, TlsFiles};
use crate::doctor::certificate::{FEW_DAYS, Left, ends};

/// How often the files are looked at without being asked to.
const AGAIN: Duration = Duration::from_mins(1);
/// Of a renewal one file may be there and the other not yet: files that cannot be used are looked
/// at once more after this before anything is said.
const HALF_WAY: Duration = Duration::from_secs(2);

/// The certificate that is shown, and its files.
pub(crate) struct Certificate {
    files: TlsFiles,
    tls: Tls,
    clock: Arc<dyn Clock>,
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
    /// What was left when it was last said that it is little.
    said: Option<Left>,
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
    pub(crate) fn read(
        config: &Config,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(files) = config.server.tls.clone() else { return Ok(None) };
        let used = Pair::read(&files)?;
        let tls = Tls::new(&used.cert, &used.key).map_err(|error| refused(&files, &error))?;
        let ends_at = ends(&used.cert);
        let state = State { used, ends_at, broken: None, renewals: 0, said: None };
        Ok(Some(Self { files, tls, clock: Arc::clone(clock), state: Mutex::new(state) }))
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Looks at the files once a minute and whenever it is asked to.
    async fn keep_fresh(self: Arc<Self>, mut asked: Signal) {
        loop {
            self.say_when_it_ends();
            tokio::select! {
                () = sleep(AGAIN) => {}
                _ = asked.recv() => tracing::info!("asked to read the certificate again"),
            }
            self.look().await;
        }
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
        state.said = None;
        drop(state);
        tracing::info!("shows another certificate from now on");
        Ok(())
    }

    /// Once a day, when there are few left, and when there are none.
    fn say_when_it_ends(&self) {
        match self.state.lock().say_now(self.clock.now()) {
            Some(Left::Days(days)) => tracing::warn!(days, "the certificate ends soon"),
            Some(Left::Ended(days)) => tracing::error!(
                days,
                "the certificate has ended: clients refuse it until it is renewed"
            ),
            None => {}
        }
    }

    /// What is wrong with it, or will be soon. Nothing of the machine is in it: strangers read it.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state.lock().trouble(self.clock.now())
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
    /// What is left, if it is little.
    fn little(&self, now: Timestamp) -> Option<Left> {
        let left = Left::of(self.ends_at?, now);
        matches!(left, Left::Days(..FEW_DAYS) | Left::Ended(_)).then_some(left)
    }

    /// The same, if it was not said yet.
    fn say_now(&mut self, now: Timestamp) -> Option<Left> {
        let little = self.little(now)?;
        (self.said.replace(little) != Some(little)).then_some(little)
    }

    fn trouble(&self, now: Timestamp) -> Option<String> {
        let broken = self.broken.is_some().then(|| {
            "its files cannot be used, the one from before is shown on: the log says which file \
             and why"
                .to_owned()
        });
        let soon = self.little(now).map(|left| match left {
            Left::Days(0) => "it ends within a day".to_owned(),
            Left::Days(1) => "it ends within two days".to_owned(),
            Left::Days(days) => format!("it ends in {days} days"),
            Left::Ended(_) => "it has ended".to_owned(),
        });
        let all: Vec<_> = broken.into_iter().chain(soon).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// What a `SIGHUP` does from here on, until the process stops: the certificate is read again, if
/// there is one.
pub(super) fn at_hangups(mut asked: Signal, shown: Option<Arc<Certificate>>, process: &Process) {
    let stop = process.stop.clone();
    process.tasks.spawn(async move {
        let answering = async {
            if let Some(certificate) = shown {
                return certificate.keep_fresh(asked).await;
            }
            while asked.recv().await.is_some() {
                tracing::info!("asked to read again what changed: without TLS that is nothing");
            }
        };
        stop.run_until_cancelled(answering).await;
    });
}

fn refused(files: &TlsFiles, error: &TlsError) -> ConfigError {
    let (key, file) = match error {
        TlsError::Certificate(_) => (CERT, &files.cert),
        TlsError::Key(_) | TlsError::Mismatch => (KEY, &files.key),
    };
    ConfigError::Refused { key, problem: format!("{}: {error}", file.display()) }
}

#[cfg(test)]
mod tests {
    use klatch_testkit::ManualClock;

    use super::*;
    use crate::doctor::certificate::DAY_MS;

    fn ending(at: Option<Timestamp>) -> State {
        let used = Pair { cert: Vec::new(), key: Vec::new() };
        State { used, ends_at: at, broken: None, renewals: 0, said: None }
    }

    #[test]
    fn the_end_is_said_once_a_day_from_two_weeks_before_and_after_it_as_well() {
        let mut state = ending(Some(Timestamp(100 * DAY_MS)));
        let mut said = Vec::new();
        for hour in 80 * 24..103 * 24 {
            said.extend(state.say_now(Timestamp(hour * DAY_MS / 24 + 1)));
        }
        let before = (0..FEW_DAYS).rev().map(Left::Days);
        let expected: Vec<_> = before.chain((0..3).map(Left::Ended)).collect();
        assert_eq!(said, expected);
    }

    /// Of a year when nobody ran this: the machine's clock would tell something else.
    #[test]
    fn a_certificate_ends_by_the_clock_that_was_given() {
        let here = tempfile::tempdir().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 3, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let files =
            TlsFiles { cert: here.path().join("cert.pem"), key: here.path().join("key.pem") };
        std::fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        let mut config = Config::default();
        config.server.tls = Some(files);
        let clock = ManualClock::default();
        let given: Arc<dyn Clock> = Arc::new(clock.clone());
        let certificate = Certificate::read(&config, &given).unwrap().unwrap();
        let told = |at: &str| {
            clock.set(at.parse().unwrap());
            certificate.trouble()
        };
        assert_eq!(told("2001-01-01T00:00:00Z"), None);
        assert_eq!(told("2001-02-20T00:00:00Z").as_deref(), Some("it ends in 9 days"));
        assert_eq!(told("2001-03-02T00:00:00Z").as_deref(), Some("it has ended"));
    }

    #[test]
    fn trouble_tells_the_end_and_broken_files_without_a_word_of_the_machine() {
        let now = Timestamp(100 * DAY_MS);
        let told = |days: u64| ending(Some(Timestamp(days * DAY_MS + 1))).trouble(now);
        assert_eq!(told(120), None);
        assert_eq!(told(105).as_deref(), Some("it ends in 5 days"));
        assert_eq!(told(99).as_deref(), Some("it has ended"));
        let mut broken = ending(None);
        assert_eq!(broken.trouble(now), None, "an end that is not understood is no trouble");
        broken.broken = Some("`server.tls.key` /etc/key.pem: no such file".to_owned());
        let told = broken.trouble(now).unwrap();
        assert!(told.contains("the log says") && !told.contains('/'), "{told}");
    }
}
