//! How big a file, a crate, a `main.rs` and a line may be. Functions are clippy's to measure.

use super::Findings;
use super::source::{Source, SourceLine};
use super::tree::{Tree, has_extension};

const FILE_LINES: usize = 400;
/// For a file that says why in its first lines, with [`REASON`].
const FILE_LINES_WITH_REASON: usize = 600;
const REASON: &str = "//! size: ";
/// How far down the reason may stand.
const REASON_WITHIN: usize = 10;
const CRATE_LINES: usize = 8_000;
const MAIN_LINES: usize = 60;
const LINE_CHARS: usize = 100;

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    for source in tree.sources() {
        check_file(source, out);
    }
    for folder in tree.crate_folders() {
        let src = format!("{folder}/src/");
        let own = tree.sources().iter().filter(|source| source.path.starts_with(&src));
        let lines: usize = own.map(|source| source.production().count()).sum();
        if lines > CRATE_LINES {
            let advice = format!("crate has {lines} production lines of {CRATE_LINES}: split it");
            out.add(&format!("{folder}/Cargo.toml"), 1, advice);
        }
    }
}

fn check_file(source: &Source, out: &mut Findings<'_>) {
    let lines = source.production().count();
    if source.path.ends_with("/src/main.rs") && lines > MAIN_LINES {
        let advice = format!("main.rs has {lines} lines of {MAIN_LINES}: move work to a module");
        out.add(&source.path, 1, advice);
    }
    let first = source.lines().iter().take(REASON_WITHIN);
    let reasoned = first.filter_map(|line| line.text.strip_prefix(REASON)).any(|why| why.len() > 9);
    let limit = if reasoned { FILE_LINES_WITH_REASON } else { FILE_LINES };
    if lines > limit {
        let advice = if reasoned {
            format!("{lines} production lines of {limit}: split it")
        } else {
            format!("{lines} production lines of {limit}: split it, or say why with `{REASON}…`")
        };
        out.add(&source.path, 1, advice);
    }
}

pub(crate) fn check_line_length(tree: &Tree, out: &mut Findings<'_>) {
    let mut measure = |path: &str, number: usize, line: &str| {
        let chars = line.chars().count();
        if chars > LINE_CHARS && !line.contains("://") {
            out.add(path, number, format!("{chars} characters of {LINE_CHARS}: wrap it"));
        }
    };
    for source in tree.sources().iter().filter(|source| !source.path.contains("/testdata/")) {
        for line in source.lines().iter().filter(|line| !is_literal(line)) {
            measure(&source.path, line.number, &line.text);
        }
    }
    for (path, text) in tree.texts().filter(|(path, _)| is_script(path)) {
        text.lines().enumerate().for_each(|(at, line)| measure(path, at + 1, line));
    }
}

/// Whether the line is nothing but (a part of) a literal: JSON broken in two is worse than long.
fn is_literal(line: &SourceLine) -> bool {
    let code = line.code.trim().trim_end_matches([',', ';', ')']);
    let text = line.text.trim_start();
    code.is_empty() && !["//", "/*", "*"].iter().any(|comment| text.starts_with(comment))
}

/// Prose and generated files wrap as they like; the web client has a formatter of its own.
fn is_script(path: &str) -> bool {
    path == "Makefile" || path.starts_with(".ci/") || has_extension(path, "sh")
}
