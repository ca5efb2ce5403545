//! Resuming: what a client missed between its positions and the moment it went live.
//!
//! Live events are held back meanwhile, so that every room's events come in the order of seq.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use klatch_domain::event::{Event, TimelineEvent};
use klatch_domain::{RoomId, UserId};
use klatch_ports::log::{LogReader, Record};
use klatch_ports::{Offset, Partition, PortResult, Position, StreamId};
use klatch_protocol::event::decode;
use klatch_protocol::inbox::Effect;
use klatch_protocol::ws::server::{Tier, invalid, resumed};

use crate::connection::Connection;
use crate::deps::Deps;
use crate::membership::EventAt;
use crate::state::Shared;

/// Records read at once.
const READ_RECORDS: usize = 1_000;

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
        shared.stats.resumed(false);
        connection.answer(resumed(request_id, Tier::Snapshot, &[]));
        return;
    };
    let outcome = match judge(&shared.deps, &asked, live_from.len()).await {
        Ok(Ok(from)) => replay(shared, connection.user, &from, &live_from).await,
        Ok(Err(reason)) => Ok(Outcome::Invalid(reason)),
        Err(error) => Err(error),
    };
    let outcome = outcome.unwrap_or_else(|error| {
        tracing::warn!(%error, connection.id = %connection.id, "a resume fails");
        Outcome::Snapshot
    });
    let seen = match &outcome {
        Outcome::Replay { live_after, .. } => live_after.clone(),
        Outcome::Snapshot | Outcome::Invalid(_) => live_from.clone(),
    };
    say(&connection, request_id, outcome, &live_from).await;
    connection.release(|partition, offset| {
        seen.iter().any(|seen| seen.partition == partition && offset <= seen.offset)
    });
}

