//! Results: rows of figures, medians of repetitions, as a table for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::machine::Machine;
use crate::stats::{Histogram, Spread};

/// One repetition of one workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) name: String,
    /// What a million is of.
    pub(crate) unit: &'static str,
    /// The bare writer's row to compare with.
    pub(crate) limit: Option<&'static str>,
    pub(crate) figures: BTreeMap<&'static str, f64>,
    /// CPU seconds per million by group of threads.
    pub(crate) threads: BTreeMap<String, f64>,
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Sample {
    pub(crate) fn put(&mut self, key: &'static str, value: f64) {
        self.figures.insert(key, value);
    }

    pub(crate) fn put_latency(&mut self, keys: [&'static str; 3], histogram: &Histogram) {
        if histogram.count() > 0 {
            for (key, share) in keys.into_iter().zip([0.5, 0.95, 0.99]) {
                self.put(key, histogram.quantile_ms(share));
            }
        }
    }
}

/// A workload over all repetitions.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload.
    pub name: String,
    /// What rates and costs are counted in.
    pub unit: String,
    /// Each figure's median, least and greatest. Times in ms, CPU in seconds per million.
    pub figures: BTreeMap<String, Spread>,
    /// CPU seconds per million by group of threads, medians.
    pub threads: BTreeMap<String, f64>,
    /// Refusals and the like, summed.
    pub errors: BTreeMap<String, u64>,
    /// CPU as a multiple of the bare writer's for the same deliveries in the same run: of the
    /// stretch next to each one, or else of its median.
    pub times_bare_writer: Option<Spread>,
}

/// What a bench found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// When it began, seconds since 1970.
    pub unix_seconds: u64,
    /// How it was called.
    pub command_line: String,
    /// What an acknowledgement was worth.
    pub durability: String,
    /// How often each workload ran.
    pub repetitions: u32,
    /// What.
    pub rows: Vec<Row>,
}

pub(crate) const CPU: &str = "cpu_s_per_million";
pub(crate) const TIMES_BARE: &str = "times_bare_writer";
pub(crate) const RATE: &str = "per_second";
pub(crate) const ACK: [&str; 3] = ["ack_p50_ms", "ack_p95_ms", "ack_p99_ms"];
pub(crate) const DELIVERY: [&str; 3] = ["delivery_p50_ms", "delivery_p95_ms", "delivery_p99_ms"];
pub(crate) const ANSWER: [&str; 3] = ["answer_p50_ms", "answer_p95_ms", "answer_p99_ms"];
pub(crate) const WRONG: [&str; 5] = ["lost", "doubled", "disordered", "foreign", "not_stored"];

/// Puts repetitions together, in the order in which workloads first came.
pub(crate) fn rows(samples: &[Sample]) -> Vec<Row> {
    let mut names: Vec<&str> = Vec::new();
    for sample in samples {
        if !names.contains(&sample.name.as_str()) {
            names.push(&sample.name);
        }
    }
    let median = |name: &str, key: &str| {
        let of = samples.iter().filter(|sample| sample.name == name);
        let values: Vec<f64> = of.filter_map(|s| s.figures.get(key).copied()).collect();
        Spread::of(&values)
    };
    names
        .iter()
        .map(|name| {
            let of: Vec<&Sample> = samples.iter().filter(|s| s.name == *name).collect();
            let keys = of.iter().flat_map(|sample| sample.figures.keys().copied());
            let figures = keys.filter_map(|k| Some((k.to_owned(), median(name, k)?))).collect();
            let mut errors = BTreeMap::new();
            for (code, count) in of.iter().flat_map(|sample| &sample.errors) {
                *errors.entry(code.clone()).or_default() += count;
            }
            let limit = of.first().and_then(|sample| sample.limit);
            let of_medians = || {
                let (bare, own) = (median(limit?, CPU)?, median(name, CPU)?);
                Spread::of(&[own.median / bare.median])
            };
            let times_bare_writer = median(name, TIMES_BARE).or_else(of_medians);
            Row {
                name: (*name).to_owned(),
                unit: of.first().map_or_else(String::new, |sample| sample.unit.to_owned()),
                figures,
                threads: threads(&of),
                errors,
                times_bare_writer,
            }
        })
        .collect()
}

