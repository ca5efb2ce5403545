//! Who may ask the machine for the time; everyone else takes a `Clock`, or tokio's own instant,
//! which a test can pause.

use super::Findings;
use super::source::{Source, has_word, is_word_at};
use super::tree::Tree;

/// The only places in `src` folders that read a clock of the standard library.
const ALLOWED: &[&str] = &["crates/node/", "crates/retention/", "crates/testing/", "crates/tools/"];

const ADVICE: &str = "take a klatch_domain::clock::Clock, or tokio::time::Instant for a span; \
                      places that may are in ALLOWED in xtask/src/tidy/clock.rs";

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    let bound = |source: &&Source| {
        source.in_src() && !ALLOWED.iter().any(|folder| source.path.starts_with(folder))
    };
    for source in tree.sources().iter().filter(bound) {
        let std_instant = imports_std_instant(source);
        for line in source.production() {
            let code = line.code.as_str();
            let instant = code.match_indices("Instant::now").any(|(at, found)| {
                let path = code.get(..at).unwrap_or("");
                let bare = std_instant && is_word_at(code, at, found) && !path.ends_with("::");
                bare || path.ends_with("std::time::")
            });
            if instant || code.contains("SystemTime::now") {
                out.add(&source.path, line.number, ADVICE);
            }
        }
    }
}

/// Whether the file takes `Instant` from the standard library by a `use`.
fn imports_std_instant(source: &Source) -> bool {
    let code: String = source.production().flat_map(|line| [line.code.as_str(), "\n"]).collect();
    code.split("use std::").skip(1).any(|tail| {
        let import = tail.split(';').next().unwrap_or("");
        has_word(import, "time") && has_word(import, "Instant")
    })
}
