//! Who may touch files: the embedded engine, the binary and the tools; everyone else asks a port.

use super::Findings;
use super::source::{Source, has_word};
use super::tree::Tree;

const ALLOWED: &[&str] = &[
    "crates/adapters/embedded/",
    "crates/adapters/log/",
    "crates/node/",
    "crates/retention/",
    "crates/tools/",
    "crates/testing/",
];

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    let bound = |source: &&Source| {
        source.in_src() && !ALLOWED.iter().any(|folder| source.path.starts_with(folder))
    };
    for source in tree.sources().iter().filter(bound) {
        let mut in_std_group = false;
        for line in source.production() {
            let code = line.code.as_str();
            in_std_group |= code.contains("use std::{") || code.contains("use tokio::{");
            let direct = has_word(code, "std::fs") || has_word(code, "tokio::fs");
            if direct || in_std_group && has_word(code, "fs") {
                let advice = "files belong to an engine: go through a port of klatch-ports";
                out.add(&source.path, line.number, advice);
            }
            in_std_group &= !code.contains(';');
        }
    }
}
