//! Reads what was missed, newest first, so that whatever has to be left out is the oldest.

use std::collections::HashMap;

use klatch_domain::event::Event;
use klatch_domain::{RoomId, UserId};
use klatch_ports::activity::{ChangedRoom, Span};
use klatch_ports::log::Record;
use klatch_ports::{Offset, PortResult, Position, StreamId};
use klatch_protocol::event::decode;

use crate::{Limits, Missed, MissedEvent, RoomDelta, Sync};

/// Up to this many records are read without asking in which of them the rooms spoke.
const NEAR: u64 = 256;
/// Records read at once.
const READ_RECORDS: u64 = 1_000;
/// Records of one span at least, for how many are asked for.
const SPAN_RECORDS: u64 = 64;

/// A changed room and what was found of it.
struct Room {
    changed: ChangedRoom,
    /// Up to where the partition is told.
    to: Position,
    /// Newest first.
    events: Vec<MissedEvent>,
    /// Whether older ones were left out or not looked for.
    truncated: bool,
}

impl Room {
    /// Whether an event at `offset` may be of the user's time there.
    fn wants(&self, offset: Offset) -> bool {
        self.changed.left.is_none_or(|left| offset <= left)
    }
}

/// What one user missed, as far as it is known.
pub(crate) struct Collection<'a> {
    sync: &'a Sync,
    user: UserId,
    limits: Limits,
    rooms: HashMap<RoomId, Room>,
    /// Events found and kept.
    events: usize,
    bytes: usize,
    records: u64,
    /// Whether it has become too much for a replay, so that rooms keep their newest events only.
    is_delta: bool,
}

impl<'a> Collection<'a> {
    pub(crate) fn new(sync: &'a Sync, user: UserId, limits: Limits) -> Self {
        let rooms = HashMap::new();
        Self { sync, user, limits, rooms, events: 0, bytes: 0, records: 0, is_delta: false }
    }

