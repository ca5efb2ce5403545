//! A server's write side in memory: log, stores, workers, and any number of command instances.

use std::sync::Arc;

use async_trait::async_trait;
use klatch_command::{CommandConfig, CommandService, Deps};
use klatch_domain::event::{Event, UserChange, UserEvent};
use klatch_domain::member::MemberRole;
use klatch_domain::permission::Actor;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::{Profile, ServerRole};
use klatch_domain::{Clock, Entropy, Rejection, RoomId, Timestamp, UserId};
use klatch_memory::{accounts::Accounts, key_index::MemoryKeyIndex, keys::Keys, log::MemoryLog};
use klatch_memory::{messages::MessageStore, metadata::MetadataStore};
use klatch_ports::api::auth::{NewUser, Provisioner};
use klatch_ports::api::commands::{CommandApi, CreateRoom, SendMessage};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::keys::{KeyReader, KeyWriter};
use klatch_ports::log::{Append, EventAppender, Expected, LogReader};
use klatch_ports::messages::MessageReader;
use klatch_ports::{Epoch, Partition, Position, StreamId};
use klatch_protocol::event;
use klatch_protocol::sealed::{KeyRing, PersonCipher};
use klatch_pump::{DeadLetters, Projection, ProjectionConfig, Projector};
use klatch_testkit::{ManualClock, SeededEntropy};
use klatch_workers::{MessageWriterProjector, MetaWriterProjector};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub(crate) struct World {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) messages: Arc<MessageStore>,
    pub(crate) metadata: Arc<MetadataStore>,
    pub(crate) clock: ManualClock,
    pub(crate) keys: Arc<Keys>,
    pub(crate) ring: Arc<KeyRing>,
    accounts: Arc<Accounts>,
    entropy: Arc<SeededEntropy>,
    _stop: DropGuard,
}

/// These tests bring no users in from elsewhere.
struct NoProvisioner;

#[async_trait]
impl Provisioner for NoProvisioner {
    async fn provision(
        &self,
        users: Vec<NewUser>,
    ) -> ServiceResult<Vec<Result<(UserId, Position), Rejection>>> {
        Ok(users.iter().map(|_| Err(Rejection::AdminOnly)).collect())
    }
}

impl World {
    /// An empty world; its workers run until it is dropped.
    pub(crate) fn new(seed: u64) -> Self {
        let clock = ManualClock::at(Timestamp(1_800_000_000_000));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let log = Arc::new(MemoryLog::new(Epoch(7), 1, Arc::new(clock.clone())));
        let keys = Arc::new(Keys::new(entropy.clone()));
        let stop = CancellationToken::new();
        let world = Self {
            ring: Arc::new(KeyRing::new(keys.clone(), 64)),
            messages: Arc::new(MessageStore::new()),
            metadata: Arc::new(MetadataStore::new()),
            accounts: Arc::new(Accounts::new()),
            clock,
            keys,
            entropy,
            log,
            _stop: stop.clone().drop_guard(),
        };
        let (messages, metadata) = (world.messages.clone(), world.metadata.clone());
        world.project(Arc::new(MessageWriterProjector::new(messages.clone(), messages)), &stop);
        world.project(Arc::new(MetaWriterProjector::new(metadata.clone(), metadata)), &stop);
        world
    }

    fn project(&self, projector: Arc<dyn Projector>, stop: &CancellationToken) {
        let dead = DeadLetters::new(self.log.clone(), self.entropy.clone());
        let config = ProjectionConfig::default();
        let log = self.log.clone();
        let projection = Projection::new(projector, Partition(0), log, dead, config);
        let stop = stop.clone();
        tokio::spawn(async move { projection.run(stop).await });
    }

    /// A command instance of its own, as another process would have it.
    pub(crate) async fn instance(&self) -> Arc<CommandService> {
        self.instance_on(self.log.clone()).await
    }

    pub(crate) async fn instance_on(&self, log: Arc<dyn EventAppender>) -> Arc<CommandService> {
        self.instance_with(log, Arc::default()).await
    }