/// How a resume is answered.
enum Outcome {
    /// These were missed; live events begin after `live_after`.
    Replay {
        missed: Vec<Missed>,
        live_after: Vec<Position>,
    },
    Snapshot,
    Invalid(&'static str),
}

struct Missed {
    position: Position,
    event: TimelineEvent,
}

async fn say(
    connection: &Arc<Connection>,
    request_id: Option<&str>,
    outcome: Outcome,
    live_from: &[Position],
) {
    let deps = &connection.shared().deps;
    connection.stats().resumed(matches!(outcome, Outcome::Replay { .. }));
    let answer = match outcome {
        Outcome::Replay { missed, live_after } => {
            let count = missed.len() as u64;
            for Missed { position, event } in missed {
                let frame = loop {
                    match deps.frame_of(&event, position).await {
                        Ok(frame) => break frame,
                        // Only what passes comes here.
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                };
                if !connection.answer_paced(frame).await {
                    return;
                }
            }
            resumed(request_id, Tier::Replay(count), &live_after)
        }
        Outcome::Snapshot => resumed(request_id, Tier::Snapshot, live_from),
        Outcome::Invalid(reason) => invalid(request_id, reason),
    };
    connection.answer(answer);
}

/// Where to replay from, per partition (`None`: the client did not say); or why its positions mean
/// nothing here.
async fn judge(
    deps: &Deps,
    asked: &[Position],
    partitions: usize,
) -> PortResult<Result<Vec<Option<Offset>>, &'static str>> {
    let mut from: Vec<Option<Offset>> = vec![None; partitions];
    for position in asked {
        if position.epoch != deps.log.epoch() {
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
        if position.offset > deps.log.end(StreamId::Messages, position.partition).await? {
            return Ok(Err("ahead_of_log"));
        }
        if position.offset < deps.log.start(StreamId::Messages, position.partition).await? {
            return Ok(Err("forgotten"));
        }
        // The earlier one of two: nothing is missed then.
        *place = Some(place.map_or(position.offset, |other| other.min(position.offset)));
    }
    Ok(Ok(from))
}

async fn replay(
    shared: &Shared,
    user: UserId,
    from: &[Option<Offset>],
    live_from: &[Position],
) -> PortResult<Outcome> {
    // The semaphore is never closed.
    let _permit = shared.resumes.acquire().await;
    let limits = shared.config.resume;
    let mut missed = Missing::new(shared, user);
    let mut live_after = Vec::new();
    for (from, live) in from.iter().zip(live_from) {
        let Some(from) = *from else { return Ok(Outcome::Snapshot) };
        if live.offset.0.saturating_sub(from.0) > limits.distance {
            return Ok(Outcome::Snapshot);
        }
        // Another instance may have been ahead of this one when it told the position.
        if from > live.offset && !reach(shared, live.partition, from).await {
            return Ok(Outcome::Snapshot);
        }
        let wait = limits.wait;
        if !shared.deps.store_reaches(live.partition, live.offset, wait).await? {
            return Ok(Outcome::Snapshot);
        }
        if !missed.collect(live.partition, from, live.offset).await? {
            return Ok(Outcome::Snapshot);
        }
        live_after.push(Position { offset: live.offset.max(from), ..*live });
    }
    Ok(Outcome::Replay { missed: missed.found, live_after })
}

/// Waits until this instance has delivered up to `offset`.
async fn reach(shared: &Shared, partition: Partition, offset: Offset) -> bool {
    let deadline = tokio::time::Instant::now() + shared.config.resume.wait;
    while shared.delivered(partition) < offset {
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

/// Collects what one user missed.
struct Missing<'a> {
    shared: &'a Shared,
    user: UserId,
    /// Whether the user is in a room, as of the last event that was looked at.
    inside: HashMap<RoomId, bool>,
    found: Vec<Missed>,
    bytes: usize,
}

impl<'a> Missing<'a> {
    fn new(shared: &'a Shared, user: UserId) -> Self {
        Self { shared, user, inside: HashMap::new(), found: Vec::new(), bytes: 0 }
    }

    /// Collects from (after, to]. False: it is too much.
    async fn collect(
        &mut self,
        partition: Partition,
        mut after: Offset,
        to: Offset,
    ) -> PortResult<bool> {
        let log: &dyn LogReader = &*self.shared.deps.log;
        let limits = self.shared.config.resume;
        while after < to {
            let batch = log.read(StreamId::Messages, partition, after, READ_RECORDS).await?;
            if batch.through <= after {
                break;
            }
            after = batch.through;
            for record in batch.records {
                if record.offset > to {
                    return Ok(true);
                }
                self.look_at(partition, record).await?;
                if self.found.len() > limits.events || self.bytes > limits.bytes {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn look_at(&mut self, partition: Partition, record: Record) -> PortResult<()> {
        let bytes = record.body.len();
        // Reported to the dead letters by the workers.
        let Ok(Event::Timeline(event)) = decode(record.body) else { return Ok(()) };
        let effect = Effect::of(&event);
        let (room, seq, offset) = (event.room, event.seq, record.offset);
        let inside = match (self.inside.get(&room), &effect) {
            (Some(inside), _) => *inside,
            (None, Effect::Began(users)) => users.contains(&self.user),
            (None, _) => {
                let at = EventAt { partition, offset, room, seq };
                self.shared.deps.was_in(at, self.user).await?
            }
        };
        // Coming and going are told to whom they concern.
        let concerned = matches!(&effect, Effect::In(u) | Effect::Out(u) if *u == self.user);
        let after = match &effect {
            Effect::In(user) if *user == self.user => true,
            Effect::Out(user) if *user == self.user => false,
            Effect::Gone => false,
            Effect::None | Effect::In(_) | Effect::Out(_) | Effect::Began(_) => inside,
        };
        self.inside.insert(room, after);
        if inside || concerned {
            let epoch = self.shared.deps.log.epoch();
            let position = Position { stream: StreamId::Messages, partition, epoch, offset };
            self.bytes += bytes;
            self.found.push(Missed { position, event });
        }
        Ok(())
    }
}
