//! Resuming: what a client missed between its positions and the moment it went live.
//!
//! Live events are held back meanwhile, so that every room's events come in the order of seq.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use klatch_domain::event::TimelineEvent;
use klatch_domain::message::MessageBody;
use klatch_ports::{Offset, Partition, PortResult, Position};
use klatch_protocol::ws::event::event_frame;
use klatch_protocol::ws::resumed::{
    ChangedRoom, ListedRoom, Tier, event_json, resumed, resumed_part,
};
use klatch_protocol::ws::server::invalid;
use klatch_sync::{Known, Missed, MissedEvent, RoomDelta};

use crate::connection::Connection;
use crate::deps::Deps;
use crate::state::Shared;

/// Answers a resume and lets live events go.
pub(crate) async fn resume(
    connection: Arc<Connection>,
    request_id: Option<String>,
    asked: Vec<Position>,
) {
    let shared = connection.shared();
    let request_id = request_id.as_deref();
    let Some(live_from) = connection.begin_resume() else {
        // Live events have gone out: older ones may not follow them.
        let window = Outcome { missed: snapshot(&connection).await, live_after: Vec::new() };
        say(&connection, request_id, window).await;
        return;
    };
    let told = match shared.deps.sync.judge(&asked).await {
        Ok(Ok(from)) => look(&connection, &from, &live_from).await.map(Ok),
        Ok(Err(reason)) => Ok(Err(reason)),
        Err(error) => Err(error),
    };
    let told = match told {
        Ok(told) => told,
        Err(error) => {
            tracing::warn!(%error, connection.id = %connection.id, "a resume fails");
            let missed = Missed::Snapshot(Vec::new());
            Ok(Outcome { missed, live_after: live_from.clone() })
        }
    };
    let mut seen = live_from;
    match told {
        Ok(outcome) => {
            seen.clone_from(&outcome.live_after);
            say(&connection, request_id, outcome).await;
        }
        Err(reason) => {
            shared.stats.resumed_anew();
            connection.answer(invalid(request_id, reason));
        }
    }
    connection.release(|position| {
        let is_before = |seen: &Position| {
            seen.partition == position.partition && position.offset <= seen.offset
        };
        seen.iter().any(is_before)
    });
}

/// How a resume is answered; live events begin after `live_after`.
struct Outcome {
    missed: Missed,
    live_after: Vec<Position>,
}

async fn look(
    connection: &Connection,
    from: &Known,
    live_from: &[Position],
) -> PortResult<Outcome> {
    let shared = connection.shared();
    // The semaphore is never closed.
    let _permit = shared.resumes.acquire().await;
    let mut live_after = live_from.to_vec();
    for (from, live) in from.iter().zip(&mut live_after) {
        let Some(from) = from.filter(|from| *from > live.offset) else { continue };
        // Another instance was ahead of this one when it told the position.
        if reach(shared, live.partition, from).await {
            live.offset = from;
        } else {
            let (missed, live_after) = (snapshot(connection).await, live_from.to_vec());
            return Ok(Outcome { missed, live_after });
        }
    }
    let limits = shared.config.resume.told;
    match shared.deps.sync.missed(connection.user, from, live_from, limits).await? {
        Missed::Behind | Missed::Snapshot(_) if live_after != live_from => {
            let (missed, live_after) = (snapshot(connection).await, live_from.to_vec());
            Ok(Outcome { missed, live_after })
        }
        Missed::Behind => Ok(Outcome { missed: snapshot(connection).await, live_after }),
        missed => Ok(Outcome { missed, live_after }),
    }
}

/// Waits until this instance has delivered up to `offset`.
async fn reach(shared: &Shared, partition: Partition, offset: Offset) -> bool {
    let deadline = tokio::time::Instant::now() + shared.config.resume.told.wait;
    while shared.delivered(partition) < offset {
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

async fn snapshot(connection: &Connection) -> Missed {
    let shared = connection.shared();
    let found = shared.deps.sync.snapshot(connection.user, shared.config.resume.told).await;
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, connection.id = %connection.id, "no window of rooms");
        Missed::Snapshot(Vec::new())
    })
}

async fn say(connection: &Arc<Connection>, request_id: Option<&str>, outcome: Outcome) {
    let Outcome { missed, live_after } = outcome;
    let stats = connection.stats();
    let answer = match missed {
        Missed::Replay(missed) => {
            stats.resumed_by_replay();
            let count = missed.len() as u64;
            if !say_events(connection, missed).await {
                return;
            }
            resumed(request_id, Tier::Replay(count), &live_after)
        }
        Missed::Delta(rooms) => {
            stats.resumed_by_delta();
            let Some(last) = say_rooms(connection, request_id, rooms).await else { return };
            resumed(request_id, Tier::Delta(&last), &live_after)
        }
        Missed::Snapshot(rooms) => {
            stats.resumed_anew();
            let rooms: Vec<_> =
                rooms.into_iter().map(|(room, head)| ListedRoom::new(room, head)).collect();
            resumed(request_id, Tier::Snapshot(&rooms), &live_after)
        }
        // Told as a snapshot before.
        Missed::Behind => resumed(request_id, Tier::Snapshot(&[]), &live_after),
    };
    connection.answer_paced(answer).await;
}

/// Sends missed events. False: the connection closes.
async fn say_events(connection: &Connection, missed: Vec<MissedEvent>) -> bool {
    let deps = &connection.shared().deps;
    for MissedEvent { position, event } in missed {
        let body = words(deps, &event).await;
        let frame: Bytes = event_frame(&event, body.as_ref(), position);
        if !connection.answer_paced(frame).await {
            return false;
        }
    }
    true
}

/// Sends the parts of a delta but for the last, which is returned; `None`: the connection closes.
async fn say_rooms(
    connection: &Connection,
    request_id: Option<&str>,
    rooms: Vec<RoomDelta>,
) -> Option<Vec<ChangedRoom>> {
    let shared = connection.shared();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for room in rooms {
        let room = changed(&shared.deps, room).await;
        if bytes > 0 && bytes + room.bytes() > shared.config.resume.part_bytes {
            let full = std::mem::take(&mut part);
            if !connection.answer_paced(resumed_part(request_id, &full)).await {
                return None;
            }
            bytes = 0;
        }
        bytes += room.bytes();
        part.push(room);
    }
    Some(part)
}

async fn changed(deps: &Deps, delta: RoomDelta) -> ChangedRoom {
    let RoomDelta { room, head_seq, last_ordinal, events, truncated, left } = delta;
    let mut told = Vec::with_capacity(events.len());
    for MissedEvent { position, event } in events {
        let body = words(deps, &event).await;
        told.extend(event_json(&event, body.as_ref(), position));
    }
    ChangedRoom::new(room, head_seq, last_ordinal).with_events(told, truncated).left(left)
}

/// The words of an event, however long it takes to get at them.
async fn words(deps: &Deps, event: &TimelineEvent) -> Option<MessageBody> {
    loop {
        match klatch_sync::open(&deps.keys, event).await {
            Ok(body) => return body,
            // Only what passes comes here.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
