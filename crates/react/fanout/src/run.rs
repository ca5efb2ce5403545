//! The loop: read the log, make each event's frame once, publish once per target instance.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use klatch_domain::event::{Change, Event, TimelineEvent};
use klatch_domain::message::MessageBody;
use klatch_domain::{Clock, InstanceId};
use klatch_ports::bus::BusPublisher;
use klatch_ports::kv::{KvChange, KvReader, Revision};
use klatch_ports::log::{LogReader, Record};
use klatch_ports::metadata::MetadataReader;
use klatch_ports::{ErrorKind, Offset, Partition, PortResult, Position, StreamId};
use klatch_protocol::event::decode;
use klatch_protocol::inbox::{Effect, InboxEvent, InboxFrame, subject};
use klatch_protocol::sealed::{KeyRing, Place};
use klatch_protocol::ws::event::event_frame;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::presence::{Instances, PREFIX, parse_key};
use crate::routing::{ActiveRooms, EventAt};
use crate::stats::FanOutStats;

/// How often the size of what is in memory is looked at: that visits every active room.
const SIZE_EVERY: Duration = Duration::from_secs(5);

/// Everything fan-out may touch.
pub struct Deps {
    /// What happened.
    pub log: Arc<dyn LogReader>,
    /// Who is in which room.
    pub metadata: Arc<dyn MetadataReader>,
    /// Who is online where.
    pub presence: Arc<dyn KvReader>,
    /// The inboxes.
    pub bus: Arc<dyn BusPublisher>,
    /// People's keys, to open their words for delivery.
    pub key_ring: Arc<KeyRing>,
    /// Numbers the lives of the owner.
    pub clock: Arc<dyn Clock>,
}

/// How fan-out behaves.
#[derive(Clone, Debug)]
pub struct FanOutConfig {
    /// Most records read at once.
    pub batch: usize,
    /// An instance hears at least this often how far the log is; at most a second.
    pub heartbeat: Duration,
}

impl Default for FanOutConfig {
    fn default() -> Self {
        Self { batch: 256, heartbeat: Duration::from_millis(500) }
    }
}

/// The active consumer of one partition of rooms.
pub struct FanOut {
    deps: Deps,
    config: FanOutConfig,
    partition: Partition,
    stats: Arc<FanOutStats>,
    owner: u64,
    at: Offset,
    instances: Instances,
    rooms: ActiveRooms,
    links: HashMap<InstanceId, Link>,
    presence: Revision,
    sized: Instant,
}

/// The end of an instance's chain.
#[derive(Debug)]
struct Link {
    subject: String,
    through: Offset,
    presence: Revision,
    sent: Instant,
}

