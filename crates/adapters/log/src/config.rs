//! What an operator or a test may set.

use std::time::Duration;

use klatch_ports::PortResult;

use super::error::misconfigured;

/// How the log uses its disk and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Most bytes in a segment; an append that is larger gets a segment of its own size.
    pub segment_bytes: u64,
    /// Most bytes that one sync makes durable, unless one append alone is larger.
    pub batch_bytes: usize,
    /// Most bytes that may wait to become durable; beyond, appends are refused as throttled.
    pub queue_bytes: usize,
    /// Bytes of the newest records that are kept in memory for reading.
    pub tail_bytes: usize,
    /// Bytes of older records that are kept in memory once they were read.
    pub read_cache_bytes: usize,
    /// Fewest bytes that are prepared ahead of what is written, at least 4096. What is prepared
    /// doubles with what was written, up to `fill_bytes_max`, so that an empty log is small.
    pub fill_bytes_min: u64,
    /// Most bytes that are prepared ahead of what is written.
    pub fill_bytes_max: u64,
    /// Appends are refused while the disk has less space than this, so that everything else on it
    /// can still shut down in order.
    pub reserve_bytes: u64,
    /// How often the space of the disk is looked at.
    pub space_interval: Duration,
    /// Shortest time from the beginning of one sync to that of the next. Under load it trades this
    /// much latency for fewer syncs and wake-ups; an append to a quiet log does not wait.
    pub sync_interval: Duration,
    /// After this much idleness the end is marked, which tells later damage from a torn write.
    pub idle_mark: Duration,
    /// How often the places of consumers are saved, when they changed.
    pub consumer_save: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        const KIB: u64 = 1024;
        const MIB: u64 = 1024 * KIB;
        Self {
            segment_bytes: 64 * MIB,
            batch_bytes: 1024 * 1024,
            queue_bytes: 64 * 1024 * 1024,
            tail_bytes: 16 * 1024 * 1024,
            read_cache_bytes: 8 * 1024 * 1024,
            fill_bytes_min: 256 * KIB,
            fill_bytes_max: 8 * MIB,
            reserve_bytes: 256 * MIB,
            space_interval: Duration::from_secs(1),
            sync_interval: Duration::ZERO,
            idle_mark: Duration::from_millis(50),
            consumer_save: Duration::from_millis(500),
        }
    }
}

impl LogConfig {
    pub(super) fn validate(&self) -> PortResult<()> {
        let sound = self.segment_bytes >= 4096
            && u32::try_from(self.segment_bytes).is_ok()
            && self.batch_bytes >= 1
            && self.queue_bytes >= 1
            && self.fill_bytes_min >= 4096
            && self.fill_bytes_max >= self.fill_bytes_min
            && !self.space_interval.is_zero()
            && !self.idle_mark.is_zero()
            && !self.consumer_save.is_zero();
        if sound { Ok(()) } else { Err(misconfigured("open", "a size or time is out of range")) }
    }
}
