//! Owns the repository's checks of itself: `cargo run -p xtask -- tidy`, and the same by tests.
//! Must not contain: anything that the product links, and any check that needs the network.

mod tidy;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

const USAGE: &str = "\
Usage: cargo run -p xtask -- <command>

  tidy     check the rules of CONTRIBUTING.md over the whole tree and print every breach";

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut out = std::io::stdout().lock();
    match args.as_slice() {
        ["tidy"] => {
            let here = std::env::current_dir().context("reading the current directory")?;
            let root = tidy::tree::root_above(&here)?;
            let report = tidy::check(&tidy::tree::Tree::load(&root)?);
            write!(out, "{report}")?;
            Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        ["help" | "--help" | "-h"] => {
            writeln!(out, "{USAGE}")?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            writeln!(std::io::stderr(), "{USAGE}")?;
            Ok(ExitCode::from(64))
        }
    }
}
