//! A history as lines of JSON, so that a failing one can be kept and checked again.

use std::io::{self, BufRead, Write};

use crate::history::{Entry, History};

/// Why a text is no history.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The reader failed.
    #[error("line {line} could not be read")]
    Read {
        /// Counted from 1.
        line: usize,
        /// What the reader said.
        source: io::Error,
    },
    /// A line is no entry.
    #[error("line {line} is no entry")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
}

/// Reads a history, one entry a line; empty lines are skipped.
///
/// # Errors
/// The first line that cannot be read or is no entry.
pub fn parse(reader: impl BufRead) -> Result<History, ParseError> {
    let mut entries = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        let number = index + 1;
        let line = line.map_err(|source| ParseError::Read { line: number, source })?;
        if line.trim().is_empty() {
            continue;
        }
        let entry: Entry = serde_json::from_str(&line)
            .map_err(|source| ParseError::Line { line: number, source })?;
        entries.push(entry);
    }
    Ok(History { entries })
}

/// Writes a history, one entry a line. Give it a buffered writer.
///
/// # Errors
/// What the writer says.
pub fn write(history: &History, mut writer: impl Write) -> io::Result<()> {
    for entry in &history.entries {
        serde_json::to_writer(&mut writer, entry)?;
        writer.write_all(b"\n")?;
    }
    writer.flush()
}
