//! Tests that ARCHITECTURE.md names as guards of an invariant, or `docs/promises.md` as what tries
//! to break a promise, and that are not there.

use super::Findings;
use super::tree::Tree;

const MAP: &str = "ARCHITECTURE.md";
const PROMISES: &str = "docs/promises.md";
/// What a row of promises says that nobody tries to break yet.
const OPEN: &str = "not yet";

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    check_table(tree, MAP, "| **", out);
    check_table(tree, PROMISES, "| ", out);
    for (at, row) in tree.text(PROMISES).unwrap_or("").lines().enumerate() {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap_or("").trim();
        if row.starts_with("| ") && (tests.is_empty() || tests == "–") {
            out.add(PROMISES, at + 1, format!("name a test, or say \"{OPEN}\""));
        }
    }
}

/// Every test that the last column of a table names is there.
fn check_table(tree: &Tree, map: &'static str, begin: &str, out: &mut Findings<'_>) {
    let rows = tree.text(map).unwrap_or("").lines().enumerate();
    for (at, row) in rows.filter(|(_, line)| line.starts_with(begin)) {
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
                    map,
                    at + 1,
                    format!("there is no test {name}: name the one that guards this"),
                );
            }
        }
    }
}