fn threads(samples: &[&Sample]) -> BTreeMap<String, f64> {
    let groups = samples.iter().flat_map(|sample| sample.threads.keys());
    groups
        .filter_map(|group| {
            let each = |sample: &&Sample| sample.threads.get(group).copied().unwrap_or_default();
            let values: Vec<f64> = samples.iter().map(each).collect();
            Some((group.clone(), Spread::of(&values)?.median))
        })
        .collect()
}

impl Report {
    /// As JSON.
    ///
    /// # Errors
    /// None that can happen.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// Whether a message was lost, doubled, out of order, shown to strangers or not stored, or
    /// anything was refused.
    pub fn is_clean(&self) -> bool {
        self.rows.iter().all(|row| {
            row.errors.is_empty()
                && WRONG.iter().all(|key| row.figures.get(*key).is_none_or(|s| s.max <= 0.0))
        })
    }

    /// As Markdown: facts, the table, then each workload's CPU by threads.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let machine = &self.machine;
        #[expect(clippy::cast_precision_loss, reason = "a size shown in GiB")]
        let memory = machine.memory_bytes as f64 / f64::from(1 << 30);
        let _ = writeln!(
            out,
            "- machine: {} cores ({}), {memory:.0} GiB, {}, load before {}\n\
             - acknowledged means: {}\n- time: {}, {} repetitions, medians (least–greatest)\n\
             - command: `{}`\n",
            machine.cores,
            machine.processor,
            machine.kernel,
            machine.load,
            self.durability,
            utc(self.unix_seconds),
            self.repetitions,
            self.command_line
        );
        self.table(&mut out);
        for row in self.rows.iter().filter(|row| !row.threads.is_empty()) {
            let _ = writeln!(out, "\nCPU seconds per million {} of {}:\n", row.unit, row.name);
            let mut groups: Vec<(&String, &f64)> = row.threads.iter().collect();
            groups.sort_by(|a, b| b.1.total_cmp(a.1));
            let _ = writeln!(out, "| threads | CPU s / 1M |\n| --- | --- |");
            for (group, seconds) in groups.iter().filter(|(_, seconds)| **seconds >= 0.005) {
                let _ = writeln!(out, "| {group} | {} |", short(**seconds));
            }
        }
        out
    }

    fn table(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "| workload | rate | CPU s / 1M | × bare writer | ack p50 / p95 / p99 ms | delivery or \
             answer p50 / p95 / p99 ms | lost / doubled / disordered / foreign / not stored | other \
             |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
        );
        for row in &self.rows {
            let spread = |key: &str| row.figures.get(key).map_or_else(|| "–".to_owned(), range);
            let three = |keys: [&str; 3]| {
                let known: Vec<String> =
                    keys.iter().filter_map(|k| Some(short(row.figures.get(*k)?.median))).collect();
                if known.is_empty() { "–".to_owned() } else { known.join(" / ") }
            };
            let delivered =
                if row.figures.contains_key(ANSWER[0]) { three(ANSWER) } else { three(DELIVERY) };
            let wrong: Vec<String> =
                WRONG.iter().filter_map(|k| Some(short(row.figures.get(*k)?.max))).collect();
            let wrong = if wrong.is_empty() { "–".to_owned() } else { wrong.join(" / ") };
            let times = row.times_bare_writer.as_ref().map_or_else(|| "–".to_owned(), range);
            let _ = writeln!(
                out,
                "| {} | {} {}/s | {} | {times} | {} | {delivered} | {wrong} | {} |",
                row.name,
                spread(RATE),
                row.unit,
                spread(CPU),
                three(ACK),
                other(row)
            );
        }
    }
}

