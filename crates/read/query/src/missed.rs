//! What the asker missed since positions, with the words opened.

use klatch_domain::permission::Actor;
use klatch_ports::api::sync::{ChangedView, EventView, SyncTier, SyncView};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::{PortResult, Position};
use klatch_protocol::sealed::KeyRing;
use klatch_sync::{Limits, Missed, MissedEvent, RoomDelta, Sync};

pub(crate) async fn missed(
    sync: &Sync,
    keys: &KeyRing,
    actor: Actor,
    known: &[Position],
) -> ServiceResult<SyncView> {
    let positions = sync.ends().await?;
    let from = match sync.judge(known).await? {
        Ok(from) => from,
        Err(reason) => return Ok(SyncView { tier: SyncTier::Invalid(reason), positions }),
    };
    let tier = match sync.missed(actor.user, &from, &positions, Limits::default()).await? {
        Missed::Replay(events) => SyncTier::Replay(opened(keys, events).await?),
        Missed::Delta(rooms) => {
            let mut told = Vec::with_capacity(rooms.len());
            for room in rooms {
                told.push(changed(keys, room).await?);
            }
            SyncTier::Delta(told)
        }
        Missed::Snapshot(rooms) => SyncTier::Snapshot(rooms),
        Missed::Behind => return Err(ServiceError::Behind),
    };
    Ok(SyncView { tier, positions })
}

async fn changed(keys: &KeyRing, delta: RoomDelta) -> PortResult<ChangedView> {
    let RoomDelta { room, head_seq, last_ordinal, events, truncated, left } = delta;
    let events = opened(keys, events).await?;
    Ok(ChangedView { room, head_seq, last_ordinal, events, truncated, left })
}

async fn opened(keys: &KeyRing, events: Vec<MissedEvent>) -> PortResult<Vec<EventView>> {
    let mut told = Vec::with_capacity(events.len());
    for MissedEvent { position, event } in events {
        let body = klatch_sync::open(keys, &event).await?;
        told.push(EventView { position, event, body });
    }
    Ok(told)
}
