//! The one thread that writes: takes what waits, checks conditions, writes and syncs it as one.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use klatch_domain::Timestamp;
use klatch_ports::log::{Append, AppendError, Appended, Completion, Expected, Record};
use klatch_ports::{ErrorKind, Offset, Partition, Position};
use tokio::time::Instant;

use super::Shared;
use super::batch::{Encoder, SECTOR};
use super::draft::{Draft, Failure, is_conflict};
use super::error::{io as port_io, port};
use super::heads::head_key;
use super::image::Late;
use super::queue::{Next, Pending};
use super::recover::{make_file, new_active, put_in_use};
use super::segment::{Active, DATA, SegmentHeader};
use super::space::NoRoom;
use super::table::HeadMap;
use super::tend::Sealing;

/// What became of a batch, for the thread that tells.
pub(super) struct Finished {
    pub(super) outcomes: Vec<(Completion, Result<Appended, AppendError>)>,
    /// What the queue has room for again.
    pub(super) weight: usize,
    /// Whether there is more to read.
    pub(super) advanced: bool,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    finished: Sender<Finished>,
    sealing: Sender<Sealing>,
    active: Arc<Active>,
    /// Where the next batch goes.
    position: u64,
    /// The active segment is zeros up to here at least.
    filled: u64,
    /// Zeros were asked for up to here.
    requested: u64,
    spare_requested: bool,
    /// Offset of the last durable record.
    last: u64,
    last_time: Timestamp,
    encoder: Encoder,
    /// Taken from the queue, in order; the first come next.
    taken: VecDeque<Pending>,
    incoming: Vec<Pending>,
    /// Heads that the batch in the making will leave.
    overlay: HeadMap,
    /// Whether the end is marked since the last batch.
    marked: bool,
    synced: Instant,
}

/// Where a writer begins.
#[derive(Debug)]
pub(super) struct Start {
    /// Offset of the last record.
    pub(super) last: u64,
    pub(super) last_time: Timestamp,
    /// The active segment is zeros up to here.
    pub(super) filled: u64,
    /// Whether the end is marked.
    pub(super) marked: bool,
    /// Indexes that there was no space for.
    pub(super) late: Vec<Late>,
}

