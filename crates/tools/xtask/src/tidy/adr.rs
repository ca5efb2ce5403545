//! The decision records: numbered without gaps, of one form, and listed.

use super::Findings;
use super::tree::{Tree, has_extension};

const FOLDER: &str = "docs/adr/";
const INDEX: &str = "docs/adr/README.md";
const SECTIONS: &[&str] =
    &["## Context", "## Decision", "## Consequences", "## What would change our mind"];
/// One page.
const LINES: usize = 80;

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    let records = tree.texts().filter_map(|(path, text)| {
        let file = path.strip_prefix(FOLDER)?;
        (path != INDEX && has_extension(file, "md")).then_some((path, file, text))
    });
    let index = tree.text(INDEX);
    for (before, (path, file, text)) in records.enumerate() {
        let expected = before + 1;
        let number = file.split('-').next().filter(|digits| digits.len() == 4);
        if number.and_then(|digits| digits.parse().ok()) != Some(expected) {
            out.add(path, 1, format!("number it {expected:04}: records are counted without gaps"));
        }
        let title = text.lines().next().unwrap_or("");
        if !number.is_some_and(|number| title.starts_with(&format!("# {number}. "))) {
            out.add(path, 1, "line 1 must be `# NNNN. Title`, with the number of the file name");
        }
        for section in SECTIONS.iter().filter(|head| !text.lines().any(|line| line == **head)) {
            out.add(path, 1, format!("the section `{section}` is missing"));
        }
        let lines = text.lines().count();
        if lines > LINES {
            out.add(path, 1, format!("{lines} lines of {LINES}: one decision, one page"));
        }
        if !index.is_some_and(|index| index.contains(&format!("({file})"))) {
            out.add(INDEX, 1, format!("{file} is not in the index: add a line with a link"));
        }
    }
}
