//! Durable consumers over the log.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::Timestamp;
use klatch_ports::log::{Batch, Consumer, Delivery};
use klatch_ports::{ErrorKind, Offset, PortResult, StreamId};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::Shared;
use super::error::{corrupt, port};
use super::progress::{FILE_MAX, Progress};
use crate::disk::{Disk, read_small, replace};

const DIR: &str = "consumers";
const ENDING: &str = ".place";

/// The places of all consumers, by the name of their file.
#[derive(Debug, Default)]
pub(super) struct Consumers(Mutex<BTreeMap<String, Arc<Mutex<Progress>>>>);

/// Writes the places of one disk to another; gives the paths.
pub(super) fn copy_places(from: &dyn Disk, to: &dyn Disk) -> io::Result<Vec<String>> {
    to.create_dir(DIR)?;
    let mut paths = Vec::new();
    for name in from.list(DIR)?.into_iter().filter(|name| name.ends_with(ENDING)) {
        let path = format!("{DIR}/{name}");
        if let Some(bytes) = read_small(from, &path, FILE_MAX)? {
            replace(to, &path, &bytes)?;
            paths.push(path);
        }
    }
    to.sync_dir(DIR)?;
    Ok(paths)
}

fn file_name(name: &str, stream: StreamId) -> String {
    format!("{name}.{}0{ENDING}", stream.letter())
}

