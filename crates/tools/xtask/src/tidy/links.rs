//! Links in Markdown files that lead nowhere.

use super::Findings;
use super::tree::{Tree, has_extension};

pub(crate) fn check(tree: &Tree, out: &mut Findings<'_>) {
    for (path, text) in tree.texts().filter(|(path, _)| has_extension(path, "md")) {
        for (line, target) in targets(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let Some(file) = resolve(path, file) else {
                out.add(path, line, format!("{target} leads out of the repository"));
                continue;
            };
            if !tree.exists(&file) {
                out.add(path, line, format!("{target}: there is no {file}"));
            } else if !anchor.is_empty() {
                let headings = tree.text(&file).map(headings).unwrap_or_default();
                if !headings.iter().any(|heading| heading == anchor) {
                    out.add(path, line, format!("{target}: {file} has no such heading"));
                }
            }
        }
    }
}

/// Every inline link outside code, with its line.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Odd pieces between back-ticks are code.
        for piece in line.split('`').step_by(2) {
            for (at, _) in piece.match_indices("](") {
                let tail = piece.get(at + 2..).unwrap_or("");
                let target = tail.split([')', ' ']).next().unwrap_or("");
                found.push((number, target.trim_matches(['<', '>'])));
            }
        }
    }
    found
}

/// Lines outside fenced code, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((at + 1, line))
    })
}

/// `target` as seen from the file `from`, from the root; `None` above the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a file's headings, as the usual renderers make them.
fn headings(text: &str) -> Vec<String> {
    let heads = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.trim())
    });
    let slug = |title: &str| -> String {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    heads.map(slug).collect()
}
