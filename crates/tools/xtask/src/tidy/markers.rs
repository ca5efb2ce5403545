//! Marks of unfinished work, and tests that are switched off.

use super::Findings;
use super::source::{Source, has_word, is_word_at};
use super::tree::{Tree, has_extension};

/// Macros that must not be called anywhere, tests included.
const MACROS: &[&str] = &["todo!", "unimplemented!", "dbg!"];
/// Words that must not stand in any file; put together here so that this file passes.
const WORDS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];

pub(crate) fn check_markers(tree: &Tree, out: &mut Findings<'_>) {
    for source in tree.sources() {
        for line in source.lines() {
            for name in MACROS {
                let called = |(at, _): (usize, &str)| is_word_at(&line.code, at, name);
                if line.code.match_indices(name).any(called) {
                    out.add(&source.path, line.number, format!("{name} must not land: finish it"));
                }
            }
        }
    }
    for (path, text) in tree.texts().filter(|(path, _)| is_written(path)) {
        for (at, line) in text.lines().enumerate() {
            for word in WORDS.iter().filter(|word| has_word(line, word)) {
                out.add(path, at + 1, format!("{word}: mend it now or write down why it is so"));
            }
        }
    }
}

fn is_written(path: &str) -> bool {
    ["rs", "ts", "tsx", "css", "html", "md", "toml", "sh", "yml", "yaml"]
        .iter()
        .any(|ending| has_extension(path, ending))
        || matches!(path, "Makefile" | ".ci/run")
}

pub(crate) fn check_ignores(tree: &Tree, out: &mut Findings<'_>) {
    for source in tree.sources() {
        for line in source.lines() {
            if line.code.replace(' ', "").contains("#[ignore]") {
                let advice = "say when it runs: #[ignore = \"needs …: make …\"]";
                out.add(&source.path, line.number, advice);
            }
        }
    }
}

/// How many lints are switched off with a reason. Not a breach, but it should not creep up.
pub(crate) fn count_expects(tree: &Tree) -> usize {
    let lines = tree.sources().iter().flat_map(Source::lines);
    lines.filter(|line| line.code.contains("#[expect(") || line.code.contains("#![expect(")).count()
}
