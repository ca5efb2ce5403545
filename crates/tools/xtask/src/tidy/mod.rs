//! The rules, and the report of everything that breaks one.

mod adr;
mod arrows;
mod clock;
mod crate_doc;
mod file_io;
mod guards;
mod lexer;
mod links;
mod machine;
mod markers;
mod names;
mod size;
mod source;
mod text;
pub(crate) mod tree;

use std::fmt;

use tree::Tree;

/// One breach: where, which rule, and what would mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Counted from 1; 1 when the whole file is meant.
    pub(crate) line: usize,
    pub(crate) rule: &'static str,
    pub(crate) advice: String,
}

/// Collects what one rule finds.
pub(crate) struct Findings<'a> {
    rule: &'static str,
    list: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    pub(crate) fn add(&mut self, path: &str, line: usize, advice: impl Into<String>) {
        let (path, advice) = (path.to_owned(), advice.into());
        self.list.push(Finding { path, line, rule: self.rule, advice });
    }
}

type Rule = fn(&Tree, &mut Findings<'_>);

/// Every rule with the name that a finding carries. CONTRIBUTING.md describes each.
const RULES: &[(&str, Rule)] = &[
    ("arrow", arrows::check),
    ("third-party", arrows::check_third_party),
    ("size", size::check),
    ("line-length", size::check_line_length),
    ("name", names::check),
    ("crate-doc", crate_doc::check),
    ("whitespace", text::check_whitespace),
    ("marker", markers::check_markers),
    ("ignore-reason", markers::check_ignores),
    ("adr", adr::check),
    ("link", links::check),
    ("guard", guards::check),
    ("machine-path", machine::check_paths),
    ("registry-host", machine::check_registries),
    ("file-io", file_io::check),
    ("clock", clock::check),
];

/// What a run over one tree found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    files: usize,
    expects: usize,
}

/// Runs every rule; findings come sorted by path and line.
pub(crate) fn check(tree: &Tree) -> Report {
    let mut findings = Vec::new();
    for (rule, run) in RULES {
        run(tree, &mut Findings { rule, list: &mut findings });
    }
    findings.sort();
    findings.dedup();
    Report { findings, files: tree.paths().count(), expects: markers::count_expects(tree) }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { path, line, rule, advice } in &self.findings {
            writeln!(f, "{path}:{line}: {rule}: {advice}")?;
        }
        let (files, findings, expects) = (self.files, self.findings.len(), self.expects);
        writeln!(f, "tidy: {files} files, {findings} findings, {expects} #[expect] in use")
    }
}

#[cfg(test)]
mod tests;
