//! Everything around the role: log, stores, bus, tokens, a writer of events, and a server.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use klatch_domain::event::{
    Change, Event, MessageSent, RoomCreated, TimelineEvent, UserChange, UserEvent,
};
use klatch_domain::member::MemberRole;
use klatch_domain::message::MessageBody;
use klatch_domain::permission::Actor;
use klatch_domain::room::{Room, RoomTexts, RoomTextsPatch, RoomType, Visibility};
use klatch_domain::scope::Scopes;
use klatch_domain::user::{Profile, ServerRole, User};
use klatch_domain::{
    Clock, ContentType, Entropy, InstanceId, MessageId, Ordinal, Rejection, RoomId, Seq, Timestamp,
    UserId,
};
use klatch_limits::{Limiter, Policy};
use klatch_memory::bus::MemoryBus;
use klatch_memory::keys::Keys;
use klatch_memory::kv::MemoryKv;
use klatch_memory::log::MemoryLog;
use klatch_memory::messages::MessageStore;
use klatch_memory::metadata::MetadataStore;
use klatch_memory::whereabouts::MemoryWhereabouts;
use klatch_ports::api::auth::{Credential, Identity, TokenError, TokenVerifier};
use klatch_ports::api::commands::{
    Changed, CommandApi, CreateRoom, Reply, RoomMade, SendMessage, Sent,
};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::keys::KeyWriter;
use klatch_ports::kv::{KvWriter, Revision};
use klatch_ports::log::{Append, EventAppender, Expected, LogReader};
use klatch_ports::messages::Applied;
use klatch_ports::metadata::{MetadataCommit, MetadataWriter, UserReader};
use klatch_ports::{
    Epoch, ErrorKind, Offset, Partition, PortError, PortResult, Position, StreamId,
};
use klatch_presence::{PresenceConfig, PresenceService};
use klatch_protocol::event::{decode, encode, key};
use klatch_protocol::sealed::{KeyRing, Place};
use klatch_pump::Projector;
use klatch_realtime::{Deps, Realtime, RealtimeConfig};
use klatch_sync::Sync;
use klatch_testkit::{BusFaults, FlakyBus, ManualClock, SeededEntropy};
use klatch_workers::MessageWriterProjector;
use parking_lot::Mutex;
use tokio::net::TcpListener;

pub(crate) const EPOCH: Epoch = Epoch(7);
pub(crate) const P0: Partition = Partition(0);

/// A user's stays in a room: from this seq to that one.
type Stays = Vec<(u64, Option<u64>)>;

/// What has happened, for judging what clients saw.
#[derive(Default)]
pub(crate) struct Model {
    heads: HashMap<RoomId, u64>,
    stays: HashMap<(RoomId, UserId), Stays>,
    /// Every event in log order.
    pub(crate) events: Vec<(Offset, RoomId, u64)>,
}

impl Model {
    pub(crate) fn is_inside(&self, room: RoomId, user: UserId, seq: u64) -> bool {
        let stays = self.stays.get(&(room, user)).map(Vec::as_slice).unwrap_or_default();
        stays.iter().any(|(from, to)| *from <= seq && to.is_none_or(|to| seq <= to))
    }

    pub(crate) fn is_member(&self, room: RoomId, user: UserId) -> bool {
        self.is_inside(room, user, u64::MAX)
    }

    /// What `user` must get of everything after `after`, in this order.
    pub(crate) fn due(&self, user: UserId, after: Offset) -> Vec<(RoomId, u64)> {
        let later = self.events.iter().filter(|(offset, ..)| *offset > after);
        let theirs = later.filter(|(_, room, seq)| self.is_inside(*room, user, *seq));
        theirs.map(|(_, room, seq)| (*room, *seq)).collect()
    }
}

/// Tokens are user ids; some are special.
#[derive(Default)]
pub(crate) struct Tokens {
    pub(crate) revoked: Mutex<HashSet<UserId>>,
    pub(crate) expiries: Mutex<HashMap<UserId, Timestamp>>,
}

