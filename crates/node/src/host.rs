//! The machine around the process: terminal, clock, randomness, signals.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use klatch_domain::{Clock, Entropy, Timestamp};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The machine's randomness.
#[derive(Debug)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        // Without randomness there are no keys: nothing can be done safely.
        if let Err(error) = getrandom::fill(out) {
            complain(&anyhow::anyhow!("the system gives no randomness: {error}"));
            std::process::abort();
        }
    }
}

/// Prints a line for the person who started the command.
pub(crate) fn say(line: &str) {
    // Whoever closed the terminal does not want to read it.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints what is worth a thought, beside the answer.
pub(crate) fn remark(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "warning: {line}");
}

/// Prints an error with all its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let _ = write!(text, "\n  because {cause}");
    }
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The signal that asks a server to read again what may have changed. From here on it does not end
/// the process; what comes before anybody waits is told to who waits first, as once.
pub(crate) fn hangups() -> anyhow::Result<Signal> {
    Ok(signal(SignalKind::hangup())?)
}

/// The signals that ask the process to end. From here on they do not end it by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens. Do it before anyone is told that the server is there.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt })
    }

    /// Returns when the process is asked to end; once for each time.
    pub(crate) async fn asked_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
