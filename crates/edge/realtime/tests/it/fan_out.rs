//! Fan-out by script. It sends an event only if someone whose presence it knows was in the room,
//! so that whatever it does not know is missing.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use klatch_domain::event::Event;
use klatch_domain::{InstanceId, UserId};
use klatch_ports::bus::BusPublisher;
use klatch_ports::kv::{KvChange, KvReader, KvWatch, Revision};
use klatch_ports::log::{LogReader, Record};
use klatch_ports::{Offset, Position, StreamId};
use klatch_protocol::event::decode;
use klatch_protocol::inbox::{Effect, InboxEvent, InboxFrame, subject};
use klatch_protocol::sealed::Place;
use klatch_protocol::ws::event::event_frame;
use tokio::time::Instant;

use crate::world::{EPOCH, P0, Server, World};

/// Levers of a running fan-out.
pub(crate) struct FanOut {
    /// Says nothing while set, and forgets what it would have said.
    pub(crate) silent: AtomicBool,
    /// A presence change counts only this many milliseconds after it was told.
    pub(crate) presence_lag_ms: AtomicU64,
    /// Ends it.
    pub(crate) stop: AtomicBool,
}

impl FanOut {
    /// Starts the owner `owner` for the server's instance.
    pub(crate) fn start(server: &Server, owner: u64) -> Arc<Self> {
        let levers = Arc::new(Self {
            silent: AtomicBool::new(false),
            presence_lag_ms: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let running = Running {
            world: Arc::clone(&server.world),
            levers: Arc::clone(&levers),
            instance: server.instance,
            owner,
            online: HashSet::new(),
            presence: Revision::default(),
            untaken: VecDeque::new(),
            at: Offset::ZERO,
        };
        tokio::spawn(running.run());
        levers
    }
}

struct Running {
    world: Arc<World>,
    levers: Arc<FanOut>,
    instance: InstanceId,
    owner: u64,
    online: HashSet<UserId>,
    presence: Revision,
    /// Changes that do not count yet.
    untaken: VecDeque<(Instant, KvChange)>,
    at: Offset,
}

impl Running {
    async fn run(mut self) {
        let mut watch = self.world.kv.watch("user.").await.unwrap();
        self.at = self.world.end().await;
        while !self.levers.stop.load(Ordering::Relaxed) {
            let told = self.presence;
            self.take_presence(watch.as_mut());
            let batch = self.world.log.read(StreamId::Messages, P0, self.at, 5).await.unwrap();
            let prev = self.at;
            let mut events = Vec::new();
            for record in batch.records {
                events.extend(self.event(record).await);
            }
            self.at = batch.through;
            self.publish(prev, events).await;
            if self.at == prev && self.presence == told {
                let beat = Duration::from_millis(20);
                tokio::select! {
                    waited = self.world.log.wait(StreamId::Messages, P0, self.at, beat) => {
                        waited.unwrap();
                    }
                    change = watch.next() => self.note(change),
                }
            }
        }
    }

    fn note(&mut self, change: Option<KvChange>) {
        let lag = Duration::from_millis(self.levers.presence_lag_ms.load(Ordering::Relaxed));
        self.untaken.extend(change.map(|change| (Instant::now() + lag, change)));
    }

    fn take_presence(&mut self, watch: &mut dyn KvWatch) {
        while let Some(change) = watch.try_next() {
            self.note(Some(change));
        }
        while self.untaken.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let Some((_, change)) = self.untaken.pop_front() else { return };
            self.presence = self.presence.max(change.revision);
            let place = change.key.strip_prefix("user.").unwrap();
            let (user, instance) = place.split_once('.').unwrap();
            let user: UserId = user.parse().unwrap();
            if instance != self.instance.to_string() {
                continue;
            }
            if change.value.is_some() {
                self.online.insert(user);
            } else {
                self.online.remove(&user);
            }
        }
    }

    async fn event(&self, record: Record) -> Option<InboxEvent> {
        let Ok(Event::Timeline(event)) = decode(record.body) else { return None };
        let (room, seq) = (event.room, event.seq);
        let wanted = {
            let model = self.world.model.lock();
            self.online.iter().any(|user| model.is_inside(room, *user, seq.0))
        };
        if !wanted {
            return None;
        }
        let body = match &event.change {
            klatch_domain::Change::MessageSent(sent) => {
                let place = Place::Timeline(room, seq);
                self.world.keys.open_body(place, &sent.body).await.unwrap()
            }
            _ => None,
        };
        let offset = record.offset;
        let position = Position { stream: StreamId::Messages, partition: P0, epoch: EPOCH, offset };
        let frame = event_frame(&event, body.as_ref(), position);
        Some(InboxEvent { offset, room, seq, effect: Effect::of(&event), frame })
    }

    async fn publish(&self, prev: Offset, events: Vec<InboxEvent>) {
        if self.levers.silent.load(Ordering::Relaxed) {
            return;
        }
        let frame = InboxFrame {
            partition: P0,
            epoch: EPOCH,
            owner: self.owner,
            prev,
            through: self.at,
            presence: self.presence,
            events,
        };
        self.world.bus.publish(&subject(self.instance), frame.encode()).await.unwrap();
    }
}