#[async_trait]
impl TokenVerifier for Tokens {
    async fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        let user: UserId = token.parse().map_err(|_| TokenError::Invalid)?;
        let actor = Actor { user, role: ServerRole::Member };
        let expires_at = self.expiries.lock().get(&user).copied().unwrap_or(Timestamp::MAX);
        let identity = Identity {
            actor,
            credential: Credential::Issuer,
            scopes: Scopes::ALL,
            expires_at,
            bot: false,
        };
        self.recheck(&identity).map(|_| identity)
    }

    fn recheck(&self, identity: &Identity) -> Result<Actor, TokenError> {
        if self.revoked.lock().contains(&identity.actor.user) {
            return Err(TokenError::Revoked);
        }
        Ok(identity.actor)
    }
}

pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) bus: MemoryBus,
    pub(crate) flaky: FlakyBus,
    pub(crate) kv: MemoryKv,
    whereabouts: Arc<MemoryWhereabouts>,
    pub(crate) metadata: Arc<MetadataStore>,
    pub(crate) messages: Arc<MessageStore>,
    pub(crate) keys: Arc<KeyRing>,
    key_store: Arc<Keys>,
    pub(crate) clock: ManualClock,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) model: Mutex<Model>,
    pub(crate) tokens: Arc<Tokens>,
    /// How far the metadata store stays behind, in milliseconds.
    pub(crate) lag_ms: AtomicU64,
    /// How long commands wait for their answer, in milliseconds.
    pub(crate) slow_ms: AtomicU64,
    /// Presence cannot be written while set.
    pub(crate) kv_is_down: AtomicBool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let clock = ManualClock::default();
        let key_store = Arc::new(Keys::new(Arc::clone(&entropy) as Arc<dyn Entropy>));
        let bus = MemoryBus::default();
        let world = Arc::new(Self {
            log: MemoryLog::new(EPOCH, 1, Arc::new(clock.clone())),
            flaky: FlakyBus::new(Arc::new(bus.clone()), seed),
            bus,
            kv: MemoryKv::default(),
            whereabouts: Arc::default(),
            metadata: Arc::new(MetadataStore::new()),
            messages: Arc::default(),
            keys: Arc::new(KeyRing::new(Arc::clone(&key_store) as _, 100)),
            key_store,
            clock,
            entropy,
            model: Mutex::default(),
            tokens: Arc::default(),
            lag_ms: AtomicU64::new(0),
            slow_ms: AtomicU64::new(0),
            kv_is_down: AtomicBool::new(false),
        });
        tokio::spawn(write_metadata(Arc::clone(&world)));
        tokio::spawn(write_messages(Arc::clone(&world)));
        world
    }

    pub(crate) fn deps(self: &Arc<Self>) -> Deps {
        Deps {
            tokens: Arc::clone(&self.tokens) as _,
            commands: Arc::new(Commands(Arc::clone(self))),
            people: Arc::new(self.people()),
            bus: Arc::new(self.flaky.clone()),
            signals: Arc::new(self.bus.clone()),
            limits: self.limits(&Policy::OPEN),
            presence: Arc::new(Presence(Arc::clone(self))),
            log: Arc::new(self.log.clone()),
            metadata: Arc::clone(&self.metadata) as _,
            sync: Sync {
                log: Arc::new(self.log.clone()),
                metadata: Arc::clone(&self.metadata) as _,
                messages: Arc::clone(&self.messages) as _,
                activity: Arc::clone(&self.messages) as _,
            },
            keys: Arc::clone(&self.keys),
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::clone(&self.entropy) as _,
        }
    }

    /// How often each may speak.
    pub(crate) fn limits(&self, policy: &Policy) -> Arc<Limiter> {
        let (kv, clock) = (Arc::new(self.kv.clone()), Arc::new(self.clock.clone()));
        Arc::new(Limiter::new(*policy, kv, clock))
    }

    fn people(self: &Arc<Self>) -> PresenceService {
        let deps = klatch_presence::Deps {
            kv: Arc::new(self.kv.clone()),
            whereabouts: self.whereabouts.clone(),
            bus: Arc::new(self.bus.clone()),
            rooms: Arc::clone(&self.metadata) as _,
            members: Arc::clone(&self.metadata) as _,
            clock: Arc::new(self.clock.clone()),
        };
        PresenceService::new(deps, PresenceConfig::default())
    }

    pub(crate) fn faults(&self, faults: BusFaults) {
        self.flaky.set(faults);
    }

    fn append(&self, stream: StreamId, event: &Event) -> Position {
        let append = Append {
            stream,
            key: key(event),
            expected: Expected::Any,
            records: [encode(event)].into_iter().collect(),
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        // This log completes on the calling thread.
        self.log.submit(append, Box::new(move |outcome| sender.send(outcome).unwrap()));
        receiver.try_recv().unwrap().unwrap().first
    }

    /// A registered user with a name.
    pub(crate) async fn user(&self, name: &str) -> UserId {
        let user = UserId::fresh(&self.clock, &*self.entropy);
        self.key_store.create(&[user]).await.unwrap();
        let profile = Profile {
            username: name.to_owned(),
            display_name: name.to_uppercase(),
            email: None,
            avatar: None,
        };
        let cipher = self.keys.cipher(user).await.unwrap().unwrap();
        let change = UserChange::Registered {
            profile: cipher.seal_profile(&profile, &*self.entropy),
            bot: false,
            role: ServerRole::Member,
            external: None,
        };
        let at = self.clock.now();
        self.append(StreamId::Meta, &Event::User(UserEvent { user, at, change }));
        user
    }

    fn timeline(
        &self,
        model: &mut Model,
        room: RoomId,
        actor: UserId,
        change: impl FnOnce(Seq) -> Change,
    ) -> (Seq, Position) {
        let seq = model.heads.get(&room).copied().unwrap_or(0) + 1;
        let at = self.clock.now();
        let change = change(Seq(seq));
        match &change {
            Change::RoomCreated(created) => {
                for (user, _) in &created.members {
                    model.stays.entry((room, *user)).or_default().push((seq, None));
                }
            }
            Change::MemberJoined { user, .. } => {
                model.stays.entry((room, *user)).or_default().push((seq, None));
            }
            Change::MemberLeft { user } => {
                let stays = model.stays.entry((room, *user)).or_default();
                stays.last_mut().expect("was a member").1 = Some(seq);
            }
            _ => {}
        }
        let event = TimelineEvent { room, seq: Seq(seq), at, actor, change };
        let position = self.append(StreamId::Messages, &Event::Timeline(event));
        model.heads.insert(room, seq);
        model.events.push((position.offset, room, seq));
        (Seq(seq), position)
    }

    pub(crate) fn room(&self, members: &[UserId]) -> RoomId {
        let room = RoomId::fresh(&self.clock, &*self.entropy);
        let created = RoomCreated {
            kind: RoomType::Channel,
            visibility: Visibility::Private,
            texts: RoomTexts { name: Some("room".to_owned()), ..RoomTexts::default() },
            members: members.iter().map(|user| (*user, MemberRole::Member)).collect(),
            external: None,
        };
        let actor = members.first().copied().unwrap_or(UserId::from_bits(1));
        self.timeline(&mut self.model.lock(), room, actor, |_| Change::RoomCreated(created));
        room
    }

    pub(crate) fn join(&self, room: RoomId, user: UserId) -> Position {
        let (role, read_floor) = (MemberRole::Member, Ordinal(0));
        let change = Change::MemberJoined { user, role, read_floor };
        self.timeline(&mut self.model.lock(), room, user, |_| change).1
    }

    pub(crate) fn leave(&self, room: RoomId, user: UserId) -> Position {
        self.timeline(&mut self.model.lock(), room, user, |_| Change::MemberLeft { user }).1
    }

    pub(crate) fn delete_room(&self, room: RoomId, user: UserId) {
        self.timeline(&mut self.model.lock(), room, user, |_| Change::RoomDeleted);
    }

    pub(crate) fn say(&self, room: RoomId, user: UserId, text: &str) -> Sent {
        let cipher = self.keys.cached(user).expect("registered here");
        let at = self.clock.now();
        let body = MessageBody { content: text.to_owned(), ..MessageBody::default() };
        let mut model = self.model.lock();
        let mut id = MessageId::from_bits(0);
        let (seq, position) = self.timeline(&mut model, room, user, |seq| {
            id = MessageId::new(room, seq, at);
            let body = cipher.seal_body(Place::Timeline(room, seq), body, &*self.entropy);
            Change::MessageSent(MessageSent {
                id,
                ordinal: Some(Ordinal(seq.0)),
                content_type: ContentType::Text,
                body,
                key: None,
                external: None,
                reply_to: None,
                thread: None,
            })
        });
        let ordinal = Some(Ordinal(seq.0));
        Sent { message: id, room, seq, ordinal, at, position, replayed: false }
    }

    pub(crate) async fn end(&self) -> Offset {
        self.log.end(StreamId::Messages, P0).await.unwrap()
    }
}

