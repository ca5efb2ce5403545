//! The server's own counters, from `/metrics`.

use std::collections::BTreeMap;

/// Samples by name with their labels, and by name alone with all labels added up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    sums: BTreeMap<String, f64>,
    durability: Option<String>,
}

impl Metrics {
    /// Reads Prometheus' text form; lines that are none are skipped.
    pub(crate) fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            if let Ok(value) = value.parse::<f64>() {
                *metrics.sums.entry(name.to_owned()).or_default() += value;
                if !labels.is_empty() {
                    metrics.sums.insert(format!("{name}{{{labels}"), value);
                }
            }
            if let Some((_, rest)) = labels.split_once("durability=\"") {
                metrics.durability = rest.split('"').next().map(str::to_owned);
            }
        }
        metrics
    }

    /// What the server says an acknowledgement is worth.
    pub(crate) fn durability(&self) -> Option<&str> {
        self.durability.as_deref()
    }

    /// How far a counter went on since; None if the server has no such counter.
    pub(crate) fn since(&self, earlier: &Self, name: &str) -> Option<f64> {
        Some(self.sums.get(name)? - earlier.sums.get(name)?)
    }

    /// Processor seconds by part of the work since, as the server counts them.
    pub(crate) fn parts(&self, earlier: &Self) -> BTreeMap<String, f64> {
        let prefix = "klatch_cpu_seconds_total{part=\"";
        let parts = self.sums.keys().filter_map(|key| {
            let part = key.strip_prefix(prefix)?.strip_suffix("\"}")?;
            Some((part.to_owned(), self.since(earlier, key)?.max(0.0)))
        });
        parts.collect()
    }

    /// Frames that fan-out gave to instances since, without those that only say that it is there.
    pub(crate) fn publishes(&self, earlier: &Self) -> Option<f64> {
        let all = self.since(earlier, "klatch_fanout_publishes_total")?;
        Some(all - self.since(earlier, "klatch_fanout_heartbeats_total").unwrap_or(0.0))
    }

    /// Records of the log that shared a sync, in the mean.
    pub(crate) fn records_per_sync(&self, earlier: &Self) -> Option<f64> {
        let records = self.since(earlier, "klatch_log_records_total")?;
        let syncs = self.since(earlier, "klatch_log_sync_seconds_count")?;
        (syncs > 0.0).then(|| records / syncs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_with_labels_add_up_and_tell_how_far_they_went() {
        let text = |a: u32, b: u32, syncs: u32| {
            format!(
                "# TYPE klatch_log_records_total counter\nklatch_log_records_total{{p=\"0\"}} {a}\n\
                 klatch_cpu_seconds_total{{part=\"receiving\"}} {a}.5\n\
                 klatch_log_records_total{{p=\"1 2\"}} {b}\nklatch_log_sync_seconds_count {syncs}\n\
                 klatch_info{{version=\"1\",durability=\"fsync\"}} 1\nrubbish\n"
            )
        };
        let (before, after) = (Metrics::parse(&text(1, 2, 1)), Metrics::parse(&text(11, 12, 5)));
        assert_eq!(after.since(&before, "klatch_log_records_total"), Some(20.0));
        assert_eq!(after.records_per_sync(&before), Some(5.0));
        assert_eq!(after.since(&before, r#"klatch_log_records_total{p="0"}"#), Some(10.0));
        assert_eq!(after.since(&before, "klatch_no_such_thing"), None);
        let parts = after.parts(&before).into_iter().collect::<Vec<_>>();
        assert_eq!(parts, [("receiving".to_owned(), 10.0)]);
        assert_eq!(after.durability(), Some("fsync"));
    }
}
