//! Reads the log where fan-out's frames are missing, late or not to be trusted.

use std::sync::Arc;
use std::time::Duration;

use klatch_domain::event::Event;
use klatch_ports::log::Record;
use klatch_ports::{ErrorKind, Offset, Partition, StreamId};
use klatch_protocol::event::decode;
use klatch_protocol::inbox::Effect;
use klatch_protocol::ws::close::CloseCode;

use super::deliver::Source;
use super::{Hub, Item, Stopped};
use crate::connection::Waiting;

/// Records read at once.
const READ_RECORDS: usize = 512;

impl Hub {
    /// Delivers everything after the chain's end up to `to` from the log.
    pub(super) async fn read_up_to(
        &mut self,
        partition: Partition,
        to: Offset,
    ) -> Result<(), Stopped> {
        self.shared.stats.gap();
        self.check_retention(partition).await?;
        while self.partition(partition).chain.last < to {
            let after = self.partition(partition).chain.last;
            let log = Arc::clone(&self.shared.deps.log);
            let read =
                async || match log.read(StreamId::Messages, partition, after, READ_RECORDS).await {
                    Err(error) if error.kind == ErrorKind::Forgotten => Ok(None),
                    batch => batch.map(Some),
                };
            let Some(batch) = insist!(self, "reading the log", read())? else {
                self.check_retention(partition).await?;
                continue;
            };
            if batch.through <= after {
                // Fan-out is ahead of what this reader sees: its end will move.
                let wait = Duration::from_millis(20);
                let moved = log.wait(StreamId::Messages, partition, after, wait).await;
                if moved.is_err() || self.shared.stop.is_cancelled() {
                    return Err(Stopped);
                }
                continue;
            }
            self.shared.stats.repaired(batch.records.len());
            let items = batch.records.into_iter().filter_map(item).collect();
            self.deliver(partition, items).await?;
            self.partition_mut(partition).chain.advance(batch.through);
            self.outgoing.flush().await;
        }
        Ok(())
    }

    /// What the log has forgotten cannot be delivered: everyone must begin anew.
    async fn check_retention(&mut self, partition: Partition) -> Result<(), Stopped> {
        let log = &self.shared.deps.log;
        let start = || log.start(StreamId::Messages, partition);
        let start = insist!(self, "asking where the log starts", start())?;
        if self.partition(partition).chain.last >= start {
            return Ok(());
        }
        tracing::error!(start = start.0, "the log has forgotten events that were not delivered");
        let reason = "events were missed: fetch your rooms anew";
        self.shared.registry.for_each(|connection| {
            connection.close(CloseCode::Restart, reason, Waiting::Forget);
        });
        self.partition_mut(partition).chain.advance(start);
        Ok(())
    }

    /// Reads the log where fan-out has been silent for too long.
    pub(super) async fn mend_silence(&mut self) -> Result<(), Stopped> {
        let most = self.shared.config.inbox_silence_max;
        for index in 0..self.places.len() {
            let partition = Partition(u16::try_from(index).unwrap_or(u16::MAX));
            if self.partition(partition).chain.heard.elapsed() <= most {
                continue;
            }
            let log = &self.shared.deps.log;
            let end = || log.end(StreamId::Messages, partition);
            let end = insist!(self, "asking where the log ends", end())?;
            if self.users.is_empty() {
                self.partition_mut(partition).chain.advance(end);
            } else if self.partition(partition).chain.last < end {
                self.read_up_to(partition, end).await?;
            }
        }
        Ok(())
    }
}

fn item(record: Record) -> Option<Item> {
    match decode(record.body) {
        Ok(Event::Timeline(event)) => Some(Item {
            offset: record.offset,
            room: event.room,
            seq: event.seq,
            effect: Effect::of(&event),
            source: Source::Log(Box::new(event)),
        }),
        Ok(Event::User(_)) => None,
        Err(error) => {
            // The workers report it to the dead letters; clients see the hole in seq.
            tracing::error!(event.offset = record.offset.0, %error, "not an event");
            None
        }
    }
}