/// The meta-writer, as lazy as the world says.
async fn write_metadata(world: Arc<World>) {
    let (mut after, store) = (Offset::ZERO, &world.metadata);
    loop {
        let lag = world.lag_ms.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(lag)).await;
        let batch = world.log.read(StreamId::Meta, P0, after, 7).await.unwrap();
        if batch.through == after {
            let wait = Duration::from_secs(1);
            world.log.wait(StreamId::Messages, P0, after, wait).await.unwrap();
            continue;
        }
        after = batch.through;
        for record in batch.records {
            let applied = Applied { epoch: EPOCH, offset: record.offset };
            let mut commit = MetadataCommit { partition: P0, applied, ..Default::default() };
            match decode(record.body).unwrap() {
                Event::User(event) => commit.users.push((registered(event), None)),
                Event::Timeline(event) => fold(store, &event, &mut commit).await,
            }
            store.commit(commit).await.unwrap();
        }
        let applied = Applied { epoch: EPOCH, offset: after };
        store.advance(P0, applied).await.unwrap();
    }
}

/// The message-writer, as lazy.
async fn write_messages(world: Arc<World>) {
    let store = &world.messages;
    let writer = MessageWriterProjector::new(Arc::clone(store) as _, Arc::clone(store) as _);
    let mut after = Offset::ZERO;
    loop {
        let lag = world.lag_ms.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(lag)).await;
        let batch = world.log.read(StreamId::Messages, P0, after, 70).await.unwrap();
        if batch.through == after {
            let wait = Duration::from_secs(1);
            world.log.wait(StreamId::Messages, P0, after, wait).await.unwrap();
            continue;
        }
        after = batch.through;
        let applied = Applied { epoch: EPOCH, offset: after };
        writer.apply(P0, applied, &batch.records).await.unwrap();
        writer.advance(P0, applied).await.unwrap();
    }
}

