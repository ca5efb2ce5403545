//! How each crate begins: what it owns, and what must stay out of it.

use super::Findings;
use super::tree::Tree;

const STAYS_OUT: &str = "//! Must not contain: ";
/// The sentence may wrap once, so the second statement begins within three lines.
const LINES: usize = 3;

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    for folder in tree.crate_folders() {
        let roots = ["lib.rs", "main.rs"].map(|file| format!("{folder}/src/{file}"));
        let mut found = false;
        for (path, text) in roots.iter().filter_map(|path| Some((path, tree.text(path)?))) {
            found = true;
            let lines: Vec<&str> = text.lines().take(LINES).collect();
            let at = lines
                .iter()
                .position(|line| line.len() > STAYS_OUT.len() + 9 && line.starts_with(STAYS_OUT));
            let owns = lines.get(..at.unwrap_or(1)).unwrap_or_default();
            let sentence = owns.iter().all(|line| line.len() > 20 && line.starts_with("//! "));
            if !sentence || owns.last().is_none_or(|line| !line.ends_with('.')) {
                out.add(path, 1, "begin with `//! ` and one sentence: what the crate owns");
            }
            if at.is_none() {
                let advice = format!("go on with a line `{STAYS_OUT}…`: what does not belong here");
                out.add(path, 2, advice);
            }
        }
        if !found {
            out.add(&format!("{folder}/Cargo.toml"), 1, "a crate needs src/lib.rs or src/main.rs");
        }
    }
}
