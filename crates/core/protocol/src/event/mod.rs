//! Events as the log holds them.
//!
//! A record's body is one protobuf message. Fields and changes may be added, never altered: golden
//! files under `testdata/event` hold every form that was ever written.

mod wire;

use bytes::Bytes;
use klatch_domain::event::{Change, Event, TimelineEvent};
use klatch_ports::log::{Key, Kind, NewRecord};
use prost::Message as _;

/// Why a record's body is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf of this shape.
    #[error("the bytes are not an event: {0}")]
    Malformed(String),
    /// A field that must be there is not, or does not fit.
    #[error("the event's field {0} is missing or does not fit")]
    Field(&'static str),
    /// Written by a newer version of Klatch.
    #[error("the event is of version {0}, newer than this server understands")]
    Newer(u32),
}

/// An event as a record to append. Cost: one allocation.
pub fn encode(event: &Event) -> NewRecord {
    let body = match event {
        Event::Timeline(timeline) => match &timeline.change {
            Change::MessageSent(sent) => wire::sent::write(timeline, sent),
            _ => generated(event),
        },
        Event::User(_) => generated(event),
    };
    NewRecord { kind: kind(event), body }
}

fn generated(event: &Event) -> Bytes {
    Bytes::from(wire::Envelope::from(event).encode_to_vec())
}

/// The event in a record's body. Sealed bytes are shared with `body`, not copied.
///
/// # Errors
/// [`DecodeError`]; such a record is for the dead letters.
pub fn decode(body: Bytes) -> Result<Event, DecodeError> {
    if let Some(event) = wire::sent::read(&body) {
        return Ok(Event::Timeline(event));
    }
    let envelope =
        wire::Envelope::decode(body).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    envelope.try_into()
}

/// The key an event is appended under.
pub fn key(event: &Event) -> Key {
    match event {
        Event::Timeline(timeline) => Key(timeline.room.bits()),
        Event::User(user) => Key(user.user.bits()),
    }
}

/// What an event is about, for routing.
pub fn kind(event: &Event) -> Kind {
    match event {
        Event::Timeline(TimelineEvent { change, .. }) => match change {
            Change::MessageSent(_) => Kind::Send,
            Change::MessageEdited { .. } => Kind::Edit,
            Change::MessageDeleted { .. } => Kind::Delete,
            Change::RoomCreated(_)
            | Change::RoomUpdated { .. }
            | Change::RoomArchived { .. }
            | Change::RoomDeleted => Kind::Room,
            Change::MemberJoined { .. }
            | Change::MemberLeft { .. }
            | Change::MemberRoleChanged { .. } => Kind::Member,
        },
        Event::User(_) => Kind::User,
    }
}

#[cfg(test)]
mod tests;
