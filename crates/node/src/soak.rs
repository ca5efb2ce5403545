//! `klatch soak`: people, kills and the checker on this machine, one report at the end.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use klatch_domain::Clock as _;
use klatch_soak::Soak;

use crate::host::{self, SystemClock};

/// Flags of `soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// How long people act: 90s, 10m, 2h.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = time)]
    time: Duration,
    /// From one SIGKILL to the next; half-way in between an orderly restart or a pause.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = time)]
    kill_every: Duration,
    /// People, each with a connection.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(4..=1000))]
    people: u32,
    /// Seed of what people and faults do [default: of this moment].
    #[arg(long)]
    seed: Option<u64>,
    /// Where the data directory is made, and removed again if all is well [default: the system's
    /// temporary one].
    #[arg(long, value_name = "DIRECTORY")]
    data_root: Option<PathBuf>,
    /// Also write the report as JSON here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &SoakArgs) -> anyhow::Result<()> {
    let soak = Soak {
        program: None,
        time: args.time,
        kill_every: args.kill_every,
        people: args.people,
        seed: args.seed.unwrap_or(SystemClock.now().0),
        data_root: args.data_root.clone(),
    };
    let say = Arc::new(|line: &str| {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    });
    say(&format!("seed {}", soak.seed));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut signals = host::Signals::listen()?;
        tokio::select! {
            report = klatch_soak::run(&soak, say) => report,
            // Dropping the run ends its server.
            () = signals.asked_to_end() => anyhow::bail!("ended before it was judged, as asked"),
        }
    })?;
    host::say(&report.text());
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    anyhow::ensure!(report.is_clean(), "promises were broken");
    Ok(())
}

/// A time like `90s`, `10m`, `2h` or `500ms`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let wrong = || format!("`{text}` is no time: write 90s, 10m or 2h");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(millis) {
        Some(1..) => Ok(Duration::from_millis(number * millis)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_nothing_else() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(time("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "10", "s", "0s", "1d", "-1s", "1 s", "99999999999999999999h"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
