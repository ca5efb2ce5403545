//! Stray whitespace.

use super::Findings;
use super::tree::{Tree, has_extension};

/// Files whose bytes are not ours to choose: recorded data and what tools write.
const EXEMPT: &[&str] = &["/testdata/", "/snapshots/", "LICENSE", "package-lock.json"];

pub(crate) fn check_whitespace(tree: &Tree, out: &mut Findings<'_>) {
    let written = |path: &str| !EXEMPT.iter().any(|part| path.contains(part));
    for (path, text) in tree.texts().filter(|(path, _)| written(path)) {
        let rust = has_extension(path, "rs");
        for (at, line) in text.split('\n').enumerate() {
            if line.ends_with('\r') {
                out.add(path, at + 1, "carriage return: end lines with a line feed alone");
            } else if line.ends_with([' ', '\t']) {
                out.add(path, at + 1, "trailing whitespace: take it away");
            }
            if rust && line.contains('\t') {
                out.add(path, at + 1, "tab: indent with four spaces, write \\t in strings");
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            out.add(path, text.lines().count(), "no line feed at the end of the file: add one");
        }
    }
}
