//! From decided events to the log, and from the log's outcome to the answers.

use std::sync::Arc;

use klatch_domain::event::{Change, Event, TimelineEvent};
use klatch_domain::{Rejection, RoomId};
use klatch_ports::api::ServiceError;
use klatch_ports::api::commands::{Changed, Sent};
use klatch_ports::log::{Append, AppendError, Appended, Expected, Key, NewRecord};
use klatch_ports::{ErrorKind, Offset, PortError, StreamId};
use klatch_protocol::event::encode;
use smallvec::SmallVec;

use crate::decide::Events;
use crate::keys::Known;
use crate::sequencer::{Sequencer, Slot};
use crate::wish::{Answer, Job};

/// What came of a batch of wishes.
pub(crate) struct Decided {
    room: RoomId,
    expected: Option<Offset>,
    /// Which load of the room's state it was decided on.
    pub(crate) loads: u64,
    accepted: Vec<(Job, Events)>,
    pub(crate) refused: Vec<(ServiceError, Job)>,
    pub(crate) repeated: Vec<(Known, Job)>,
}

impl Decided {
    pub(crate) fn new(room: RoomId, expected: Option<Offset>, loads: u64) -> Self {
        let (accepted, refused, repeated) = Default::default();
        Self { room, expected, loads, accepted, refused, repeated }
    }

    /// Whether there is nothing to append.
    pub(crate) fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }

    pub(crate) fn accept(&mut self, job: Job, events: Events) {
        self.accepted.push((job, events));
    }

    pub(crate) fn into_pending(self) -> Pending {
        Pending { room: self.room, expected: self.expected, accepted: self.accepted }
    }
}

/// Wishes whose events are on their way to the log.
pub(crate) struct Pending {
    room: RoomId,
    expected: Option<Offset>,
    accepted: Vec<(Job, Events)>,
}

impl Sequencer {
    pub(crate) fn append(self: &Arc<Self>, slot: &Arc<Slot>, mut pending: Pending) {
        let mut records: SmallVec<[NewRecord; 1]> = SmallVec::new();
        let mut outline: Vec<(Job, SmallVec<[TimelineEvent; 1]>)> = Vec::new();
        std::mem::swap(&mut outline, &mut pending.accepted);
        let accepted = outline
            .into_iter()
            .map(|(job, events)| {
                let mut last = None;
                for event in events {
                    let event = Event::Timeline(event);
                    records.push(encode(&event));
                    let Event::Timeline(event) = event else { continue };
                    last = Some(event);
                }
                (job, records.len().saturating_sub(1), last)
            })
            .filter_map(|(job, index, last)| last.map(|last| Accepted { job, index, last }))
            .collect();
        let append = Append {
            stream: StreamId::Messages,
            key: Key(pending.room.bits()),
            expected: Expected::Head(pending.expected),
            records,
        };
        let (this, slot) = (Arc::clone(self), Arc::clone(slot));
        let done = move |outcome| this.finished(&slot, accepted, outcome);
        self.deps.log.submit(append, Box::new(done));
    }

    fn finished(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        accepted: Vec<Accepted>,
        outcome: Result<Appended, AppendError>,
    ) {
        match outcome {
            Ok(appended) => {
                self.remember_keys(&accepted, appended);
                {
                    let mut inner = slot.inner.lock();
                    if let Some(state) = &mut inner.state {
                        state.head_offset = Some(appended.last.offset);
                    }
                    inner.busy = false;
                    inner.conflicts = 0;
                }
                self.answered(accepted.len());
                for accepted in accepted {
                    accepted.answer(appended);
                }
            }
            Err(AppendError::Conflict { .. }) => {
                let jobs = accepted.into_iter().map(|accepted| accepted.job).collect();
                if !slot.put_back(jobs) {
                    self.refuse_all(slot, || ServiceError::Busy);
                }
            }
            Err(error) => self.failed(slot, accepted, &error),
        }
        self.drive(slot);
    }

    /// The log could not: what the room looks like now is not known, so its state is thrown away.
    fn failed(&self, slot: &Slot, accepted: Vec<Accepted>, error: &AppendError) {
        {
            let mut inner = slot.inner.lock();
            inner.state = None;
            inner.busy = false;
        }
        let unknown = error.outcome_unknown();
        let (kind, engine) = match error {
            AppendError::Port(error) => (error.kind, error.engine),
            AppendError::Conflict { .. } => (ErrorKind::Unavailable, "log"),
        };
        tracing::error!(room.id = %slot.room, unknown, ?error, "an append failed");
        self.answered(accepted.len());
        for Accepted { job, .. } in accepted {
            let error = PortError::new(kind, engine, "append");
            job.answer.refuse(match (unknown, kind) {
                (true, _) => ServiceError::OutcomeUnknown(error),
                (false, ErrorKind::Throttled) => ServiceError::Busy,
                (false, _) => ServiceError::Port(error),
            });
        }
    }

    fn remember_keys(&self, accepted: &[Accepted], appended: Appended) {
        for accepted in accepted {
            if let Some(key) = accepted.job.key() {
                self.keys.remember(key, appended.at(accepted.index).offset);
            }
        }
    }
}

/// A wish whose events the log is taking in.
struct Accepted {
    job: Job,
    /// Index of its last event in the append.
    index: usize,
    last: TimelineEvent,
}

impl Accepted {
    fn answer(self, appended: Appended) {
        let position = appended.at(self.index);
        match self.job.answer {
            Answer::Changed(reply) => reply(Ok(Changed {
                room: self.last.room,
                seq: self.last.seq,
                at: self.last.at,
                position,
            })),
            Answer::Sent(reply) => reply(match &self.last.change {
                Change::MessageSent(sent) => Ok(Sent {
                    message: sent.id,
                    room: self.last.room,
                    seq: self.last.seq,
                    ordinal: sent.ordinal,
                    at: self.last.at,
                    position,
                    replayed: false,
                }),
                _ => Err(ServiceError::Rejected(Rejection::MessageNotFound)),
            }),
        }
    }
}
