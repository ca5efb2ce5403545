//! What was missed since positions.

use klatch_ports::api::sync::{ChangedView, EventView, SyncTier, SyncView};
use klatch_ports::position::Position;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::ws::resumed::{ChangedRoom, ListedRoom, event_json};

/// What the asker missed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Sync)]
pub struct SyncBody {
    /// `replay`, `delta`, `snapshot` or `invalid`.
    pub tier: &'static str,
    /// Of `replay`: everything, in log order, each as it would come by WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub events: Option<Vec<Box<RawValue>>>,
    /// Of `delta`: the rooms in which something happened, the latest first. Of `snapshot`: those
    /// that were active last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rooms: Option<SyncRooms>,
    /// Of `invalid`: why the positions mean nothing here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The answer goes up to here: name them the next time.
    #[schema(example = json!(["m0-5f3a9c21.1234"]))]
    pub positions: Vec<String>,
}

/// Rooms of an answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum SyncRooms {
    /// Of `delta`.
    Changed(Vec<ChangedRoom>),
    /// Of `snapshot`.
    Listed(Vec<ListedRoom>),
}

impl From<SyncView> for SyncBody {
    fn from(view: SyncView) -> Self {
        let SyncView { tier, positions } = view;
        let positions = positions.iter().map(Position::to_string).collect();
        let nothing = Self { tier: "", events: None, rooms: None, reason: None, positions };
        match tier {
            SyncTier::Replay(events) => {
                Self { tier: "replay", events: Some(shown(events)), ..nothing }
            }
            SyncTier::Delta(rooms) => {
                let rooms = SyncRooms::Changed(rooms.into_iter().map(changed).collect());
                Self { tier: "delta", rooms: Some(rooms), ..nothing }
            }
            SyncTier::Snapshot(rooms) => {
                let listed = rooms.into_iter().map(|(room, head)| ListedRoom::new(room, head));
                let rooms = SyncRooms::Listed(listed.collect());
                Self { tier: "snapshot", rooms: Some(rooms), ..nothing }
            }
            SyncTier::Invalid(reason) => Self { tier: "invalid", reason: Some(reason), ..nothing },
        }
    }
}

fn changed(view: ChangedView) -> ChangedRoom {
    let ChangedView { room, head_seq, last_ordinal, events, truncated, left } = view;
    let room = ChangedRoom::new(room, head_seq, last_ordinal);
    room.with_events(shown(events), truncated).left(left)
}

fn shown(events: Vec<EventView>) -> Vec<Box<RawValue>> {
    let json = |EventView { position, event, body }| event_json(&event, body.as_ref(), position);
    events.into_iter().filter_map(json).collect()
}
