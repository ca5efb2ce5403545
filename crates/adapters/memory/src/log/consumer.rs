//! Durable consumers, durable as long as the log lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_ports::log::{Consumer, Delivery, LogReader, OUTSTANDING_MAX};
use klatch_ports::{Offset, Partition, PortResult, StreamId};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{MemoryLog, closed};

/// Where a consumer is. Everything up to `cursor` was handed out, or is not shown.
#[derive(Debug)]
pub(super) struct Progress {
    cursor: Offset,
    /// What was handed out and is not finished.
    unfinished: BTreeMap<Offset, Unfinished>,
    /// Counts the holders; only the newest may act.
    holder: u64,
}

#[derive(Debug)]
struct Unfinished {
    /// How often it was handed out.
    attempts: u32,
    /// When it is handed out again; `None` while it is out.
    due: Option<Instant>,
}

/// What to do when nothing can be handed out: look again at something new after an offset, or at
/// a time.
struct Wait {
    after: Offset,
    until: Option<Instant>,
}

impl Progress {
    pub(super) fn starting_at(start: Offset) -> Self {
        Self { cursor: start, unfinished: BTreeMap::new(), holder: 0 }
    }

    /// Makes a new holder, for whom everything that is out is due again.
    pub(super) fn take_over(&mut self) -> u64 {
        let now = Instant::now();
        for entry in self.unfinished.values_mut() {
            entry.due.get_or_insert(now);
        }
        self.holder += 1;
        self.holder
    }

    fn floor(&self) -> Offset {
        self.unfinished.keys().next().map_or(self.cursor, |oldest| Offset(oldest.0 - 1))
    }

    fn take_due(&mut self, limit: usize) -> Vec<(Offset, u32)> {
        let now = Instant::now();
        let due = |entry: &Unfinished| entry.due.is_some_and(|due| due <= now);
        let entries = self.unfinished.iter_mut().filter(|(_, entry)| due(entry));
        let taken = entries.take(limit).map(|(offset, entry)| {
            entry.due = None;
            entry.attempts += 1;
            (*offset, entry.attempts)
        });
        taken.collect()
    }
}

#[derive(Debug)]
pub(super) struct MemoryConsumer {
    pub(super) log: MemoryLog,
    pub(super) stream: StreamId,
    pub(super) partition: Partition,
    pub(super) progress: Arc<Mutex<Progress>>,
    pub(super) holder: u64,
}

impl MemoryConsumer {
    fn lock(&self, operation: &'static str) -> PortResult<MutexGuard<'_, Progress>> {
        let progress = self.progress.lock();
        if progress.holder == self.holder { Ok(progress) } else { Err(closed(operation)) }
    }

    fn hand_out(&self, limit: usize) -> PortResult<Result<Vec<Delivery>, Wait>> {
        let mut progress = self.lock("fetch")?;
        let mut deliveries = Vec::new();
        for (offset, attempt) in progress.take_due(limit) {
            let before = Offset(offset.0 - 1);
            let again =
                self.log.with(self.partition, "fetch", |log| log.read(self.stream, before, 1))?;
            deliveries.extend(again.records.into_iter().map(|record| Delivery { record, attempt }));
        }
        let room = OUTSTANDING_MAX.saturating_sub(progress.unfinished.len());
        let new = self.log.with(self.partition, "fetch", |log| {
            let cursor = progress.cursor.max(log.start(self.stream));
            log.read(self.stream, cursor, room.min(limit - deliveries.len()))
        })?;
        progress.cursor = new.through;
        for record in new.records {
            progress.unfinished.insert(record.offset, Unfinished { attempts: 1, due: None });
            deliveries.push(Delivery { record, attempt: 1 });
        }
        if deliveries.is_empty() {
            let until = progress.unfinished.values().filter_map(|entry| entry.due).min();
            let after = if room == 0 { Offset(u64::MAX) } else { progress.cursor };
            return Ok(Err(Wait { after, until }));
        }
        Ok(Ok(deliveries))
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn fetch(&mut self, limit: usize, most: Duration) -> PortResult<Vec<Delivery>> {
        let deadline = Instant::now() + most;
        loop {
            let wait = match self.hand_out(limit)? {
                Ok(deliveries) => return Ok(deliveries),
                Err(wait) => wait,
            };
            let now = Instant::now();
            if now >= deadline {
                return Ok(Vec::new());
            }
            let until = wait.until.map_or(deadline, |due| due.min(deadline));
            let most = until.saturating_duration_since(now);
            self.log.wait(self.stream, self.partition, wait.after, most).await?;
        }
    }

    async fn ack(&mut self, through: Offset) -> PortResult<()> {
        let mut progress = self.lock("ack")?;
        progress.unfinished.retain(|offset, entry| *offset > through || entry.due.is_some());
        Ok(())
    }

    async fn nak(&mut self, offset: Offset, delay: Duration) -> PortResult<()> {
        let mut progress = self.lock("nak")?;
        if let Some(entry) = progress.unfinished.get_mut(&offset).filter(|e| e.due.is_none()) {
            entry.due = Some(Instant::now() + delay);
        }
        Ok(())
    }

    async fn term(&mut self, offset: Offset) -> PortResult<()> {
        self.lock("term")?.unfinished.remove(&offset);
        Ok(())
    }

    async fn floor(&self) -> PortResult<Offset> {
        Ok(self.lock("floor")?.floor())
    }
}