impl Consumers {
    /// Reads all places.
    ///
    /// # Errors
    /// `InvalidData` when a consumer has seen records after `last`: then the log's end was lost.
    pub(super) fn load(disk: &dyn Disk, last: u64, now: Timestamp) -> io::Result<Self> {
        disk.create_dir(DIR)?;
        let mut map = BTreeMap::new();
        for name in disk.list(DIR)?.into_iter().filter(|name| name.ends_with(ENDING)) {
            let path = format!("{DIR}/{name}");
            let bytes = read_small(disk, &path, FILE_MAX)?.unwrap_or_default();
            // A damaged one is refused to whoever opens it; the others can go on.
            let Some(progress) = Progress::decode(&bytes, now) else { continue };
            if progress.cursor() > last {
                let why = format!(
                    "{} says that the record {} was read, but the log ends with {last}: its end \
                     was lost; restore the log from a backup",
                    disk.describe(&path),
                    progress.cursor(),
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            map.insert(name, Arc::new(Mutex::new(progress)));
        }
        Ok(Self(Mutex::new(map)))
    }

    /// The place of a consumer; a new one begins after `start`, durably.
    fn open(
        &self,
        disk: &dyn Disk,
        name: &str,
        stream: StreamId,
        start: u64,
    ) -> PortResult<Arc<Mutex<Progress>>> {
        let name = file_name(name, stream);
        let path = format!("{DIR}/{name}");
        let mut map = self.0.lock();
        if let Some(progress) = map.get(&name) {
            return Ok(Arc::clone(progress));
        }
        let found = read_small(disk, &path, FILE_MAX).map_err(super::error::io("open consumer"))?;
        // One that is whole was made here a moment ago, and its name could not be synced.
        if found.is_some_and(|bytes| Progress::decode(&bytes, Timestamp::default()).is_none()) {
            let why = format!(
                "{}: the consumer's place is damaged; restore it, or remove it to begin anew",
                disk.describe(&path)
            );
            return Err(corrupt("open consumer", why));
        }
        let mut progress = Progress::starting_at(start);
        let bytes = progress.take_changes().unwrap_or_default();
        replace(disk, &path, &bytes)
            .and_then(|()| disk.sync_dir(DIR))
            .map_err(super::error::io("open consumer"))?;
        let progress = Arc::new(Mutex::new(progress));
        map.insert(name, Arc::clone(&progress));
        Ok(progress)
    }

    /// Writes the places that changed. What cannot be written is tried again the next time.
    pub(super) fn save(&self, disk: &dyn Disk) {
        let all: Vec<_> =
            self.0.lock().iter().map(|(name, place)| (name.clone(), Arc::clone(place))).collect();
        for (name, place) in all {
            let Some(bytes) = place.lock().take_changes() else { continue };
            let path = format!("{DIR}/{name}");
            // A power cut before the name is durable leaves the place before: records come again.
            if let Err(error) = replace(disk, &path, &bytes) {
                place.lock().changes_lost();
                tracing::warn!("{}: the place was not saved: {error}", disk.describe(&path));
            }
        }
    }

    /// Up to where each has finished everything; zero of one whose place is damaged.
    pub(super) fn floors(&self, disk: &dyn Disk) -> io::Result<Vec<(String, u64)>> {
        let map = self.0.lock();
        let known = map.iter().map(|(name, place)| (name.clone(), place.lock().floor()));
        let mut floors: Vec<_> = known.collect();
        for name in disk.list(DIR)?.into_iter().filter(|name| name.ends_with(ENDING)) {
            if !map.contains_key(&name) {
                floors.push((name, 0));
            }
        }
        for (name, _) in &mut floors {
            *name = name.trim_end_matches(ENDING).to_owned();
        }
        Ok(floors)
    }

    /// As [`Consumers::save`], durably.
    pub(super) fn save_durably(&self, disk: &dyn Disk) {
        self.save(disk);
        if let Err(error) = disk.sync_dir(DIR) {
            tracing::warn!("{}: not synced: {error}", disk.describe(DIR));
        }
    }
}

/// Opens the consumer called `name`; blocks on the disk when it is new.
///
/// # Errors
/// `Corrupt` when its place is damaged, or what the disk says.
pub(super) fn open(
    shared: &Arc<Shared>,
    name: &str,
    stream: StreamId,
    start: Offset,
) -> PortResult<EmbeddedConsumer> {
    let start = start.0.min(shared.end());
    let progress = shared.consumers.open(&*shared.disk, name, stream, start)?;
    let holder = progress.lock().take_over(shared.clock.now());
    Ok(EmbeddedConsumer { shared: Arc::clone(shared), progress, stream, holder })
}

#[derive(Debug)]
pub(super) struct EmbeddedConsumer {
    shared: Arc<Shared>,
    progress: Arc<Mutex<Progress>>,
    stream: StreamId,
    holder: u64,
}

impl EmbeddedConsumer {
    fn lock(&self, operation: &'static str) -> PortResult<MutexGuard<'_, Progress>> {
        let progress = self.progress.lock();
        if progress.is_held_by(self.holder) {
            return Ok(progress);
        }
        let why = "the consumer was opened again elsewhere";
        Err(port(ErrorKind::Closed, operation).because(why))
    }

    /// What can be handed out now. It is noted only after all of it was read, with no await in
    /// between, so that dropping the future hands out nothing.
    async fn fetch_now(&self, limit: usize) -> PortResult<Vec<Delivery>> {
        let (due, cursor, room) = {
            let progress = self.lock("fetch")?;
            (progress.due(limit), progress.cursor(), progress.room())
        };
        let mut again = Vec::with_capacity(due.len());
        for offset in due {
            again.push((offset, self.shared.record(self.stream, Offset(offset)).await?));
        }
        // A new consumer begins with what is there; none that is in use is overtaken.
        let cursor = cursor.max(self.shared.start(self.stream));
        let room = room.min(limit - again.len());
        let new = match room {
            0 => Ok(Batch { records: Vec::new(), through: Offset(cursor) }),
            room => self.shared.read(self.stream, Offset(cursor), room).await,
        };
        let new = match new {
            Ok(new) => new,
            Err(error) if again.is_empty() => return Err(error),
            // What is due again must not wait until what is new can be read.
            Err(_) => Batch { records: Vec::new(), through: Offset(cursor) },
        };
        let mut progress = self.lock("fetch")?;
        let mut deliveries = Vec::with_capacity(again.len() + new.records.len());
        for (offset, record) in again {
            match record {
                Some(record) => {
                    let attempt = progress.hand_out_again(offset);
                    deliveries.extend(attempt.map(|attempt| Delivery { record, attempt }));
                }
                // Forgotten since: there is nothing left to finish.
                None => progress.term(offset),
            }
        }
        progress.hand_out(new.records.iter().map(|record| record.offset.0), new.through.0);
        deliveries.extend(new.records.into_iter().map(|record| Delivery { record, attempt: 1 }));
        Ok(deliveries)
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn fetch(&mut self, limit: usize, most: Duration) -> PortResult<Vec<Delivery>> {
        let deadline = Instant::now() + most;
        loop {
            let deliveries = self.fetch_now(limit).await?;
            if !deliveries.is_empty() || limit == 0 {
                return Ok(deliveries);
            }
            let (after, until) = {
                let progress = self.lock("fetch")?;
                let after = if progress.room() == 0 { u64::MAX } else { progress.cursor() };
                (after, progress.next_due().map_or(deadline, |due| due.min(deadline)))
            };
            // Records of other streams were passed: the end is not reached yet.
            if after >= self.shared.end() {
                let now = Instant::now();
                if now >= deadline {
                    return Ok(deliveries);
                }
                self.shared.wait(after, until.saturating_duration_since(now)).await;
            }
        }
    }

    async fn ack(&mut self, through: Offset) -> PortResult<()> {
        self.lock("ack")?.ack(through.0);
        Ok(())
    }

    async fn nak(&mut self, offset: Offset, delay: Duration) -> PortResult<()> {
        let now = self.shared.clock.now();
        self.lock("nak")?.nak(offset.0, delay, now);
        Ok(())
    }

    async fn term(&mut self, offset: Offset) -> PortResult<()> {
        self.lock("term")?.term(offset.0);
        Ok(())
    }

    async fn floor(&self) -> PortResult<Offset> {
        Ok(Offset(self.lock("floor")?.floor()))
    }
}