impl std::fmt::Debug for FanOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FanOut").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl FanOut {
    /// An owner of `partition` that begins at the log's end.
    ///
    /// # Errors
    /// As the log reports.
    pub async fn new(deps: Deps, config: FanOutConfig, partition: Partition) -> PortResult<Self> {
        let at = deps.log.end(StreamId::Messages, partition).await?;
        let owner = deps.clock.now().0;
        Ok(Self {
            deps,
            config,
            partition,
            stats: Arc::default(),
            owner,
            at,
            instances: Instances::default(),
            rooms: ActiveRooms::default(),
            links: HashMap::new(),
            presence: Revision::default(),
            sized: Instant::now(),
        })
    }

    /// Counts for metrics.
    pub fn stats(&self) -> Arc<FanOutStats> {
        Arc::clone(&self.stats)
    }

    /// Runs until `stop`. Failures of ports are waited out; nothing is skipped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = Duration::from_millis(10);
        while !stop.is_cancelled() {
            match self.watch_and_serve(&stop).await {
                Ok(()) => pause = Duration::from_millis(10),
                Err(error) => {
                    tracing::warn!(%error, partition = self.partition.0, "fan-out waits");
                    // A batch that failed half-way is looked at again from its beginning.
                    self.rooms = ActiveRooms::default();
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Serves for as long as one presence watch lasts.
    async fn watch_and_serve(&mut self, stop: &CancellationToken) -> PortResult<()> {
        let mut watch = self.deps.presence.watch(PREFIX).await?;
        // A new watch begins with everyone who is there.
        self.instances = Instances::default();
        let beat = self.config.heartbeat;
        loop {
            while let Some(change) = watch.try_next() {
                self.presence_change(change).await?;
            }
            self.send_news().await?;
            self.tell_size();
            let before = self.at;
            self.serve_batch().await?;
            if self.at > before {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                waited = self.deps.log.wait(StreamId::Messages, self.partition, self.at, beat) => {
                    waited?;
                }
                change = watch.next() => {
                    // Fell behind: watch anew.
                    let Some(change) = change else { return Ok(()) };
                    self.presence_change(change).await?;
                }
            }
        }
    }

    async fn presence_change(&mut self, change: KvChange) -> PortResult<()> {
        self.presence = self.presence.max(change.revision);
        let Some((user, instance)) = parse_key(&change.key) else { return Ok(()) };
        if change.value.is_some() {
            let number = self.deps.metadata.number(user).await?;
            self.instances.arrive(user, instance, number);
            let (at, presence) = (self.at, Revision::default());
            self.links.entry(instance).or_insert_with(|| Link {
                subject: subject(instance),
                through: at,
                presence,
                sent: Instant::now(),
            });
        } else if self.instances.depart(user, instance) {
            self.links.remove(&instance);
        }
        self.stats.instances.store(self.instances.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Tells instances of presence changes taken in, and those that have not heard for long that
    /// there is nothing new.
    async fn send_news(&mut self) -> PortResult<()> {
        let now = Instant::now();
        self.links.retain(|instance, _| self.instances.holds(*instance));
        let due: Vec<InstanceId> = self
            .links
            .iter()
            .filter(|(_, link)| {
                link.presence < self.presence || now - link.sent >= self.config.heartbeat
            })
            .map(|(instance, _)| *instance)
            .collect();
        for instance in due {
            self.publish(instance, Vec::new()).await?;
        }
        Ok(())
    }

    /// How much memory routing takes, now and then.
    fn tell_size(&mut self) {
        let now = Instant::now();
        if now - self.sized < SIZE_EVERY {
            return;
        }
        self.sized = now;
        let (users, bytes) = self.instances.size();
        self.stats.users.store(users as u64, Ordering::Relaxed);
        self.stats.users_bytes.store(bytes as u64, Ordering::Relaxed);
        self.stats.active_rooms.store(self.rooms.len() as u64, Ordering::Relaxed);
        self.stats.rooms_bytes.store(self.rooms.bytes() as u64, Ordering::Relaxed);
    }

    async fn serve_batch(&mut self) -> PortResult<()> {
        let (stream, limit) = (StreamId::Messages, self.config.batch);
        let batch = match self.deps.log.read(stream, self.partition, self.at, limit).await {
            Err(error) if error.kind == ErrorKind::Forgotten => {
                // Instances see the break, and close whom they cannot tell what was missed.
                tracing::error!(at = self.at.0, %error, "fan-out was overtaken");
                self.at = self.deps.log.start(stream, self.partition).await?;
                return Ok(());
            }
            batch => batch?,
        };
        if batch.through == self.at {
            return Ok(());
        }
        if self.instances.len() == 0 {
            self.rooms = ActiveRooms::default();
            self.at = batch.through;
            self.stats.position.store(self.at.0, Ordering::Relaxed);
            return Ok(());
        }
        self.number_newcomers().await?;
        let mut outgoing: HashMap<InstanceId, Vec<InboxEvent>> = HashMap::new();
        for record in &batch.records {
            self.route(record, &mut outgoing).await?;
        }
        self.at = batch.through;
        self.stats.events.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
        self.stats.active_rooms.store(self.rooms.len() as u64, Ordering::Relaxed);
        self.stats.position.store(self.at.0, Ordering::Relaxed);
        for (instance, events) in outgoing {
            self.publish(instance, events).await?;
        }
        Ok(())
    }

    async fn number_newcomers(&mut self) -> PortResult<()> {
        for (user, instance) in self.instances.unnumbered() {
            if let Some(number) = self.deps.metadata.number(user).await? {
                self.instances.number(user, instance, number);
            }
        }
        Ok(())
    }

    async fn route(
        &mut self,
        record: &Record,
        outgoing: &mut HashMap<InstanceId, Vec<InboxEvent>>,
    ) -> PortResult<()> {
        let event = match decode(record.body.clone()) {
            Ok(Event::Timeline(event)) => event,
            Ok(Event::User(_)) => return Ok(()),
            Err(error) => {
                // The message-writer reports it to the dead letters; readers see the hole in seq.
                tracing::error!(event.offset = record.offset.0, %error, "not an event");
                return Ok(());
            }
        };
        let effect = Effect::of(&event);
        let targets = self.targets(record.offset, &event, &effect).await?;
        if targets.is_empty() {
            return Ok(());
        }
        let body = self.open(&event).await?;
        let position = Position {
            stream: StreamId::Messages,
            partition: self.partition,
            epoch: self.deps.log.epoch(),
            offset: record.offset,
        };
        let out = InboxEvent {
            offset: record.offset,
            room: event.room,
            seq: event.seq,
            effect,
            frame: event_frame(&event, body.as_ref(), position),
        };
        for instance in targets {
            outgoing.entry(instance).or_default().push(out.clone());
        }
        Ok(())
    }

    async fn targets(
        &mut self,
        offset: Offset,
        event: &TimelineEvent,
        effect: &Effect,
    ) -> PortResult<Vec<InstanceId>> {
        // The only instance looks into its own tables: no second copy of them here.
        if self.instances.len() == 1 {
            self.rooms = ActiveRooms::default();
            return Ok(self.instances.ids().collect());
        }
        let at = EventAt { partition: self.partition, offset, room: event.room, seq: event.seq };
        let store = &*self.deps.metadata;
        let members = self.rooms.members_at(store, at, effect).await?;
        let targets = match members {
            Some(members) => self.instances.with_any(members).collect(),
            None => self.instances.ids().collect(),
        };
        self.rooms.after(store, event.room, effect).await?;
        Ok(targets)
    }

    async fn open(&self, event: &TimelineEvent) -> PortResult<Option<MessageBody>> {
        let sealed = match &event.change {
            Change::MessageSent(sent) => &sent.body,
            Change::MessageEdited { body, .. } => body,
            _ => return Ok(None),
        };
        let place = Place::Timeline(event.room, event.seq);
        match self.deps.key_ring.open_body(place, sealed).await {
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                let (room, seq) = (event.room, event.seq.0);
                tracing::error!(room.id = %room, event.seq = seq, %error, "words do not open");
                Ok(None)
            }
            body => body,
        }
    }

    async fn publish(&mut self, instance: InstanceId, events: Vec<InboxEvent>) -> PortResult<()> {
        let Some(link) = self.links.get_mut(&instance) else { return Ok(()) };
        let tells_nothing = u64::from(events.is_empty());
        let frame = InboxFrame {
            partition: self.partition,
            epoch: self.deps.log.epoch(),
            owner: self.owner,
            prev: link.through,
            through: self.at,
            presence: self.presence,
            events,
        };
        self.deps.bus.publish(&link.subject, frame.encode()).await?;
        link.through = self.at;
        link.presence = self.presence;
        link.sent = Instant::now();
        self.stats.publishes.fetch_add(1, Ordering::Relaxed);
        self.stats.heartbeats.fetch_add(tells_nothing, Ordering::Relaxed);
        Ok(())
    }
}
