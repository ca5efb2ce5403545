//! `GET /metrics`: counts of every role in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use klatch_auth::Auth;
use klatch_domain::Timestamp;
use klatch_embedded::log::{EmbeddedLog, SYNC_BUCKETS_US};
use klatch_embedded::stores::{MessageStore, MetadataStore};
use klatch_fanout::FanOutStats;
use klatch_limits::Limiter;
use klatch_memory::bus::MemoryBus;
use klatch_pump::Progress;

use crate::durability::Durability;
use crate::wiring::{Adapters, Certificate, Process, RetentionStats, Roles};

/// Where the counts come from.
pub(crate) struct Sources {
    log: Arc<EmbeddedLog>,
    bus: MemoryBus,
    projections: Vec<Arc<Progress>>,
    fanout: Vec<Arc<FanOutStats>>,
    realtime: Arc<klatch_realtime::Stats>,
    messages: Arc<MessageStore>,
    metadata: Arc<MetadataStore>,
    limits: Arc<Limiter>,
    auth: Arc<Auth>,
    retention: Arc<RetentionStats>,
    /// With TLS.
    certificate: Option<Arc<Certificate>>,
    instance: String,
    durability: Durability,
}

/// A page of metrics under construction.
#[derive(Default)]
struct Page(String);

impl Page {
    fn about(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.about(name, "counter", help);
        self.value(name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.about(name, "gauge", help);
        self.value(name, "", value);
    }

    /// What is not known is left out: any number would set off an alert, or keep one from it.
    fn certificate_ends(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            let seconds = at.0 / 1_000;
            self.gauge("klatch_certificate_ends_timestamp_seconds", "Its last moment.", seconds);
        }
    }
}

impl Sources {
    pub(crate) fn new(
        process: &Process,
        adapters: &Adapters,
        roles: &Roles,
        retention: Arc<RetentionStats>,
        certificate: Option<Arc<Certificate>>,
    ) -> Self {
        Self {
            log: Arc::clone(&adapters.log),
            bus: adapters.bus.clone(),
            projections: roles.projections.clone(),
            fanout: roles.fanout.clone(),
            realtime: roles.realtime.stats(),
            messages: adapters.messages.clone(),
            metadata: adapters.metadata.clone(),
            limits: Arc::clone(&roles.limits),
            auth: Arc::clone(&roles.auth),
            retention,
            certificate,
            instance: process.instance.to_string(),
            durability: Durability::of(&process.config.server.data_dir),
        }
    }

    /// The page.
    pub(crate) fn text(&self) -> String {
        let mut page = Page::default();
        page.about("klatch_info", "gauge", "Version and instance; durability of acknowledgements.");
        let version = env!("CARGO_PKG_VERSION");
        let (instance, durability) = (&self.instance, self.durability.word());
        let labels = format!(
            "{{version=\"{version}\",instance=\"{instance}\",durability=\"{durability}\"}}"
        );
        page.value("klatch_info", &labels, 1);
        self.log(&mut page);
        self.retention(&mut page);
        Self::parts(&mut page);
        self.stores(&mut page);
        self.workers(&mut page);
        self.fanout(&mut page);
        self.realtime(&mut page);
        self.limits(&mut page);
        self.letters(&mut page);
        self.certificate(&mut page);
        page.0
    }

    fn limits(&self, page: &mut Page) {
        let name = "klatch_limits_refused_total";
        page.about(name, "counter", "Requests and frames beyond their sender's window.");
        for (action, count) in self.limits.refusals() {
            page.value(name, &format!("{{action=\"{}\"}}", action.name()), count);
        }
        let alone = self.limits.alone();
        page.counter("klatch_limits_alone_total", "Times the KV could not be asked.", alone);
        let buckets = self.limits.buckets() as u64;
        page.gauge("klatch_limits_buckets", "Windows in memory, at most 65536.", buckets);
    }

    fn letters(&self, page: &mut Page) {
        let stats = self.auth.letter_stats();
        page.gauge("klatch_letters_waiting", "Letters that wait, at most 256.", stats.waiting);
        let name = "klatch_letters_total";
        page.about(name, "counter", "Letters by what became of them.");
        for (outcome, count) in [
            ("sent", stats.sent),
            ("refused", stats.refused),
            ("given_up", stats.given_up),
            ("dropped", stats.dropped),
        ] {
            page.value(name, &format!("{{outcome=\"{outcome}\"}}"), count);
        }
    }

    fn certificate(&self, page: &mut Page) {
        let Some(certificate) = &self.certificate else { return };
        page.certificate_ends(certificate.ends_at());
        let broken = u64::from(certificate.is_broken());
        page.gauge("klatch_certificate_broken", "Whether its files cannot be used.", broken);
        let renewals = certificate.renewals();
        page.counter("klatch_certificate_renewals_total", "Times it was replaced.", renewals);
    }

