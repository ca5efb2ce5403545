//! Progress of long work, for whoever sits at a terminal; nothing is printed elsewhere.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar up to `total` of something that `of` names.
pub(super) fn counting(total: u64, of: &str) -> anyhow::Result<ProgressBar> {
    with_style(total, &format!("{{bar:40}} {{human_pos}}/{{human_len}} {of}, {{eta}} left"))
}

/// A bar of bytes; how many is told later.
pub(super) fn bytes(of: &str) -> anyhow::Result<ProgressBar> {
    with_style(0, &format!("{{bar:40}} {{bytes}}/{{total_bytes}} {of}, {{eta}} left"))
}

fn with_style(total: u64, style: &str) -> anyhow::Result<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    Ok(ProgressBar::new(total).with_style(ProgressStyle::with_template(style)?))
}
