//! What a soak says in the end, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::client::TierCounts;
use crate::load::{Kills, Tally};
use crate::verdict::{Clean, Wrongs};

/// What a soak says in the end.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SoakReport {
    /// Seed of all choices of people and faults.
    pub seed: u64,
    /// Seconds of load, without the judging.
    pub seconds: f64,
    /// Stretches that were judged one by one, each with people and rooms of its own.
    pub chapters: u32,
    /// Broken promises by kind.
    pub wrongs: Wrongs,
    /// Broken promises by invariant.
    pub by_invariant: BTreeMap<String, u64>,
    /// What exactly was wrong, or why the run ended early.
    pub findings: Vec<String>,
    /// Where the server's directory and the history are kept when something was wrong.
    pub kept_in: Option<String>,
    /// SIGKILLs.
    pub kills: usize,
    /// Orderly restarts.
    pub restarts: usize,
    /// SIGSTOPs.
    pub pauses: usize,
    /// Milliseconds from a new process after a kill to readiness, in the middle.
    pub ready_median_ms: u64,
    /// The slowest.
    pub ready_slowest_ms: u64,
    /// Messages sent, retries not counted.
    pub sends: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages of which nobody was told what became of them, after all retries.
    pub unknown: u64,
    /// Attempts after an unknown outcome.
    pub retries: u64,
    /// Sends repeated although they were acknowledged.
    pub repeats: u64,
    /// Edits and deletes.
    pub changes: u64,
    /// Joins, leaves, invitations and removals.
    pub moves: u64,
    /// Walks through history.
    pub walks: u64,
    /// Connections opened again.
    pub reconnects: u64,
    /// How resumes were answered.
    pub resumes: TierCounts,
    /// Events that arrived on connections.
    pub frames: u64,
    /// Messages that walks showed.
    pub items: u64,
    /// Events held against the times when their receivers were members.
    pub member_checks: u64,
    /// Rooms of earlier chapters that read the same in the end.
    pub rooms_read_again: u64,
}

impl SoakReport {
    /// Whether no promise was broken and the run came to its end.
    pub fn is_clean(&self) -> bool {
        self.wrongs.total() == 0 && self.findings.is_empty()
    }

    pub(crate) fn add(&mut self, tally: &Tally, tiers: TierCounts, clean: &Clean) {
        self.sends += tally.sends;
        self.retries += tally.retries;
        self.repeats += tally.repeats;
        self.changes += tally.changes;
        self.moves += tally.moves;
        self.walks += tally.walks;
        self.reconnects += tally.returns;
        self.resumes.add(tiers);
        self.acknowledged += clean.acknowledged;
        self.unknown += clean.unknown;
        self.frames += clean.frames;
        self.items += clean.items;
        self.member_checks += clean.stays.frames;
    }

    pub(crate) fn add_faults(&mut self, kills: &Kills) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.kills = kills.ready_after.len();
        self.restarts = kills.left_in.len();
        self.pauses = kills.paused.len();
        self.ready_median_ms = millis(kills.median());
        self.ready_slowest_ms = millis(kills.slowest());
        self.seconds = kills.took.as_secs_f64();
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let Wrongs { lost, doubled, reordered, leaked, other } = self.wrongs;
        let verdict = if self.is_clean() { "all promises were kept" } else { "BROKEN" };
        let _ = writeln!(out, "soak: {verdict} ({:.0} s, seed {})", self.seconds, self.seed);
        let _ = writeln!(
            out,
            "  lost {lost}, doubled {doubled}, reordered {reordered}, leaked {leaked}, \
             other {other}"
        );
        let _ = writeln!(
            out,
            "  faults    {} kills (ready again after {} ms, slowest {} ms), {} orderly restarts, \
             {} pauses",
            self.kills, self.ready_median_ms, self.ready_slowest_ms, self.restarts, self.pauses
        );
        let _ = writeln!(
            out,
            "  people    {} sends, {} acknowledged, {} of unknown outcome; {} retries, {} repeats, \
             {} edits and deletes, {} comings and goings, {} walks",
            self.sends,
            self.acknowledged,
            self.unknown,
            self.retries,
            self.repeats,
            self.changes,
            self.moves,
            self.walks
        );
        let TierCounts { replay, delta, snapshot, invalid } = self.resumes;
        let _ = writeln!(
            out,
            "  came back {} times: {replay} replays, {delta} deltas, {snapshot} snapshots, \
             {invalid} invalid",
            self.reconnects
        );
        let _ = writeln!(
            out,
            "  judged    {} live events and {} messages of walks in {} chapters; {} events against \
             membership; {} rooms read again in the end",
            self.frames, self.items, self.chapters, self.member_checks, self.rooms_read_again
        );
        for finding in &self.findings {
            let _ = writeln!(out, "{finding}");
        }
        if let Some(place) = &self.kept_in {
            let _ = writeln!(out, "data directory, server's log and history are kept in {place}");
        }
        out.truncate(out.trim_end().len());
        out
    }
}