    /// One whose index of keys follows the log, and forgets, until the guard is dropped.
    pub(crate) async fn feeding_instance(
        &self,
        index: Arc<MemoryKeyIndex>,
    ) -> (Arc<CommandService>, DropGuard) {
        let service = self.instance_with(self.log.clone(), index).await;
        let (feeder, stop) = (service.key_feeder(), CancellationToken::new());
        let stopped = stop.clone();
        tokio::spawn(async move { feeder.run(stopped).await });
        (service, stop.drop_guard())
    }

    async fn instance_with(
        &self,
        log: Arc<dyn EventAppender>,
        key_index: Arc<MemoryKeyIndex>,
    ) -> Arc<CommandService> {
        let service = CommandService::new(
            Deps {
                log,
                reader: self.log.clone(),
                messages: self.messages.clone(),
                metadata: self.metadata.clone(),
                claims: self.accounts.clone(),
                key_ring: self.ring.clone(),
                key_index,
                provisioner: Arc::new(NoProvisioner),
                clock: Arc::new(self.clock.clone()),
                entropy: self.entropy.clone(),
                config: CommandConfig::default(),
            },
            TaskTracker::new(),
        );
        service.key_feeder().catch_up().await.expect("the key index catches up");
        Arc::new(service)
    }

    /// A registered person.
    pub(crate) async fn person(&self, name: &str) -> Actor {
        let user = UserId::fresh(&self.clock, &*self.entropy);
        self.keys.create(&[user]).await.expect("a key");
        let key = self.keys.key(user).await.expect("a key").expect("a key");
        let profile = Profile {
            username: name.to_owned(),
            display_name: name.to_owned(),
            email: None,
            avatar: None,
        };
        let entropy: &dyn Entropy = &*self.entropy;
        let profile = PersonCipher::new(user, &key).seal_profile(&profile, entropy);
        let role = ServerRole::Member;
        let change = UserChange::Registered { profile, bot: false, role, external: None };
        let event = Event::User(UserEvent { user, at: self.clock.now(), change });
        let append = Append {
            stream: StreamId::Meta,
            key: event::key(&event),
            expected: Expected::Head(None),
            records: [event::encode(&event)].into_iter().collect(),
        };
        self.log.append(append).await.expect("registered");
        Actor { user, role }
    }

    /// All events of a room, decoded, in log order.
    pub(crate) async fn timeline(&self, room: RoomId) -> Vec<klatch_domain::TimelineEvent> {
        let (stream, partition) = (StreamId::Messages, Partition(0));
        let mut events = Vec::new();
        let mut at = klatch_ports::Offset::ZERO;
        loop {
            let batch = self.log.read(stream, partition, at, 1000).await.expect("the log");
            if batch.through == at {
                return events;
            }
            at = batch.through;
            for record in batch.records {
                match event::decode(record.body).expect("an event") {
                    Event::Timeline(event) if event.room == room => events.push(event),
                    Event::Timeline(_) | Event::User(_) => {}
                }
            }
        }
    }

    /// Waits until the stores hold everything on the log.
    pub(crate) async fn settle(&self) {
        let end = self.log.end(StreamId::Messages, Partition(0)).await.expect("the log");
        let most = std::time::Duration::from_secs(5);
        assert!(self.messages.wait_applied(Partition(0), end, most).await.expect("messages"));
        let metadata: &dyn klatch_ports::metadata::MetadataProgress = &*self.metadata;
        assert!(metadata.wait_applied(Partition(0), end, most).await.expect("metadata"));
    }
}

pub(crate) fn text(content: &str) -> SendMessage {
    SendMessage { content: content.to_owned(), ..SendMessage::default() }
}

pub(crate) fn keyed(content: &str, key: &str) -> SendMessage {
    SendMessage { client_key: Some(key.to_owned()), ..text(content) }
}

pub(crate) async fn channel(
    commands: &CommandService,
    owner: Actor,
    name: &str,
    visibility: Visibility,
    others: &[Actor],
) -> RoomId {
    let wish = CreateRoom {
        kind: RoomType::Channel,
        visibility,
        texts: RoomTexts { name: Some(name.to_owned()), ..RoomTexts::default() },
        members: others.iter().map(|actor| actor.user).collect(),
    };
    commands.create_room(owner, wish).await.expect("a channel").room.id
}

/// The refusal in an answer.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: ServiceResult<T>) -> Rejection {
    match answer {
        Err(ServiceError::Rejected(rejection)) => rejection,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(crate) const MEMBER: MemberRole = MemberRole::Member;