    /// Takes in what the changed rooms of a partition said in (from, to].
    pub(crate) async fn add(
        &mut self,
        from: Offset,
        to: Position,
        changed: Vec<ChangedRoom>,
    ) -> PortResult<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let here: Vec<RoomId> = changed.iter().map(|changed| changed.room).collect();
        self.rooms.extend(changed.into_iter().map(|changed| {
            let room = Room { changed, to, events: Vec::new(), truncated: false };
            (changed.room, room)
        }));
        let (spans, mut whole) = self.spans(from, to).await?;
        for span in together(&spans) {
            if !self.read(span, to).await? || self.is_satisfied(&here) {
                whole = false;
                break;
            }
        }
        if !whole {
            self.become_delta();
            for room in here {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.truncated = true;
                }
            }
        }
        Ok(())
    }

    /// Where to read, newest first, and whether that is everywhere.
    async fn spans(&self, from: Offset, to: Position) -> PortResult<(Vec<Span>, bool)> {
        if to.offset.0.saturating_sub(from.0) <= NEAR {
            return Ok((vec![Span { after: from, through: to.offset }], true));
        }
        let left = self.limits.records.saturating_sub(self.records);
        let most = usize::try_from(left / SPAN_RECORDS).unwrap_or(usize::MAX).max(1);
        let within = (from, to.offset);
        let found = self.sync.activity.spans(self.user, to.partition, within, most).await?;
        Ok((found.spans, !found.cut))
    }

    /// Whether all of these rooms have as many events as a delta tells.
    fn is_satisfied(&self, here: &[RoomId]) -> bool {
        let full = |room: &Room| room.truncated && room.events.len() >= self.limits.room_events;
        self.is_delta && here.iter().filter_map(|room| self.rooms.get(room)).all(full)
    }

    /// Reads a span. False: no more may be read.
    async fn read(&mut self, span: Span, to: Position) -> PortResult<bool> {
        let (log, stream) = (&self.sync.log, StreamId::Messages);
        let (mut after, mut records) = (span.after, Vec::new());
        while after < span.through {
            let limit = usize::try_from(span.through.0 - after.0).unwrap_or(usize::MAX);
            let batch = log.read(stream, to.partition, after, limit).await?;
            if batch.through <= after {
                break;
            }
            after = batch.through;
            records.extend(batch.records);
        }
        self.records += span.through.0 - span.after.0;
        for record in records.into_iter().rev().filter(|record| record.offset <= span.through) {
            self.take(record, to);
            if self.bytes > self.limits.bytes {
                self.become_delta();
                if self.bytes > self.limits.bytes {
                    return Ok(false);
                }
            }
        }
        Ok(self.records < self.limits.records)
    }

    fn take(&mut self, record: Record, to: Position) {
        let Some(room) = self.rooms.get_mut(&RoomId::from_bits(record.key.0)) else { return };
        if !room.wants(record.offset) {
            return;
        }
        if self.is_delta && room.events.len() >= self.limits.room_events {
            room.truncated = true;
            return;
        }
        let (position, bytes) = (Position { offset: record.offset, ..to }, record.body.len());
        // What cannot be read is reported to the dead letters by the workers.
        let Ok(Event::Timeline(event)) = decode(record.body) else { return };
        room.events.push(MissedEvent { position, event });
        self.events += 1;
        self.bytes += bytes;
        if self.events > self.limits.events {
            self.become_delta();
        }
    }

    /// It is too much for a replay: rooms keep their newest events.
    fn become_delta(&mut self) {
        if self.is_delta {
            return;
        }
        self.is_delta = true;
        for room in self.rooms.values_mut() {
            if room.events.len() > self.limits.room_events {
                room.events.truncate(self.limits.room_events);
                room.truncated = true;
            }
        }
        self.events = self.rooms.values().map(|room| room.events.len()).sum();
        // What was cut off counts no more; how large it was is not known any more either.
        self.bytes = self.rooms.values().flat_map(|room| &room.events).map(size).sum();
    }

    pub(crate) async fn finish(self) -> PortResult<Missed> {
        let Self { sync, user, is_delta, limits, .. } = self;
        let mut rooms: Vec<Room> = self.rooms.into_values().collect();
        for room in &mut rooms {
            room.events.reverse();
            sync.keep_visible(user, room.to, &mut room.events).await?;
        }
        if !is_delta {
            let mut all: Vec<_> = rooms.into_iter().flat_map(|room| room.events).collect();
            all.sort_unstable_by_key(|missed| (missed.position.partition, missed.position.offset));
            return Ok(Missed::Replay(all));
        }
        rooms.retain(|room| !room.events.is_empty() || room.truncated);
        if rooms.len() > limits.rooms {
            return sync.snapshot(user, limits).await;
        }
        rooms.sort_unstable_by_key(|room| std::cmp::Reverse(room.changed.head.offset));
        let mut told = Vec::with_capacity(rooms.len());
        for room in rooms {
            told.push(sync.delta_of(user, room).await?);
        }
        Ok(Missed::Delta(told))
    }
}

impl Sync {
    async fn delta_of(&self, user: UserId, found: Room) -> PortResult<RoomDelta> {
        let Room { changed: ChangedRoom { room, head, left }, events, truncated, .. } = found;
        let (mut head_seq, mut last_ordinal) = (head.head.seq, Some(head.head.ordinal));
        if left.is_some() {
            // What the room said after the user had gone is not theirs to know.
            let stay = self.metadata.membership(room, user).await?;
            let ended = stay.and_then(|stay| stay.left_seq);
            let newest = events.last().map(|missed| missed.event.seq);
            head_seq = newest.or(ended).unwrap_or_default();
            last_ordinal = None;
        }
        let left = left.is_some();
        Ok(RoomDelta { room, head_seq, last_ordinal, events, truncated, left })
    }
}

fn size(missed: &MissedEvent) -> usize {
    use klatch_domain::event::Change;
    const REST: usize = 128;
    match &missed.event.change {
        Change::MessageSent(sent) => REST + sent.body.bytes.len(),
        Change::MessageEdited { body, .. } => REST + body.bytes.len(),
        _ => REST,
    }
}

/// Spans that touch each other as one, as far as one read takes them.
fn together(spans: &[Span]) -> Vec<Span> {
    let mut whole: Vec<Span> = Vec::new();
    for span in spans {
        match whole.last_mut() {
            Some(last)
                if last.after == span.through && last.through.0 - span.after.0 <= READ_RECORDS =>
            {
                last.after = span.after;
            }
            _ => whole.push(*span),
        }
    }
    whole
}
