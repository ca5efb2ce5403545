//! A batch in the making: what is to be told of it, and to whom.

use std::io;

use klatch_ports::PortError;
use klatch_ports::log::{AppendError, Appended, Completion, Record};

use super::error::is_full;

/// A batch in the making.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) outcomes: Vec<(Completion, Result<Appended, AppendError>)>,
    pub(super) records: Vec<Record>,
    /// Index in `outcomes` of those that depend on the sync.
    pub(super) hopeful: Vec<usize>,
    pub(super) weight: usize,
}

pub(super) fn is_conflict(outcome: &Result<Appended, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Conflict { .. }))
}

impl Draft {
    /// Nothing that hoped for the sync became durable.
    pub(super) fn spoil(&mut self, why: impl Fn() -> PortError) {
        self.records.clear();
        for index in self.hopeful.drain(..) {
            if let Some((_, outcome)) = self.outcomes.get_mut(index) {
                *outcome = Err(AppendError::Port(why()));
            }
        }
    }
}

/// Why a batch did not become durable.
pub(super) enum Failure {
    /// Nothing was written: the disk is full.
    Full,
    /// The disk failed; what is on it is unknown.
    Fatal(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Fatal(error) }
    }
}
