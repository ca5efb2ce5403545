//! How an engine says that it could not.

use std::error::Error;
use std::fmt;

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Not reachable now; try again later.
    Unavailable,
    /// No answer in time; the effect is unknown.
    Timeout,
    /// Asked to slow down.
    Throttled,
    /// No space left: writes are refused, reads go on.
    Full,
    /// The log no longer holds what was asked for: begin at its start, or from a snapshot.
    Forgotten,
    /// Stored data contradicts itself. Someone must look.
    Corrupt,
    /// The engine is set up in a way that cannot work.
    Misconfigured,
    /// The engine is shutting down.
    Closed,
}

/// A failed call of a port.
#[derive(Debug)]
pub struct PortError {
    /// What can be done about it.
    pub kind: ErrorKind,
    /// Which engine, in one word.
    pub engine: &'static str,
    /// What was tried.
    pub operation: &'static str,
    /// The engine's own words; never a secret.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// The answer of a port.
pub type PortResult<T> = Result<T, PortError>;

impl PortError {
    /// A failure without the engine's own words.
    pub fn new(kind: ErrorKind, engine: &'static str, operation: &'static str) -> Self {
        Self { kind, engine, operation, source: None }
    }

    /// The same failure with the engine's own words.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether repeating the call may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled | ErrorKind::Full
        )
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::Unavailable => "is unavailable",
            ErrorKind::Timeout => "did not answer in time",
            ErrorKind::Throttled => "asks to slow down",
            ErrorKind::Full => "has no space left",
            ErrorKind::Forgotten => "has forgotten what was asked for",
            ErrorKind::Corrupt => "holds data that contradicts itself",
            ErrorKind::Misconfigured => "is misconfigured",
            ErrorKind::Closed => "is shutting down",
        };
        write!(f, "{} {what} ({})", self.engine, self.operation)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
