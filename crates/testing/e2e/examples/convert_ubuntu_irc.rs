//! Turns the corpus of Ubuntu's support channel into lines for `klatch import`.
//!
//! `cargo run -p klatch-e2e --example convert_ubuntu_irc -- FILE > chat.ndjson`; the file may be
//! compressed with gzip.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use klatch_e2e::ubuntu_irc::{self, Conversation};

fn main() -> ExitCode {
    match convert() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn convert() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1).context("name a file: plain lines, or gzip")?;
    let source = ubuntu_irc::open(&PathBuf::from(path))?;
    let conversation = Conversation::read(source)?;
    ubuntu_irc::write_import(&conversation, BufWriter::new(std::io::stdout().lock()))
}
