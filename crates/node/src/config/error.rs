//! Configuration errors that tell what to do.

use std::path::PathBuf;

use figment::error::Kind;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file named on the command line is not there.
    #[error("there is no configuration file {0}: name an existing one or leave --config out")]
    NoFile(PathBuf),
    /// A key nobody knows.
    #[error("unknown setting `{key}` in {source_name}{suggestion}")]
    UnknownKey { key: String, source_name: String, suggestion: String },
    /// A value that does not fit.
    #[error("the setting `{key}` in {source_name} does not fit: {problem}")]
    BadValue { key: String, source_name: String, problem: String },
    /// A value that fits its type and cannot work.
    #[error("the setting `{key}` cannot work: {problem}")]
    Refused { key: &'static str, problem: String },
}

impl ConfigError {
    /// Takes the first of figment's errors apart.
    pub(crate) fn from_figment(error: figment::Error) -> Self {
        let source_name =
            error.metadata.as_ref().map_or_else(|| "the configuration".to_owned(), describe);
        let path = error.path.join(".");
        match error.kind {
            Kind::UnknownField(field, known) => {
                let at = |name: &str| match path.strip_suffix(&field) {
                    Some("") | None => name.to_owned(),
                    Some(prefix) => format!("{prefix}{name}"),
                };
                let suggestion = nearest(&field, known).map_or_else(
                    || format!("; known here: {}", known.join(", ")),
                    |best| format!(": did you mean `{best}`?"),
                );
                Self::UnknownKey { key: at(&field), source_name, suggestion }
            }
            kind => Self::BadValue { key: path, source_name, problem: kind.to_string() },
        }
    }
}

fn describe(metadata: &figment::Metadata) -> String {
    match metadata.source.as_ref().and_then(figment::Source::file_path) {
        Some(path) => path.display().to_string(),
        None => metadata.name.to_string(),
    }
}

/// The known key most like `field`, if any is like it at all.
fn nearest<'a>(field: &str, known: &[&'a str]) -> Option<&'a str> {
    let starts = |key: &&&str| field.starts_with(**key) || key.starts_with(field);
    let best = known.iter().min_by_key(|key| distance(field, key))?;
    if distance(field, best) <= 1 + field.len() / 4 {
        return Some(best);
    }
    known.iter().find(starts).copied()
}

/// Edits from one word to the other (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut left = index + 1;
        let mut corner = index;
        for (place, other) in to.iter().enumerate() {
            let above = row.get(place + 1).copied().unwrap_or_default();
            let cost = usize::from(letter != *other);
            let best = (corner + cost).min(left + 1).min(above + 1);
            if let Some(cell) = row.get_mut(place) {
                *cell = left;
            }
            (corner, left) = (above, best);
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (from, to, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
    }
}
