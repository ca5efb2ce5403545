//! Each crate's first two lines: what it owns, and what must stay out of it.

use super::Findings;
use super::tree::Tree;

const SECOND: &str = "//! Must not contain: ";

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    for folder in tree.crate_folders() {
        let roots = ["lib.rs", "main.rs"].map(|file| format!("{folder}/src/{file}"));
        let mut found = false;
        for (path, text) in roots.iter().filter_map(|path| Some((path, tree.text(path)?))) {
            found = true;
            let mut lines = text.lines();
            let first = lines.next().and_then(|line| line.strip_prefix("//! ")).unwrap_or("");
            if first.len() < 20 || !first.ends_with('.') {
                out.add(path, 1, "line 1 must be `//! ` and one sentence: what the crate owns");
            }
            let second = lines.next().and_then(|line| line.strip_prefix(SECOND)).unwrap_or("");
            if second.len() < 10 {
                out.add(path, 2, format!("line 2 must begin `{SECOND}` and name what stays out"));
            }
        }
        if !found {
            out.add(&format!("{folder}/Cargo.toml"), 1, "a crate needs src/lib.rs or src/main.rs");
        }
    }
}
