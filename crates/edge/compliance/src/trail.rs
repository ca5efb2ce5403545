//! A person's trail on the log: what they did, and what was done with them.

use std::sync::Arc;

use klatch_domain::event::Change;
use klatch_domain::fold::member_of;
use klatch_domain::{Event, UserId};
use klatch_ports::log::LogReader;
use klatch_ports::{Offset, Partition, PortResult, StreamId};
use klatch_protocol::event;

/// Records, or rows, looked at together.
pub(crate) const CHUNK: usize = 1_000;

/// Reads the log from its beginning to where it ended when this was made; memory of a batch.
pub(crate) struct Trail {
    log: Arc<dyn LogReader>,
    user: UserId,
    /// What is still to be read: stream, partition, after where, up to where.
    parts: Vec<(StreamId, Partition, Offset, Offset)>,
}

impl Trail {
    pub(crate) async fn of(log: Arc<dyn LogReader>, user: UserId) -> PortResult<Self> {
        let mut parts = Vec::new();
        // META shows events of rooms too: those are taken from MESSAGES alone.
        for stream in [StreamId::Messages, StreamId::Meta] {
            for partition in (0..log.partitions(stream)).map(Partition) {
                let start = log.start(stream, partition).await?;
                parts.push((stream, partition, start, log.end(stream, partition).await?));
            }
        }
        Ok(Self { log, user, parts })
    }

    /// The next events that concern the person, maybe none; `None` after the last.
    pub(crate) async fn next(&mut self) -> PortResult<Option<Vec<Event>>> {
        let Some((stream, partition, after, end)) = self.parts.last_mut() else { return Ok(None) };
        if *after >= *end {
            self.parts.pop();
            return Ok(Some(Vec::new()));
        }
        let batch = self.log.read(*stream, *partition, *after, CHUNK).await?;
        let (home, last) = (*stream, *end);
        if batch.through <= *after {
            *after = *end;
        }
        *after = batch.through.max(*after);
        let records = batch.records.into_iter();
        let here = records.filter(|record| record.home == home && record.offset <= last);
        // What is no event says nothing of anybody: the workers bury it.
        let events = here.filter_map(|record| event::decode(record.body).ok());
        Ok(Some(events.filter(|event| concerns(event, self.user)).collect()))
    }
}

/// Whether the log has forgotten something that only read models still tell.
pub(crate) async fn is_cut(log: &dyn LogReader) -> PortResult<bool> {
    for partition in (0..log.partitions(StreamId::Messages)).map(Partition) {
        if log.start(StreamId::Messages, partition).await? > Offset::ZERO {
            return Ok(true);
        }
    }
    Ok(false)
}

fn concerns(event: &Event, user: UserId) -> bool {
    let event = match event {
        Event::User(event) => return event.user == user,
        Event::Timeline(event) => event,
    };
    event.actor == user
        || event.words().is_some_and(|words| words.person == user)
        || member_of(&event.change) == Some(user)
        || matches!(&event.change, Change::RoomCreated(created)
            if created.members.iter().any(|(member, _)| *member == user))
}