fn registered(event: UserEvent) -> User {
    let UserChange::Registered { profile, bot, role, .. } = event.change else {
        panic!("only registrations happen here")
    };
    User { id: event.user, bot, role, created_at: event.at, profile }
}

async fn fold(store: &MetadataStore, event: &TimelineEvent, commit: &mut MetadataCommit) {
    if let Some((room, members)) = Room::begun_by(event) {
        commit.rooms.push((room, None));
        commit.members.extend(members.into_iter().map(|member| (event.room, member)));
        return;
    }
    let mut room = store.load_room(event.room).await.unwrap().unwrap();
    match klatch_domain::fold::member_of(&event.change) {
        Some(user) => {
            let before = store.load_member(event.room, user).await.unwrap();
            let after = room.take_in_member(before.as_ref(), event);
            commit.members.extend(after.map(|stay| (event.room, stay)));
        }
        None => room.take_in(event),
    }
    commit.rooms.push((room, None));
}

/// The KV, unless it is down.
struct Presence(Arc<World>);

impl Presence {
    fn up(&self) -> PortResult<&MemoryKv> {
        let down = self.0.kv_is_down.load(Ordering::Relaxed);
        let error = PortError::new(ErrorKind::Unavailable, "kv", "put");
        if down { Err(error) } else { Ok(&self.0.kv) }
    }
}

#[async_trait]
impl KvWriter for Presence {
    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> PortResult<Revision> {
        self.up()?.put(key, value, ttl).await
    }

    async fn put_if(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
        expected: Option<Revision>,
    ) -> PortResult<Option<Revision>> {
        self.up()?.put_if(key, value, ttl, expected).await
    }

    async fn delete(&self, key: &str) -> PortResult<Revision> {
        self.up()?.delete(key).await
    }
}

/// Commands straight to the log: rules are another role's business.
struct Commands(Arc<World>);

fn refused<T>() -> ServiceResult<T> {
    Err(ServiceError::Rejected(Rejection::RoomNotFound))
}

