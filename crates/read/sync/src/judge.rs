//! What positions that a client names are worth.

use klatch_ports::log::LogReader;
use klatch_ports::{PortResult, Position, StreamId};

use crate::Known;

pub(crate) async fn judge(
    log: &dyn LogReader,
    asked: &[Position],
) -> PortResult<Result<Known, &'static str>> {
    let mut from: Known = vec![None; usize::from(log.partitions(StreamId::Messages))];
    for position in asked {
        if position.epoch != log.epoch() {
            return Ok(Err("epoch_changed"));
        }
        match position.stream {
            StreamId::Messages => {}
            // Of an answer about a user; says nothing about rooms.
            StreamId::Meta => continue,
            StreamId::Notifications | StreamId::Webhooks | StreamId::System => {
                return Ok(Err("unknown_partition"));
            }
        }
        let Some(place) = from.get_mut(usize::from(position.partition.0)) else {
            return Ok(Err("unknown_partition"));
        };
        if position.offset > log.end(StreamId::Messages, position.partition).await? {
            return Ok(Err("ahead_of_log"));
        }
        if position.offset < log.start(StreamId::Messages, position.partition).await? {
            return Ok(Err("forgotten"));
        }
        // The earlier one of two: nothing is missed then.
        *place = Some(place.map_or(position.offset, |other| other.min(position.offset)));
    }
    Ok(Ok(from))
}
