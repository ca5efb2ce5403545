//! Makes the frame of an event that was read from the log, as fan-out makes it.

use bytes::Bytes;
use klatch_domain::event::TimelineEvent;
use klatch_ports::{PortResult, Position};
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
        let body = klatch_sync::open(&self.keys, event).await?;
        Ok(event_frame(event, body.as_ref(), position))
    }
}
