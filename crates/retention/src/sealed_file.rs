//! Small files of JSON with their own checksum: a line, then its SHA-256.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Writes the file, whole or not at all, durably.
///
/// # Errors
/// What the disk says.
pub fn write(path: &Path, contents: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(contents)?;
    let text = format!("{line}\n{}\n", hex(&Sha256::digest(line.as_bytes())));
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Reads the file; `None` when there is none. It must say of itself that it is of this `format`.
///
/// # Errors
/// It is damaged, or of another format, or what the disk says.
pub fn read<T: DeserializeOwned>(path: &Path, format: u32) -> anyhow::Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let mut lines = text.lines();
    let (line, sum) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let shown = path.display();
    ensure!(hex(&Sha256::digest(line.as_bytes())) == sum, "{shown} is damaged");
    let form: Value = serde_json::from_str(line)?;
    let found = form.get("format").and_then(Value::as_u64);
    ensure!(
        found == Some(u64::from(format)),
        "{shown} is of a form that this version of Klatch does not know"
    );
    Ok(Some(serde_json::from_str(line).with_context(|| format!("reading {shown}"))?))
}

/// Bytes as lower-case digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