/// What a round of the writer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// A batch was served.
    Served,
    /// Nothing waited.
    Idle,
    /// The queue is closed and empty, or the disk failed.
    Over,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        finished: Sender<Finished>,
        sealing: Sender<Sealing>,
        start: &Start,
    ) -> Self {
        let active = shared.segments.active();
        let position = active.marks.lock().data_end;
        let Start { last, last_time, filled, marked, .. } = *start;
        Self {
            shared,
            finished,
            sealing,
            active,
            position,
            filled,
            requested: 0,
            spare_requested: false,
            last,
            last_time,
            encoder: Encoder::default(),
            taken: VecDeque::new(),
            incoming: Vec::new(),
            overlay: HeadMap::default(),
            marked,
            synced: Instant::now(),
        }
    }

    /// Serves the queue until it is closed and empty, or the disk fails.
    pub(super) fn run(mut self) {
        loop {
            let most = (!self.marked).then_some(self.shared.config.idle_mark);
            if self.round(most) == Round::Over {
                return;
            }
        }
    }

    /// Serves a batch of what waits; waits up to `most` (for ever when `None`) for something to.
    pub(super) fn round(&mut self, most: Option<Duration>) -> Round {
        if self.taken.is_empty() {
            let next = self.shared.queue.take(&mut self.incoming, most);
            self.taken.extend(self.incoming.drain(..));
            let (sync, round) = match next {
                Next::Work => {
                    self.gather();
                    return self.serve();
                }
                Next::Idle => (false, Round::Idle),
                Next::Closed => (true, Round::Over),
            };
            if let Err(error) = self.mark_end(sync) {
                self.fail(&error, Draft::default());
                return Round::Over;
            }
            return round;
        }
        self.serve()
    }

    fn serve(&mut self) -> Round {
        let draft = self.draft();
        if self.write(draft).is_err() { Round::Over } else { Round::Served }
    }

    /// Lets more come in when the last sync was a moment ago.
    fn gather(&mut self) {
        let since = self.synced.elapsed();
        if let Some(left) = self.shared.config.sync_interval.checked_sub(since)
            && left > Duration::ZERO
        {
            std::thread::sleep(left);
            self.shared.queue.take(&mut self.incoming, Some(Duration::ZERO));
            self.taken.extend(self.incoming.drain(..));
        }
    }

    /// Decides on as many appends as fit in a batch.
    fn draft(&mut self) -> Draft {
        let mut draft = Draft::default();
        self.encoder.begin();
        self.overlay.clear();
        self.last_time = self.last_time.max(self.shared.clock.now());
        while let Some(pending) = self.taken.front() {
            let len = self.encoder.len() + pending.encoded;
            if self.encoder.count() > 0 && len > self.shared.config.batch_bytes {
                break;
            }
            let Some(pending) = self.taken.pop_front() else { break };
            draft.weight += pending.weight();
            let outcome = self.decide(&pending.append);
            if outcome.is_ok() {
                draft.hopeful.push(draft.outcomes.len());
                self.take_in(&mut draft, pending.append);
            }
            draft.outcomes.push((pending.done, outcome));
        }
        draft
    }

    fn decide(&mut self, append: &Append) -> Result<Appended, AppendError> {
        let key = head_key(append.stream, append.key);
        if let Expected::Head(expected) = append.expected {
            let actual = match self.overlay.get(&key) {
                Some(offset) => Some(*offset),
                None => self.shared.head(key).map_err(|error| {
                    // Nothing was appended; the kind says that someone must look.
                    AppendError::Port(port_io("append")(error))
                })?,
            };
            if actual != expected.map(|offset| offset.0) {
                return Err(AppendError::Conflict { actual: actual.map(Offset) });
            }
        }
        let first = self.last + 1 + u64::from(self.encoder.count());
        let last = first + append.records.len() as u64 - 1;
        self.overlay.insert(key, last);
        let at = |offset| Position {
            stream: append.stream,
            partition: Partition(0),
            epoch: self.shared.epoch,
            offset: Offset(offset),
        };
        Ok(Appended { first: at(first), last: at(last) })
    }

    fn take_in(&mut self, draft: &mut Draft, append: Append) {
        let first = self.last + 1 + u64::from(self.encoder.count());
        self.encoder.push(&append);
        for (offset, new) in (first..).zip(append.records) {
            draft.records.push(Record {
                offset: Offset(offset),
                home: append.stream,
                key: append.key,
                kind: new.kind,
                appended_at: self.last_time,
                body: new.body,
            });
        }
    }

    /// Makes a draft durable and hands on what became of it. An error ends the log.
    fn write(&mut self, mut draft: Draft) -> Result<(), ()> {
        let conflicts = draft.outcomes.iter().filter(|(_, outcome)| is_conflict(outcome)).count();
        self.shared.stats.conflicts(conflicts);
        if self.encoder.count() == 0 {
            self.hand_on(draft, false);
            return Ok(());
        }
        let began = Instant::now();
        match self.make_durable() {
            Ok(span) => {
                self.synced = began;
                let (appends, count) = (draft.hopeful.len(), self.encoder.count());
                self.shared.stats.synced(appends, count, span, began.elapsed());
                self.publish(&mut draft, span);
                self.hand_on(draft, true);
                self.prepare_ahead();
                Ok(())
            }
            Err(Failure::Full) => {
                self.shared.stats.refused(draft.hopeful.len());
                draft.spoil(|| port(ErrorKind::Full, "append"));
                self.hand_on(draft, false);
                Ok(())
            }
            Err(Failure::Fatal(error)) => {
                self.fail(&error, draft);
                Err(())
            }
        }
    }

    fn make_durable(&mut self) -> Result<usize, Failure> {
        let span = self.encoder.len().next_multiple_of(SECTOR);
        let room = self.shared.config.segment_bytes;
        if self.position > DATA && self.position + span as u64 > room {
            self.roll()?;
        }
        self.need(span)?;
        let stamp = self.active.stamp;
        let bytes = self.encoder.finish(self.last + 1, self.last_time, self.last, stamp);
        let file = &self.active.file;
        let synced = file.write_at(bytes, self.position).and_then(|()| file.sync_data());
        synced.map_err(Failure::Fatal)?;
        Ok(span)
    }

    /// Waits until there are zeros for a batch of this size, and for a mark of the end behind it.
    fn need(&mut self, span: usize) -> Result<(), Failure> {
        let end = self.position + (span + SECTOR) as u64;
        if end <= self.filled {
            return Ok(());
        }
        if self.shared.stepped {
            self.shared.space.request(end);
            self.shared.space.serve(&*self.shared.disk);
        }
        match self.shared.space.wait_for(end) {
            Ok(filled) => {
                self.filled = filled;
                Ok(())
            }
            Err(NoRoom::Full) => Err(Failure::Full),
            Err(NoRoom::Failed(why)) => Err(Failure::Fatal(io::Error::other(why))),
        }
    }

    /// Shows to readers what is durable now.
    fn publish(&mut self, draft: &mut Draft, span: usize) {
        let records = std::mem::take(&mut draft.records);
        self.active.marks.lock().push(self.last + 1, span, self.last_time);
        self.shared.heads.advance(self.overlay.drain());
        self.position += span as u64;
        self.last += u64::from(self.encoder.count());
        self.marked = false;
        self.shared.tail.push(records);
        self.shared.durable.store(self.last, Ordering::Release);
    }

    fn hand_on(&self, draft: Draft, advanced: bool) {
        let Draft { outcomes, weight, .. } = draft;
        // The other end lives until this one is dropped.
        let _ = self.finished.send(Finished { outcomes, weight, advanced });
    }

    /// Asks for zeros in time. What is asked for doubles with what was written.
    fn prepare_ahead(&mut self) {
        let config = &self.shared.config;
        let ahead = self.position.clamp(config.fill_bytes_min, config.fill_bytes_max);
        let full = config.segment_bytes + SECTOR as u64;
        let target = (self.position + ahead).min(full);
        let known = self.requested.max(self.filled);
        if target > known && (target == full || target - known >= ahead / 2) {
            self.requested = target;
            self.shared.space.request(target);
        }
        if self.position > full / 2 && !self.spare_requested {
            self.spare_requested = true;
            self.shared.space.request_spare(full);
        }
    }

    /// Seals the active segment and goes on in another.
    fn roll(&mut self) -> Result<(), Failure> {
        let config = &self.shared.config;
        let disk = &*self.shared.disk;
        let (file, filled) = match self.shared.space.take_spare() {
            Some((file, filled)) if filled >= config.fill_bytes_min => (file, filled),
            _ => {
                let filled = config.fill_bytes_min;
                let made = make_file(disk, filled, config.reserve_bytes);
                self.spare_requested = false;
                (made.map_err(Failure::from)?, filled)
            }
        };
        // The file's identity for life: any number that no file here had lately will do.
        let stamp = self.active.stamp.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
        let header = SegmentHeader { epoch: self.shared.epoch.0, base: self.last + 1, stamp };
        // Whatever fails from here on may leave a segment with that name: the active one must not
        // grow beyond it.
        let file = put_in_use(disk, file, header).map_err(Failure::Fatal)?;
        let sealed = self.shared.segments.roll(new_active(header, Arc::clone(&file)), self.last);
        let heads = self.shared.heads.seal(sealed.base);
        // Without that thread the index is made when the log is opened the next time.
        let _ = self.sealing.send(Sealing { sealed, heads });
        self.shared.space.switch(file, filled);
        self.active = self.shared.segments.active();
        (self.position, self.filled, self.requested) = (DATA, filled, 0);
        self.spare_requested = false;
        Ok(())
    }

    /// Marks the end: later damage before it cannot be taken for a torn write.
    fn mark_end(&mut self, sync: bool) -> io::Result<()> {
        if self.marked && !sync {
            return Ok(());
        }
        self.encoder.begin();
        let stamp = self.active.stamp;
        let bytes = self.encoder.finish(self.last + 1, self.last_time, self.last, stamp);
        self.active.file.write_at(bytes, self.position)?;
        self.marked = true;
        if sync { self.active.file.sync_data() } else { Ok(()) }
    }

    /// The disk failed: what was written last may or may not be there, so nothing more is.
    fn fail(&mut self, error: &io::Error, draft: Draft) {
        self.give_up(draft, "the disk failed");
        self.shared.poison(error);
    }

    /// Ends as a crash does, but for whoever waits: who is never told waits for ever.
    pub(super) fn abandon(mut self) {
        self.give_up(Draft::default(), "the log was abandoned");
    }

    fn give_up(&mut self, mut draft: Draft, why: &'static str) {
        let unknown = || port(ErrorKind::Unavailable, "append").because(why);
        draft.spoil(unknown);
        let left = self.taken.drain(..).chain(self.shared.queue.abandon());
        for pending in left {
            draft.weight += pending.weight();
            draft.outcomes.push((pending.done, Err(AppendError::Port(unknown()))));
        }
        self.hand_on(draft, false);
    }
}
