//! Where a durable consumer is, and how that is kept on disk.
//!
//! ```text
//! file  = magic (8) | cursor u64 | entries u32 | zero u32 | entries (32 bytes each) | crc u32
//! entry = offset u64 | attempts u32 | zero u32 | due u64 (ms since 1970) | delay u64 (ms)
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use klatch_domain::Timestamp;
use klatch_ports::log::OUTSTANDING_MAX;
use tokio::time::Instant;

use super::batch::{u32_at, u64_at};

const MAGIC: &[u8; 8] = b"KLPLACE1";
const HEADER: usize = 24;
const ENTRY: usize = 32;
/// Most bytes that such a file can have.
pub(super) const FILE_MAX: u64 = (HEADER + OUTSTANDING_MAX * ENTRY + 4) as u64;

/// Everything up to `cursor` was handed out, or is not shown.
#[derive(Debug, Default)]
pub(super) struct Progress {
    cursor: u64,
    /// What was handed out and is not finished.
    unfinished: BTreeMap<u64, Unfinished>,
    /// Counts the holders; only the newest may act.
    holder: u64,
    changed: bool,
}

#[derive(Debug)]
struct Unfinished {
    /// How often it was handed out.
    attempts: u32,
    /// When it is handed out again; `None` while it is out.
    due: Option<Due>,
}

/// A time, by the clock of the process and by that of the world, which outlives it.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    time: Timestamp,
    delay: Duration,
}

impl Due {
    fn after(delay: Duration, now: Timestamp) -> Self {
        // A delay beyond what a clock can count is for ever.
        let delay = delay.min(Duration::from_hours(24 * 365));
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Self { at: Instant::now() + delay, time: now.plus_ms(ms), delay }
    }

    /// The same after a restart; never longer than the delay was, whatever the clock did.
    fn restored(time: Timestamp, delay: Duration, now: Timestamp) -> Self {
        let left = Duration::from_millis(time.ms_since(now)).min(delay);
        Self { at: Instant::now() + left, time, delay }
    }
}

impl Progress {
    pub(super) fn starting_at(cursor: u64) -> Self {
        Self { cursor, changed: true, ..Self::default() }
    }

    /// Makes a new holder, for whom everything that is out is due again.
    pub(super) fn take_over(&mut self, now: Timestamp) -> u64 {
        for entry in self.unfinished.values_mut() {
            entry.due.get_or_insert_with(|| Due::after(Duration::ZERO, now));
        }
        self.holder += 1;
        self.holder
    }

    pub(super) fn is_held_by(&self, holder: u64) -> bool {
        self.holder == holder
    }

    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Everything up to here is finished.
    pub(super) fn floor(&self) -> u64 {
        self.unfinished.keys().next().map_or(self.cursor, |oldest| oldest - 1)
    }

    /// How many new records may be handed out.
    pub(super) fn room(&self) -> usize {
        OUTSTANDING_MAX.saturating_sub(self.unfinished.len())
    }

    /// Put-back records that are due, at most `limit`.
    pub(super) fn due(&self, limit: usize) -> Vec<u64> {
        let now = Instant::now();
        let is_due = |entry: &Unfinished| entry.due.is_some_and(|due| due.at <= now);
        let due = self.unfinished.iter().filter(|(_, entry)| is_due(entry));
        due.take(limit).map(|(offset, _)| *offset).collect()
    }

