//! What the disk says, in the words of the port.

use std::io;

use klatch_ports::{ErrorKind, PortError};

const ENGINE: &str = "embedded log";

pub(super) fn port(kind: ErrorKind, operation: &'static str) -> PortError {
    PortError::new(kind, ENGINE, operation)
}

pub(super) fn misconfigured(operation: &'static str, why: impl Into<String>) -> PortError {
    port(ErrorKind::Misconfigured, operation).because(why.into())
}

pub(super) fn corrupt(operation: &'static str, why: impl Into<String>) -> PortError {
    port(ErrorKind::Corrupt, operation).because(why.into())
}

/// What was asked for lies at or before `start`, after which the log begins.
pub(super) fn forgotten(start: u64) -> PortError {
    port(ErrorKind::Forgotten, "read").because(format!("it begins after offset {start}"))
}

/// For `map_err`.
pub(super) fn io(operation: &'static str) -> impl FnOnce(io::Error) -> PortError {
    move |error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            io::ErrorKind::InvalidData => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        };
        port(kind, operation).because(error)
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
