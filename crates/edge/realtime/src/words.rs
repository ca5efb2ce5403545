//! Makes the frame of an event that was read from the log, as fan-out makes it.

use bytes::Bytes;
use klatch_domain::event::{Change, TimelineEvent};
use klatch_domain::message::MessageBody;
use klatch_ports::{PortResult, Position};
use klatch_protocol::sealed::Place;
use klatch_protocol::ws::event::event_frame;

use crate::deps::Deps;

impl Deps {
    /// The frame of `event`. Words whose key is gone, or that are damaged, are left empty.
    ///
    /// # Errors
    /// Only what may be different the next time.
    pub(crate) async fn frame_of(
        &self,
        event: &TimelineEvent,
        position: Position,
    ) -> PortResult<Bytes> {
        let body = self.open(event).await?;
        Ok(event_frame(event, body.as_ref(), position))
    }

    async fn open(&self, event: &TimelineEvent) -> PortResult<Option<MessageBody>> {
        let sealed = match &event.change {
            Change::MessageSent(sent) => &sent.body,
            Change::MessageEdited { body, .. } => body,
            Change::MessageDeleted { .. }
            | Change::RoomCreated(_)
            | Change::RoomUpdated { .. }
            | Change::RoomArchived { .. }
            | Change::RoomDeleted
            | Change::MemberJoined { .. }
            | Change::MemberLeft { .. }
            | Change::MemberRoleChanged { .. } => return Ok(None),
        };
        let place = Place::Timeline(event.room, event.seq);
        match self.keys.open_body(place, sealed).await {
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
}
