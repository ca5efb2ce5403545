//! What the check found, with the entries that prove it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::history::{History, Name};

/// A promise, numbered as in the reliability notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// No acknowledged message is lost.
    I1,
    /// Nothing is invented.
    I2,
    /// One message per (author, client id), the same id and seq for every retry.
    I3,
    /// One total order per room for all readers.
    I4,
    /// No holes in what a reader sees, unless it was told.
    I5,
    /// No duplicates in what a client sees.
    I6,
    /// Acknowledged before asked means before.
    I7,
    /// Whoever wrote reads it.
    I8,
    /// What was delivered is stored.
    I9,
    /// Edits and deletes converge to the log's fold.
    I14,
    /// What was refused did not happen.
    I24,
    /// The history itself cannot be judged: a missing final read, an answer without a question.
    Incomplete,
}

impl Invariant {
    /// What it promises, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::I1 => "no acknowledged message is lost",
            Self::I2 => "nothing is invented",
            Self::I3 => "one message per author and client id",
            Self::I4 => "one order for all readers",
            Self::I5 => "no holes",
            Self::I6 => "no duplicates",
            Self::I7 => "order respects real time",
            Self::I8 => "read your writes",
            Self::I9 => "live is durable",
            Self::I14 => "edits and deletes converge",
            Self::I24 => "what was refused did not happen",
            Self::Incomplete => "the history can be judged",
        }
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// Where, if in one room.
    pub room: Option<Name>,
    /// The seqs concerned.
    pub seqs: Vec<u64>,
    /// What is wrong, in a sentence.
    pub text: String,
    /// Indexes of the history's entries that prove it.
    pub evidence: Vec<usize>,
}

/// All that was found, sorted by invariant, room and seq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The broken promises.
    pub violations: Vec<Violation>,
    /// How much was looked at, so that an empty history does not pass for a good one.
    pub counts: Counts,
}

/// How much a check looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sends invoked, retries not counted.
    pub sends: u64,
    /// Sends acknowledged.
    pub acknowledged: u64,
    /// Sends of which no attempt had an answer.
    pub unknown: u64,
    /// Timeline events that arrived on connections.
    pub frames: u64,
    /// Messages shown by history walks.
    pub items: u64,
    /// Rooms with a final read.
    pub rooms: u64,
}

impl Report {
    /// Whether nothing is broken.
    pub fn is_ok(&self) -> bool {
        self.violations.is_empty()
    }

    /// The report as text: per invariant at most `limit` violations, each with its entries.
    pub fn render(&self, history: &History, limit: usize) -> String {
        let mut out = String::new();
        let c = self.counts;
        let _ = writeln!(
            out,
            "{} sends ({} acknowledged, {} unknown), {} frames, {} items, {} rooms: {}",
            c.sends,
            c.acknowledged,
            c.unknown,
            c.frames,
            c.items,
            c.rooms,
            if self.is_ok() { "no violation" } else { "VIOLATIONS" }
        );
        let mut by: BTreeMap<Invariant, Vec<&Violation>> = BTreeMap::new();
        for violation in &self.violations {
            by.entry(violation.invariant).or_default().push(violation);
        }
        for (invariant, found) in by {
            let _ = writeln!(out, "{invariant:?} ({}): {} times", invariant.title(), found.len());
            for violation in found.iter().take(limit) {
                render_one(&mut out, violation, history);
            }
        }
        out
    }
}

fn render_one(out: &mut String, violation: &Violation, history: &History) {
    let room = violation.room.as_ref().map_or("-", Name::as_str);
    let _ = writeln!(out, "  room {room} seqs {:?}: {}", violation.seqs, violation.text);
    for index in &violation.evidence {
        if let Some(entry) = history.entries.get(*index) {
            let line = serde_json::to_string(entry).unwrap_or_default();
            let short: String = line.chars().take(300).collect();
            let _ = writeln!(out, "    #{index} {short}");
        }
    }
}