    fn log(&self, page: &mut Page) {
        let stats = self.log.stats();
        page.counter("klatch_log_appends_total", "Appends that became durable.", stats.appends);
        page.counter("klatch_log_records_total", "Records that became durable.", stats.records);
        page.counter("klatch_log_bytes_total", "Bytes written to the log.", stats.bytes);
        page.counter("klatch_log_conflicts_total", "Appends that lost a race.", stats.conflicts);
        page.counter(
            "klatch_log_refused_total",
            "Appends refused: queue or disk full.",
            stats.refused,
        );
        page.gauge("klatch_log_queue_bytes", "Bytes waiting to become durable.", stats.queue_bytes);
        let name = "klatch_log_sync_seconds";
        page.about(name, "histogram", "Time of one sync of the log.");
        let mut sum = 0;
        for (index, count) in stats.sync_buckets.iter().enumerate() {
            sum += count;
            let le = SYNC_BUCKETS_US.get(index).map_or_else(
                || "+Inf".to_owned(),
                |us| format!("{}.{:06}", us / 1_000_000, us % 1_000_000),
            );
            page.value("klatch_log_sync_seconds_bucket", &format!("{{le=\"{le}\"}}"), sum);
        }
        let (whole, rest) = (stats.sync_us / 1_000_000, stats.sync_us % 1_000_000);
        page.value("klatch_log_sync_seconds_sum", "", format!("{whole}.{rest:06}"));
        page.value("klatch_log_sync_seconds_count", "", stats.syncs);
    }

    fn retention(&self, page: &mut Page) {
        let stats = &self.retention;
        let now = |value: &AtomicU64| value.load(Ordering::Relaxed);
        page.gauge("klatch_log_segments", "Segments of the log.", self.log.segments() as u64);
        page.gauge("klatch_log_start", "Offset before the log's first record.", now(&stats.start));
        let forgotten = now(&stats.forgotten);
        page.counter("klatch_log_forgotten_segments_total", "Segments removed.", forgotten);
        page.gauge("klatch_snapshot_number", "The newest snapshot.", now(&stats.snapshot));
        page.gauge("klatch_snapshot_covers", "Offset up to which it goes.", now(&stats.covers));
        let verified = now(&stats.verified_at);
        page.gauge("klatch_snapshot_verified_timestamp_seconds", "When it was right.", verified);
        let running = u64::from(stats.running.load(Ordering::Relaxed));
        page.gauge("klatch_retention_running", "Whether a snapshot is being made.", running);
        let failures = now(&stats.failures);
        page.counter("klatch_retention_failures_total", "Rounds that failed.", failures);
        let name = "klatch_retention_seconds";
        page.about(name, "gauge", "What the last round took.");
        let took = now(&stats.took_ms);
        page.value(name, "", format!("{}.{:03}", took / 1_000, took % 1_000));
    }

    fn parts(page: &mut Page) {
        let name = "klatch_cpu_seconds_total";
        page.about(name, "counter", "Processor time by part of the work, from samples.");
        for part in klatch_meter::Part::ALL {
            let nanos = part.nanos();
            let seconds = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
            page.value(name, &format!("{{part=\"{}\"}}", part.name()), seconds);
        }
    }

    fn stores(&self, page: &mut Page) {
        let name = "klatch_store_reads_total";
        page.about(name, "counter", "Reads of the stores, those of their own writers excepted.");
        for (store, reads) in
            [("messages", self.messages.reads()), ("metadata", self.metadata.reads())]
        {
            page.value(name, &format!("{{store=\"{store}\"}}"), reads);
        }
    }

    fn workers(&self, page: &mut Page) {
        let all: Vec<_> = self.projections.iter().map(|progress| progress.snapshot()).collect();
        let columns = [
            ("klatch_worker_lag_events", "gauge", "Events between a worker and the log's end."),
            ("klatch_worker_position", "gauge", "Offset up to which a worker is done."),
            ("klatch_worker_records_total", "counter", "Records applied."),
            ("klatch_worker_failures_total", "counter", "Failed attempts."),
            ("klatch_worker_dead_letters_total", "counter", "Records given up."),
        ];
        for (column, (name, kind, help)) in columns.into_iter().enumerate() {
            page.about(name, kind, help);
            for snapshot in &all {
                let values = [
                    snapshot.lag(),
                    snapshot.through.0,
                    snapshot.records,
                    snapshot.failures,
                    snapshot.dead_letters,
                ];
                let (worker, partition) = (snapshot.name, snapshot.partition.0);
                let labels = format!("{{worker=\"{worker}\",partition=\"{partition}\"}}");
                page.value(name, &labels, values.get(column).copied().unwrap_or_default());
            }
        }
    }