#[async_trait]
impl CommandApi for Commands {
    fn submit_message(&self, actor: Actor, room: RoomId, message: SendMessage, reply: Reply<Sent>) {
        let world = Arc::clone(&self.0);
        if !world.model.lock().is_member(room, actor.user) {
            return reply(refused());
        }
        // Appended in the order of submission; answered when it pleases.
        let sent = world.say(room, actor.user, &message.content);
        let slow = world.slow_ms.load(Ordering::Relaxed);
        if slow == 0 {
            return reply(Ok(sent));
        }
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(slow)).await;
            reply(Ok(sent));
        });
    }

    async fn send_message(&self, _: Actor, _: RoomId, _: SendMessage) -> ServiceResult<Sent> {
        refused()
    }

    async fn edit_message(
        &self,
        actor: Actor,
        room: RoomId,
        message: MessageId,
        content: String,
    ) -> ServiceResult<Changed> {
        let world = &self.0;
        let cipher = world.keys.cached(actor.user).expect("registered here");
        let body = MessageBody { content, ..MessageBody::default() };
        let at = world.clock.now();
        let (seq, position) = world.timeline(&mut world.model.lock(), room, actor.user, |seq| {
            Change::MessageEdited {
                message,
                body: cipher.seal_body(Place::Timeline(room, seq), body, &*world.entropy),
            }
        });
        Ok(Changed { room, seq, at, position })
    }

    async fn delete_message(
        &self,
        actor: Actor,
        room: RoomId,
        message: MessageId,
    ) -> ServiceResult<Changed> {
        let world = &self.0;
        let at = world.clock.now();
        let change = Change::MessageDeleted { message };
        let (seq, position) = world.timeline(&mut world.model.lock(), room, actor.user, |_| change);
        Ok(Changed { room, seq, at, position })
    }

    async fn create_room(&self, _: Actor, _: CreateRoom) -> ServiceResult<RoomMade> {
        refused()
    }

    async fn update_room(
        &self,
        _: Actor,
        _: RoomId,
        _: RoomTextsPatch,
        _: Option<Visibility>,
    ) -> ServiceResult<Changed> {
        refused()
    }

    async fn archive_room(&self, _: Actor, _: RoomId, _: bool) -> ServiceResult<Changed> {
        refused()
    }

    async fn delete_room(&self, _: Actor, _: RoomId) -> ServiceResult<Changed> {
        refused()
    }

    async fn join(&self, _: Actor, _: RoomId) -> ServiceResult<Changed> {
        refused()
    }

    async fn leave(&self, _: Actor, _: RoomId) -> ServiceResult<Changed> {
        refused()
    }

    async fn add_member(
        &self,
        _: Actor,
        _: RoomId,
        _: UserId,
        _: MemberRole,
    ) -> ServiceResult<Changed> {
        refused()
    }

    async fn remove_member(&self, _: Actor, _: RoomId, _: UserId) -> ServiceResult<Changed> {
        refused()
    }

    async fn change_role(
        &self,
        _: Actor,
        _: RoomId,
        _: UserId,
        _: MemberRole,
    ) -> ServiceResult<Changed> {
        refused()
    }
}

/// An instance of the role behind a listening socket.
pub(crate) struct Server {
    pub(crate) world: Arc<World>,
    pub(crate) realtime: Realtime,
    pub(crate) instance: InstanceId,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) async fn start(world: &Arc<World>, config: RealtimeConfig) -> Self {
        Self::start_on(world, world.deps(), config).await
    }

    pub(crate) async fn start_on(world: &Arc<World>, deps: Deps, config: RealtimeConfig) -> Self {
        let instance = InstanceId::fresh(&world.clock, &*world.entropy);
        let realtime = Realtime::start(deps, config, instance).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, realtime.clone()));
        Self { world: Arc::clone(world), realtime, instance, address }
    }

    /// A world, an instance and a fan-out in good order.
    pub(crate) async fn quick(config: RealtimeConfig) -> Self {
        let world = World::new(1);
        let server = Self::start(&world, config).await;
        crate::fan_out::FanOut::start(&server, 1);
        server
    }
}

async fn serve(listener: TcpListener, realtime: Realtime) {
    while let Ok((stream, _)) = listener.accept().await {
        let realtime = realtime.clone();
        let service = hyper::service::service_fn(move |request| {
            let realtime = realtime.clone();
            async move {
                let response = realtime.upgrade(request, "test-request").await;
                Ok::<_, std::convert::Infallible>(response.map(Full::new))
            }
        });
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}

/// The metadata store knows this user.
pub(crate) async fn known(world: &World, user: UserId) {
    while world.metadata.user(user).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
