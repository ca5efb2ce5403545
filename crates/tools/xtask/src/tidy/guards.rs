//! Tests that ARCHITECTURE.md names as guards of an invariant, and that are not there.

use super::Findings;
use super::tree::Tree;

const MAP: &str = "ARCHITECTURE.md";

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    let rows = tree.text(MAP).unwrap_or("").lines().enumerate();
    for (at, row) in rows.filter(|(_, line)| line.starts_with("| **")) {
        // The last column; odd pieces between back-ticks are code.
        let guards = row.trim_end_matches('|').rsplit('|').next().unwrap_or("");
        for name in guards.split('`').skip(1).step_by(2).filter(|name| name.contains('_')) {
            let head = format!("fn {name}(");
            if !tree
                .sources()
                .iter()
                .any(|source| source.lines().iter().any(|l| l.code.contains(&head)))
            {
                out.add(
                    MAP,
                    at + 1,
                    format!("there is no test {name}: name the one that guards this"),
                );
            }
        }
    }
}