    /// When the next put-back record is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.unfinished.values().filter_map(|entry| entry.due).map(|due| due.at).min()
    }

    /// Notes that a put-back record is out again; how often it was handed out.
    pub(super) fn hand_out_again(&mut self, offset: u64) -> Option<u32> {
        let entry = self.unfinished.get_mut(&offset).filter(|entry| entry.due.is_some())?;
        entry.due = None;
        entry.attempts = entry.attempts.saturating_add(1);
        self.changed = true;
        Some(entry.attempts)
    }

    /// Notes that new records are out, and everything up to `through` was looked at.
    pub(super) fn hand_out(&mut self, offsets: impl Iterator<Item = u64>, through: u64) {
        let new = offsets.map(|offset| (offset, Unfinished { attempts: 1, due: None }));
        self.unfinished.extend(new);
        self.changed |= self.cursor != through;
        self.cursor = through;
    }

    pub(super) fn ack(&mut self, through: u64) {
        let before = self.unfinished.len();
        // What lies behind `through` need not be looked at: split it off and put it back.
        let mut later = self.unfinished.split_off(&through.saturating_add(1));
        self.unfinished.retain(|_, entry| entry.due.is_some());
        self.unfinished.append(&mut later);
        self.changed |= self.unfinished.len() != before;
    }

    pub(super) fn nak(&mut self, offset: u64, delay: Duration, now: Timestamp) {
        let out = self.unfinished.get_mut(&offset).filter(|entry| entry.due.is_none());
        if let Some(entry) = out {
            entry.due = Some(Due::after(delay, now));
            self.changed = true;
        }
    }

    pub(super) fn term(&mut self, offset: u64) {
        self.changed |= self.unfinished.remove(&offset).is_some();
    }

    /// What to write to disk, when something changed since it was last asked.
    pub(super) fn take_changes(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.changed).then(|| self.encode())
    }

    /// What was taken did not get to disk.
    pub(super) fn changes_lost(&mut self) {
        self.changed = true;
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.unfinished.len() * ENTRY + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.cursor.to_le_bytes());
        let count = u32::try_from(self.unfinished.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for (offset, entry) in &self.unfinished {
            let (time, delay) =
                entry.due.map_or((Timestamp(0), Duration::ZERO), |due| (due.time, due.delay));
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(&entry.attempts.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&time.0.to_le_bytes());
            let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            bytes.extend_from_slice(&delay.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What was written to disk; `None` when it is damaged.
    pub(super) fn decode(bytes: &[u8], now: Timestamp) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if !body.starts_with(MAGIC) || u32_at(crc, 0)? != crc32c::crc32c(body) {
            return None;
        }
        let count = usize::try_from(u32_at(body, 16)?).ok()?;
        let entries = body.get(HEADER..)?.chunks_exact(ENTRY);
        if entries.len() != count || !entries.remainder().is_empty() {
            return None;
        }
        let entry = |entry: &[u8]| {
            let (time, delay) = (Timestamp(u64_at(entry, 16)?), u64_at(entry, 24)?);
            let due = Due::restored(time, Duration::from_millis(delay), now);
            let attempts = u32_at(entry, 8)?;
            Some((u64_at(entry, 0)?, Unfinished { attempts, due: Some(due) }))
        };
        let unfinished = entries.map(entry).collect::<Option<_>>()?;
        Some(Self { cursor: u64_at(body, 8)?, unfinished, holder: 0, changed: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn busy() -> Progress {
        let mut progress = Progress::starting_at(10);
        progress.hand_out([11, 12, 14, 15].into_iter(), 16);
        progress.nak(12, Duration::from_secs(5), NOW);
        progress.term(14);
        progress
    }

    #[test]
    fn progress_reads_back_with_what_was_out_due_again() {
        let mut progress = busy();
        let bytes = progress.take_changes().unwrap();
        assert_eq!(progress.take_changes(), None);
        let mut back = Progress::decode(&bytes, NOW).unwrap();
        assert_eq!((back.cursor(), back.floor()), (16, 10));
        assert_eq!(back.due(10), [11, 15]);
        assert_eq!(back.hand_out_again(11), Some(2));
        back.ack(16);
        assert_eq!(back.floor(), 11);
    }

    #[test]
    fn a_delay_goes_on_over_a_restart_and_never_grows() {
        let bytes = busy().take_changes().unwrap();
        let left = |now| {
            let due = Progress::decode(&bytes, now).unwrap().unfinished[&12].due.unwrap();
            due.at.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000)
        };
        assert_eq!(left(NOW), 5);
        assert_eq!(left(NOW.plus_ms(3_000)), 2);
        assert_eq!(left(NOW.plus_ms(60_000)), 0);
        assert_eq!(left(Timestamp(0)), 5, "the clock went back");
    }

    #[test]
    fn any_flipped_bit_or_missing_byte_is_noticed() {
        let bytes = busy().take_changes().unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(Progress::decode(&damaged, NOW).is_none());
            assert!(Progress::decode(&bytes[..at], NOW).is_none());
        }
    }
}
