//! The check: one pass that files everything by room and send, then one pass per promise.
//!
//! Cost: linear in the entries and items, but for sorting each room's writes.

mod changes;
mod file;
mod index;
mod reads;
mod seen;
mod sends;
mod streams;
mod track;

use crate::history::{History, Name};
use crate::report::{Invariant, Report, Violation};
use index::Index;

/// Checks a history against I1–I9, I14 and I24.
///
/// Each room with an acknowledged send needs a complete walk with purpose `Final`; without one
/// the report has an `Incomplete` violation, never a silent pass. A final walk that was made
/// before the read models had caught up shows up as loss, which it then is to its reader.
pub fn check(history: &History) -> Report {
    let mut found = Findings::default();
    let index = Index::build(history, &mut found);
    sends::check(&index, &mut found);
    seen::check(&index, &mut found);
    streams::check(&index, &mut found);
    reads::check(&index, &mut found);
    changes::check(&index, &mut found);
    let mut violations = found.violations;
    violations.sort();
    violations.dedup();
    Report { violations, counts: index.counts }
}

/// Collects violations.
#[derive(Default)]
pub(crate) struct Findings {
    violations: Vec<Violation>,
}

impl Findings {
    pub(crate) fn add(
        &mut self,
        invariant: Invariant,
        room: Option<&Name>,
        seqs: &[u64],
        evidence: &[usize],
        text: impl Into<String>,
    ) {
        self.violations.push(Violation {
            invariant,
            room: room.cloned(),
            seqs: seqs.to_vec(),
            text: text.into(),
            evidence: evidence.to_vec(),
        });
    }
}