/// The figures that have no column, and refusals.
fn other(row: &Row) -> String {
    let mut shown: Vec<&str> = vec![CPU, RATE, TIMES_BARE];
    for keys in [ACK, DELIVERY, ANSWER] {
        shown.extend(keys);
    }
    shown.extend(WRONG);
    let figures = row
        .figures
        .iter()
        .filter(|(key, _)| !shown.contains(&key.as_str()))
        .map(|(key, spread)| format!("{} {}", key.replace('_', " "), range(spread)));
    let errors = row.errors.iter().map(|(code, count)| format!("**{code}: {count}**"));
    figures.chain(errors).collect::<Vec<_>>().join("; ")
}

fn range(spread: &Spread) -> String {
    let middle = short(spread.median);
    if spread.max - spread.min <= f64::EPSILON {
        return middle;
    }
    format!("{middle} ({}–{})", short(spread.min), short(spread.max))
}

/// Three digits that count, whole numbers with commas.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size.fract() == 0.0 => {
            let digits = format!("{:.0}", value.abs());
            let mut out = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 {
                    out.push(',');
                }
                out.push(digit);
            }
            if value < 0.0 { format!("-{out}") } else { out }
        }
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Seconds since 1970 as a date, by the civil calendar.
fn utc(unix_seconds: u64) -> String {
    let (days, rest) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Days since 0000-03-01, in eras of 400 years (Hinnant's algorithm).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + next_year;
    let (hours, minutes) = (rest / 3600, rest / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hours:02}:{minutes:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, limit: Option<&'static str>, cpu: f64) -> Sample {
        let mut sample =
            Sample { name: name.to_owned(), unit: "deliveries", limit, ..Sample::default() };
        sample.put(CPU, cpu);
        sample.put("lost", 0.0);
        sample
    }

    #[test]
    fn repetitions_become_one_row_with_its_multiple_of_the_bare_writer() {
        let samples = [
            sample("fanout", Some("bare"), 3.0),
            sample("bare", None, 2.0),
            sample("fanout", Some("bare"), 5.0),
            sample("bare", None, 2.0),
        ];
        let rows = rows(&samples);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].figures[CPU], Spread { median: 4.0, min: 3.0, max: 5.0 });
        assert_eq!(rows[0].times_bare_writer.map(|times| times.median), Some(2.0));
    }

    #[test]
    fn stretches_next_to_a_bare_one_are_compared_with_that_one() {
        let mut samples = vec![sample("bare", None, 1.0), sample("bare", None, 4.0)];
        for (cpu, times) in [(1.2, 1.2), (4.0, 1.0), (5.2, 1.3)] {
            let mut of = sample("fanout", Some("bare"), cpu);
            of.put(TIMES_BARE, times);
            samples.push(of);
        }
        let times = rows(&samples)[1].times_bare_writer.unwrap();
        assert_eq!(times, Spread { median: 1.2, min: 1.0, max: 1.3 });
    }

    #[test]
    fn a_lost_message_or_a_refusal_is_not_clean() {
        let report = |sample: Sample| Report {
            machine: Machine::read(),
            unix_seconds: 0,
            command_line: String::new(),
            durability: String::new(),
            repetitions: 1,
            rows: rows(&[sample]),
        };
        assert!(report(sample("a", None, 1.0)).is_clean());
        let mut bad = sample("a", None, 1.0);
        bad.put("lost", 1.0);
        assert!(!report(bad).is_clean());
        let mut bad = sample("a", None, 1.0);
        bad.errors.insert("rate_limited".to_owned(), 1);
        assert!(!report(bad.clone()).is_clean());
        assert!(report(bad).markdown().contains("**rate_limited: 1**"));
    }

    #[test]
    fn figures_and_dates_are_short() {
        assert_eq!(short(1_234_567.8), "1,234,568");
        assert_eq!(
            (short(12.34), short(1.234), short(0.0)),
            ("12.3".into(), "1.23".into(), "0".into())
        );
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(1_709_210_096), "2024-02-29 12:34 UTC");
    }
}
