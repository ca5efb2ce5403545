//! Names that tell nothing and so collect everything.

use super::Findings;
use super::source::is_word_at;
use super::tree::Tree;

const FORBIDDEN: &[&str] =
    &["util", "utils", "helper", "helpers", "misc", "common", "shared", "types", "core"];

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    for folder in tree.crate_folders() {
        let name = folder.rsplit('/').next().unwrap_or(folder);
        if is_forbidden(name) {
            out.add(&format!("{folder}/Cargo.toml"), 1, advice("crate", name));
        }
    }
    for source in tree.sources() {
        // `crates/core/domain/src/a/b.rs`: only what follows the crate's own folder is a module.
        let inner = source.path.split_once("/src/").or(source.path.split_once("/tests/"));
        let Some((_, modules)) = inner else { continue };
        let modules = modules.strip_suffix(".rs").unwrap_or(modules);
        for name in modules.split('/').filter(|name| is_forbidden(name)) {
            out.add(&source.path, 1, advice("module", name));
        }
        for line in source.lines() {
            if let Some(name) = inline_module(&line.code).filter(|name| is_forbidden(name)) {
                out.add(&source.path, line.number, advice("module", name));
            }
        }
    }
}

fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.contains(&name)
}

fn advice(kind: &str, name: &str) -> String {
    format!("a {kind} called `{name}` owns nothing: name it for what it holds")
}

/// The name in `mod name {`.
fn inline_module(code: &str) -> Option<&str> {
    let at = code.find("mod ").filter(|at| is_word_at(code, *at, "mod"))?;
    code.get(at + 4..)?.split_once('{').map(|(name, _)| name.trim())
}
