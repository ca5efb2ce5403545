//! What went wrong on the way to the mail server, in the words of the ports.

use klatch_ports::mail::Handover;
use klatch_ports::{ErrorKind, PortError, PortResult};
use lettre::transport::smtp::Error;

const ENGINE: &str = "mail server";

/// Answers by which a mail server says that it is not content with who sends, whatever the letter
/// is: it wants a login, a stronger one or TLS before it.
const ABOUT_THE_SENDER: [u16; 4] = [530, 534, 535, 538];

/// The outcome of an attempt that was not answered with "taken". What a mail server says is left
/// out: it likes to repeat addresses.
pub(crate) fn judge(error: &Error, operation: &'static str) -> PortResult<Handover> {
    let fault = |kind| PortError::new(kind, ENGINE, operation);
    match error.status().map(u16::from) {
        Some(code) if ABOUT_THE_SENDER.contains(&code) => {
            Err(fault(ErrorKind::Misconfigured).because(format!("it answered {code}")))
        }
        // It is going down, or lets nobody in for now.
        Some(code @ (421 | 432 | 454)) => {
            Err(fault(ErrorKind::Unavailable).because(format!("it answered {code}")))
        }
        Some(code) if error.is_permanent() => Ok(Handover::Never(code)),
        Some(code) => Ok(Handover::Later(code)),
        None if error.is_tls() => Err(fault(ErrorKind::Misconfigured).because(chain(error))),
        None if error.is_client() => Err(fault(ErrorKind::Misconfigured).because(chain(error))),
        None => Err(fault(ErrorKind::Unavailable).because(chain(error))),
    }
}

pub(crate) fn timeout(operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Timeout, ENGINE, operation)
}

/// A mail server that answers what does not belong there.
pub(crate) fn odd(code: u16, operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Misconfigured, ENGINE, operation)
        .because(format!("it answered {code}"))
}

/// An error and its causes in a line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Libraries like to repeat their causes in their own words.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
