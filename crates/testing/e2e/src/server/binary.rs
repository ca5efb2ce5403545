//! Where the binary under test is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

/// The binary: `KLATCH_BIN`, or `klatch` of the profile that the tests were built with. The latter
/// is brought up to date first when cargo runs the tests, so that no old one is tested.
///
/// # Errors
/// It is not there and cannot be built.
pub fn binary() -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.clone().map_err(anyhow::Error::msg)
}

fn find() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("KLATCH_BIN") {
        let given = PathBuf::from(given);
        ensure!(given.is_file(), "KLATCH_BIN names {}, which is no file", given.display());
        return Ok(given);
    }
    // target/<profile>/deps/it-0123456789abcdef, or target/<profile>/examples/…
    let own = std::env::current_exe().context("finding this executable")?;
    let profile = own.parent().and_then(Path::parent).context("no profile's directory")?;
    let path = profile.join("klatch");
    if std::env::var_os("CARGO").is_some() || !path.is_file() {
        build(profile)?;
    }
    ensure!(path.is_file(), "{} was built and is not there", path.display());
    Ok(path)
}

fn build(profile: &Path) -> Result<()> {
    let name = profile.file_name().and_then(|name| name.to_str()).context("no profile's name")?;
    let target = profile.parent().context("no target directory")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "klatch", "--profile"]);
    command.arg(if name == "debug" { "dev" } else { name });
    command.arg("--target-dir").arg(target);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let status = command.status().context("running cargo to build the server")?;
    ensure!(status.success(), "the server could not be built: {status}");
    Ok(())
}
