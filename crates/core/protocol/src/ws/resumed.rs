//! `resumed`: what was missed, by tiers. REST's `sync` answers with the same rooms and events.

use bytes::Bytes;
use klatch_domain::event::TimelineEvent;
use klatch_domain::message::MessageBody;
use klatch_domain::room::RoomHead;
use klatch_domain::{Ordinal, RoomId, Seq};
use klatch_ports::Position;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::event::event_frame;
use super::server::{Envelope, framed, json_of};

/// An event as its own frame would say it, `{type, payload}`.
pub fn event_json(
    event: &TimelineEvent,
    body: Option<&MessageBody>,
    position: Position,
) -> Option<Box<RawValue>> {
    // The protocol's own JSON is JSON.
    serde_json::from_slice(json_of(&event_frame(event, body, position))).ok()
}

/// A room in which something happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedRoom {
    /// Which room.
    room_id: String,
    /// Seq of its newest event, or of a later one.
    head_seq: u64,
    /// Ordinal of its newest message; absent when one is no longer in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ordinal: Option<u64>,
    /// The newest events, oldest of them first, each as it would come by WebSocket.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Box<RawValue>>,
    /// Whether there were more: fetch the room's history.
    truncated: bool,
    /// Whether one is no longer in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    left: bool,
}

impl ChangedRoom {
    /// A room whose newest event is `head_seq`, and whose newest message `last_ordinal`.
    pub fn new(room: RoomId, head_seq: Seq, last_ordinal: Option<Ordinal>) -> Self {
        Self {
            room_id: room.to_string(),
            head_seq: head_seq.0,
            last_ordinal: last_ordinal.map(|ordinal| ordinal.0),
            events: Vec::new(),
            truncated: false,
            left: false,
        }
    }

    /// With its newest events, oldest first, and whether there were more.
    #[must_use]
    pub fn with_events(mut self, events: Vec<Box<RawValue>>, truncated: bool) -> Self {
        (self.events, self.truncated) = (events, truncated);
        self
    }

    /// The user went out of it, if so.
    #[must_use]
    pub fn left(mut self, left: bool) -> Self {
        self.left = left;
        self
    }

    /// About how many bytes it is.
    pub fn bytes(&self) -> usize {
        160 + self.events.iter().map(|event| event.get().len() + 1).sum::<usize>()
    }
}

/// A room of the list, and its end.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedRoom {
    /// Which room.
    room_id: String,
    /// Seq of its newest event.
    head_seq: u64,
    /// Ordinal of its newest message; 0 before the first.
    last_ordinal: u64,
    /// When its newest message was sent; before the first, when it began.
    last_activity_at: String,
}

impl ListedRoom {
    /// The room and its end.
    pub fn new(room: RoomId, head: RoomHead) -> Self {
        let RoomHead { seq, ordinal, time: _, active_at } = head;
        Self {
            room_id: room.to_string(),
            head_seq: seq.0,
            last_ordinal: ordinal.0,
            last_activity_at: active_at.to_string(),
        }
    }
}

/// How a resume was served.
#[derive(Clone, Copy, Debug)]
pub enum Tier<'a> {
    /// Everything missed was sent before, this many events.
    Replay(u64),
    /// Rooms that changed, the latest first.
    Delta(&'a [ChangedRoom]),
    /// The rooms that were active last: fetch what is wanted of them.
    Snapshot(&'a [ListedRoom]),
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<R> {
    tier: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<R>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    positions: Option<Vec<String>>,
}

fn answer<R: Serialize>(request_id: Option<&str>, payload: Payload<R>) -> Bytes {
    framed(&Envelope { kind: "resumed", payload, request_id })
}

/// `resumed`: live events begin after `positions`.
pub fn resumed(request_id: Option<&str>, tier: Tier<'_>, positions: &[Position]) -> Bytes {
    let positions = Some(positions.iter().map(Position::to_string).collect());
    let more = false;
    match tier {
        Tier::Replay(count) => {
            let (tier, replayed, rooms) = ("replay", Some(count), None::<()>);
            answer(request_id, Payload { tier, replayed, rooms, more, positions })
        }
        Tier::Delta(rooms) => {
            let (tier, replayed, rooms) = ("delta", None, Some(rooms));
            answer(request_id, Payload { tier, replayed, rooms, more, positions })
        }
        Tier::Snapshot(rooms) => {
            let (tier, replayed, rooms) = ("snapshot", None, Some(rooms));
            answer(request_id, Payload { tier, replayed, rooms, more, positions })
        }
    }
}

/// A part of a delta that is not the last one.
pub fn resumed_part(request_id: Option<&str>, rooms: &[ChangedRoom]) -> Bytes {
    let (tier, rooms, more) = ("delta", Some(rooms), true);
    answer(request_id, Payload { tier, replayed: None, rooms, more, positions: None })
}
