//! Who was in a room when an event happened, from a store that may be ahead of that event.

use std::collections::HashMap;

use klatch_domain::event::Event;
use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::log::{Kind, LogReader};
use klatch_ports::metadata::MetadataReader;
use klatch_ports::{Offset, Partition, PortResult, StreamId};
use klatch_protocol::event::decode;
use klatch_protocol::inbox::Effect;

/// Records read at once when the log is looked through.
const READ_RECORDS: usize = 1_000;

/// An event's place: in its room and on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventAt {
    /// Partition of MESSAGES.
    pub partition: Partition,
    /// Where it lies; a later place will do if nothing of the room lies between.
    pub offset: Offset,
    /// Which room.
    pub room: RoomId,
    /// Its number there.
    pub seq: Seq,
}

/// Whether `user` was in the room at the event; coming and going count as being in.
///
/// The store must have taken in every change of this membership before the event; it may have
/// taken in later ones. Cost: one row; if the user came back since, the log from the event on.
///
/// # Errors
/// As the ports report.
pub async fn was_in(
    log: &dyn LogReader,
    metadata: &dyn MetadataReader,
    at: EventAt,
    user: UserId,
) -> PortResult<bool> {
    let Some(stay) = metadata.membership(at.room, user).await? else { return Ok(false) };
    if stay.joined_seq <= at.seq {
        return Ok(stay.covers(at.seq));
    }
    // The row is of a later stay, which hides whether there was an earlier one.
    Ok(changes_after(log, metadata, at).await?.get(&user).copied().unwrap_or(false))
}

/// For everyone whose membership changed between the event and what the store has taken in:
/// whether they were in before their first change.
///
/// # Errors
/// As the ports report.
pub async fn changes_after(
    log: &dyn LogReader,
    metadata: &dyn MetadataReader,
    at: EventAt,
) -> PortResult<HashMap<UserId, bool>> {
    let end = metadata.applied(at.partition).await?.offset;
    let mut found = HashMap::new();
    let mut after = at.offset;
    while after < end {
        let batch = log.read(StreamId::Messages, at.partition, after, READ_RECORDS).await?;
        if batch.through == after {
            break;
        }
        after = batch.through;
        for record in batch.records {
            if record.kind != Kind::Member || record.key.0 != at.room.bits() {
                continue;
            }
            let Ok(Event::Timeline(event)) = decode(record.body) else { continue };
            match Effect::of(&event) {
                Effect::In(user) => found.entry(user).or_insert(false),
                Effect::Out(user) => found.entry(user).or_insert(true),
                Effect::None | Effect::Began(_) | Effect::Gone => continue,
            };
        }
    }
    Ok(found)
}