    fn fanout(&self, page: &mut Page) {
        let all: Vec<_> = self.fanout.iter().map(|stats| stats.snapshot()).collect();
        let total = |count: fn(&klatch_fanout::StatsSnapshot) -> u64| all.iter().map(count).sum();
        page.counter("klatch_fanout_events_total", "Events looked at.", total(|s| s.events));
        page.counter("klatch_fanout_publishes_total", "Frames to inboxes.", total(|s| s.publishes));
        let heartbeats = total(|s| s.heartbeats);
        page.counter("klatch_fanout_heartbeats_total", "Frames that told no event.", heartbeats);
        page.gauge("klatch_fanout_active_rooms", "Rooms in memory.", total(|s| s.active_rooms));
        page.gauge("klatch_fanout_online_users", "Users online somewhere.", total(|s| s.users));
        let stats = self.realtime.snapshot();
        let name = "klatch_routing_bytes";
        page.about(name, "gauge", "Memory that routing takes, about.");
        let sizes = [
            ("fanout", "users", total(|s| s.users_bytes), total(|s| s.users)),
            ("fanout", "rooms", total(|s| s.rooms_bytes), total(|s| s.active_rooms)),
            ("realtime", "users", stats.users_bytes, stats.users),
            ("realtime", "rooms", stats.rooms_bytes, stats.rooms),
        ];
        for (role, of, bytes, _) in sizes {
            page.value(name, &format!("{{role=\"{role}\",of=\"{of}\"}}"), bytes);
        }
        let name = "klatch_routing_bytes_each";
        page.about(name, "gauge", "The same per online user and per room.");
        for (role, of, bytes, count) in sizes {
            page.value(name, &format!("{{role=\"{role}\",of=\"{of}\"}}"), bytes / count.max(1));
        }
        page.counter("klatch_bus_dropped_total", "Payloads the bus dropped.", self.bus.dropped());
    }
}

impl Sources {
    fn realtime(&self, page: &mut Page) {
        let stats = self.realtime.snapshot();
        let gauges = [
            ("klatch_connections", "Open connections.", stats.connections),
            ("klatch_connected_users", "Users with an open connection.", stats.users),
            ("klatch_realtime_rooms", "Rooms whose connected members are known.", stats.rooms),
            ("klatch_realtime_queued_bytes", "Bytes waiting for clients.", stats.queued_bytes),
            ("klatch_presence_watched", "People whose presence is watched.", stats.watched),
        ];
        for (name, help, value) in gauges {
            page.gauge(name, help, value);
        }
        let counters = [
            ("klatch_upgrades_total", "Connections accepted.", stats.accepted),
            ("klatch_upgrades_refused_total", "Connections refused.", stats.refused),
            ("klatch_frames_in_total", "Frames from clients.", stats.frames_in),
            ("klatch_deliveries_total", "Events handed to connections.", stats.deliveries),
            ("klatch_events_packed_total", "Events compressed for delivery.", stats.events_packed),
            (
                "klatch_rooms_collapsed_total",
                "Times that a room's events gave way to a notice for a slow client.",
                stats.collapsed,
            ),
            (
                "klatch_loud_events_total",
                "Events told by notices because their room said too much.",
                stats.loud,
            ),
            (
                "klatch_frames_refused_total",
                "Frames from clients that were too many.",
                stats.rate_limited,
            ),
            ("klatch_inbox_gaps_total", "Breaks of the inbox chain.", stats.gaps),
            ("klatch_inbox_repaired_total", "Records read to mend them.", stats.repaired),
            ("klatch_resumes_replayed_total", "Resumes by replay.", stats.replays),
            ("klatch_resumes_by_delta_total", "Resumes by delta.", stats.deltas),
            ("klatch_resumes_snapshot_total", "Resumes by snapshot.", stats.snapshots),
            ("klatch_presence_reads_total", "People looked up for watchers.", stats.looked_up),
            ("klatch_presence_told_total", "Presence frames to clients.", stats.presence_told),
            ("klatch_typing_told_total", "Typing frames to clients.", stats.typing_told),
            ("klatch_typing_dropped_total", "Typing not told.", stats.typing_dropped),
        ];
        for (name, help, value) in counters {
            page.counter(name, help, value);
        }
        let name = "klatch_connections_closed_total";
        page.about(name, "counter", "Connections that the server closed.");
        for (reason, count) in [
            ("slow", stats.closed_slow),
            ("expired", stats.closed_expired),
            ("revoked", stats.closed_revoked),
            ("protocol", stats.closed_protocol),
        ] {
            page.value(name, &format!("{{reason=\"{reason}\"}}"), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_a_certificate_that_is_not_known_is_left_out() {
        let mut page = Page::default();
        page.certificate_ends(None);
        assert_eq!(page.0, "");
        page.certificate_ends(Some(Timestamp(1_893_456_000_999)));
        let line = "klatch_certificate_ends_timestamp_seconds 1893456000\n";
        assert!(page.0.ends_with(line), "{}", page.0);
    }
}
