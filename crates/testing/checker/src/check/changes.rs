//! I14: edits and deletes converge. (Their seqs take part in I4, I5 and I7 like any event's.)

use super::Findings;
use super::index::{Change, Index};
use crate::report::Invariant;

pub(crate) fn check(index: &Index<'_>, found: &mut Findings) {
    for (room, facts) in index.rooms.iter().enumerate() {
        let Some(truth) = &facts.truth else { continue };
        for item in &truth.items {
            let changes = index.changes_of(room, &item.message);
            let mut wrong = |text: &str, evidence: usize| {
                let proof = [evidence, truth.entry];
                found.add(Invariant::I14, Some(facts.name), &[item.seq], &proof, text);
            };
            let mut deletes = changes.iter().filter(|change| change.body.is_none());
            if item.deleted {
                if deletes.all(|change| change.refused) {
                    wrong("it is deleted and nobody may have deleted it", truth.entry);
                }
                continue;
            }
            if let Some((_, entry, _)) = deletes.find_map(|change| change.ack) {
                wrong("its delete was acknowledged and it is there", entry);
            }
            if let (Some(body), Some((seq, entry))) = (item.body, stale(changes, item.body)) {
                let text = format!("it shows body {body}, not that of the last edit, seq {seq}");
                wrong(&text, entry);
            }
        }
    }
}

/// The last acknowledged edit, if the body shown is neither its own nor that of an edit that may
/// have come later.
fn stale(changes: &[Change], shown: Option<u64>) -> Option<(u64, usize)> {
    let acked = |change: &Change| Some((change.ack?, change.body?));
    let ((seq, entry, _), body) =
        changes.iter().filter_map(acked).max_by_key(|((seq, ..), _)| *seq)?;
    let open = |change: &&Change| change.ack.is_none() && !change.refused;
    let excused = changes.iter().filter(open).any(|change| change.body == shown);
    (shown != Some(body) && !excused).then_some((seq, entry))
}
