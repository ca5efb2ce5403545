//! The files that the rules look at: those git tracks or would track.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::source::Source;

/// Folders that no rule looks into when git is not there to say what is tracked.
const UNTRACKED: &[&str] = &[".git", "target", "node_modules", "dist", "data"];

/// Bytes for programs, whatever they look like.
const DATA: &str = "fuzz/corpus/";

/// All text files by their path from the root, with `/` between the parts.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    /// Paths that exist and are no text; links may still point at them.
    binaries: Vec<String>,
    sources: Vec<Source>,
}

impl Tree {
    /// Reads the tree under `root`.
    ///
    /// # Errors
    /// When a file that git lists cannot be read, other than by being gone.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut binaries = Vec::new();
        for path in tracked(root).map_or_else(|| walk(root), Ok)? {
            let full = root.join(&path);
            if !full.is_file() {
                continue; // deleted but not yet staged, or a link to a folder
            }
            let bytes = std::fs::read(&full).with_context(|| format!("reading {path}"))?;
            match String::from_utf8(bytes) {
                Ok(text) if !path.starts_with(DATA) => drop(files.insert(path, text)),
                Ok(_) | Err(_) => binaries.push(path),
            }
        }
        Ok(Self::new(files, binaries))
    }

    fn new(files: BTreeMap<String, String>, binaries: Vec<String>) -> Self {
        let rust = files.iter().filter(|(path, _)| has_extension(path, "rs"));
        let mut sources: Vec<Source> =
            rust.map(|(path, text)| Source::new(path.clone(), text)).collect();
        let declared: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
        for source in &mut sources {
            source.mark_if_declared_as_test(&declared);
        }
        Self { files, binaries, sources }
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
        Self::new(files, Vec::new())
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().chain(&self.binaries).map(String::as_str)
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Whether `path` is a file, or a folder that holds one.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty() || self.paths().any(|known| known == path || known.starts_with(&folder))
    }

    /// Folders of the workspace's crates, e.g. `crates/core/domain`.
    pub(crate) fn crate_folders(&self) -> impl Iterator<Item = &str> {
        let manifests = self.files.keys().filter(|path| path.starts_with("crates/"));
        manifests.filter_map(|path| path.strip_suffix("/Cargo.toml"))
    }
}

/// Whether the name of the file at `path` ends in `.extension`.
pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found == extension)
}

/// The nearest folder at or above `start` that holds the workspace.
///
/// # Errors
/// When there is none.
pub(crate) fn root_above(start: &Path) -> Result<PathBuf> {
    for folder in start.ancestors() {
        if folder.join("crates/tools/xtask/Cargo.toml").is_file() {
            return Ok(folder.to_owned());
        }
    }
    bail!("no workspace at or above {}", start.display())
}

/// What git tracks or would add; `None` without git or outside a repository.
fn tracked(root: &Path) -> Option<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(listed.stdout).ok()?;
    let mut paths: Vec<String> =
        text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    (!paths.is_empty()).then_some(paths)
}

fn walk(root: &Path) -> Result<Vec<String>> {
    let (mut paths, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !UNTRACKED.contains(&&*name) {
                    folders.push(path);
                }
            } else if let Some(relative) = path.strip_prefix(root)?.to_str() {
                paths.push(relative.to_owned());
            }
        }
    }
    Ok(paths)
}
