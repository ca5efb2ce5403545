//! Opens the words of events that are read from the log.

use klatch_domain::event::TimelineEvent;
use klatch_domain::message::MessageBody;
use klatch_ports::PortResult;
use klatch_protocol::sealed::{KeyRing, Place};

/// The words of `event`, if it carries any, they are not damaged and their key still is there.
///
/// # Errors
/// Only what may be different the next time.
pub async fn open(keys: &KeyRing, event: &TimelineEvent) -> PortResult<Option<MessageBody>> {
    let Some(sealed) = event.words() else { return Ok(None) };
    let place = Place::Timeline(event.room, event.seq);
    match keys.open_body(place, sealed).await {
        Err(error) if !error.is_transient() => {
            tracing::error!(
                room.id = %event.room, event.seq = event.seq.0, %error,
                "words do not open"
            );
            Ok(None)
        }
        opened => opened,
    }
}
