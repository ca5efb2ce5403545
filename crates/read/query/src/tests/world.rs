//! Stores filled by hand, as the workers would fill them.

use std::sync::Arc;

use klatch_domain::event::{UserChange, UserEvent};
use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::message::MessageBody;
use klatch_domain::permission::Actor;
use klatch_domain::room::{Room, RoomHead, RoomTexts, RoomType, Visibility};
use klatch_domain::user::{Profile, ServerRole, User};
use klatch_domain::{
    ContentType, Event, Message, MessageId, Ordinal, RoomId, Seq, Timestamp, UserId,
};
use klatch_memory::keys::Keys;
use klatch_memory::log::MemoryLog;
use klatch_memory::messages::MessageStore;
use klatch_memory::metadata::MetadataStore;
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::keys::{KeyReader, KeyWriter};
use klatch_ports::log::{Append, EventAppender, Expected};
use klatch_ports::messages::{
    Applied, MessageCommit, MessageReader, MessageWriter, StayChange, StoredHead,
};
use klatch_ports::metadata::{MetadataCommit, MetadataWriter};
use klatch_ports::{Epoch, Offset, Partition, Position, StreamId};
use klatch_protocol::event;
use klatch_protocol::sealed::{KeyRing, PersonCipher, Place};
use klatch_testkit::{ManualClock, SeededEntropy};
use smallvec::smallvec;

use crate::{Deps, Directory, Query, QueryConfig};

pub(super) const P0: Partition = Partition(0);
pub(super) const EPOCH: Epoch = Epoch(9);
pub(super) const ANN: UserId = UserId::from_bits(1);
pub(super) const BEN: UserId = UserId::from_bits(2);

pub(super) struct World {
    pub(super) log: MemoryLog,
    pub(super) messages: Arc<MessageStore>,
    pub(super) metadata: Arc<MetadataStore>,
    pub(super) keys: Arc<Keys>,
    pub(super) directory: Arc<Directory>,
    pub(super) query: Query,
    entropy: SeededEntropy,
    /// Offset of the last commit; one commit an offset.
    offset: std::sync::atomic::AtomicU64,
}

pub(super) fn actor(user: UserId) -> Actor {
    Actor { user, role: ServerRole::Member }
}

/// The refusal of a service; panics on anything else.
pub(super) fn refusal<T: std::fmt::Debug>(answer: ServiceResult<T>) -> klatch_domain::Rejection {
    match answer {
        Err(ServiceError::Rejected(rejection)) => rejection,
        other => panic!("not a refusal: {other:?}"),
    }
}

pub(super) fn position(stream: StreamId, epoch: Epoch, offset: u64) -> Position {
    Position { stream, partition: P0, epoch, offset: Offset(offset) }
}

pub(super) fn stay(user: UserId, left: Option<u64>) -> Membership {
    Membership {
        user,
        role: MemberRole::Member,
        joined_at: Timestamp(5),
        joined_seq: Seq(1),
        left_seq: left.map(Seq),
        read_floor: 0,
    }
}

pub(super) fn room(n: u128, visibility: Visibility) -> Room {
    Room {
        id: RoomId::from_bits(n),
        kind: RoomType::Channel,
        visibility,
        texts: RoomTexts { name: Some(format!("room {n}")), ..RoomTexts::default() },
        created_by: ANN,
        created_at: Timestamp(1),
        archived: false,
        deleted: false,
        member_count: 1,
        changed_seq: Seq(1),
    }
}

impl World {
    pub(super) fn new() -> Self {
        let log = MemoryLog::new(EPOCH, 1, Arc::new(ManualClock::default()));
        let messages = Arc::new(MessageStore::new());
        let metadata = Arc::new(MetadataStore::new());
        let keys = Arc::new(Keys::new(Arc::new(SeededEntropy::new(1))));
        let ring = || Arc::new(KeyRing::new(keys.clone(), 64));
        let reader = Arc::new(log.clone());
        let directory = Directory::new(metadata.clone(), reader.clone(), ring(), 20);
        let directory = Arc::new(directory);
        let deps = Deps {
            messages: messages.clone(),
            activity: messages.clone(),
            metadata: metadata.clone(),
            log: reader,
            keys: ring(),
            directory: directory.clone(),
        };
        let query = Query::new(deps, QueryConfig::default());
        let (entropy, offset) = (SeededEntropy::new(2), 0.into());
        Self { log, messages, metadata, keys, directory, query, entropy, offset }
    }

    /// Another query role over the same stores, reading messages through `messages`.
    pub(super) fn another(&self, messages: Arc<dyn MessageReader>, tail_bytes: usize) -> Query {
        let deps = Deps {
            messages,
            activity: self.messages.clone(),
            metadata: self.metadata.clone(),
            log: Arc::new(self.log.clone()),
            keys: Arc::new(KeyRing::new(self.keys.clone(), 64)),
            directory: self.directory.clone(),
        };
        Query::new(deps, QueryConfig { tail_bytes, ..QueryConfig::default() })
    }

    fn next(&self) -> Applied {
        let before = self.offset.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Applied { epoch: EPOCH, offset: Offset(before + 1) }
    }

    pub(super) async fn put_rooms(&self, rooms: &[Room], members: &[(u128, Membership)]) {
        self.put_stays(members).await;
        let rooms = rooms.iter().map(|room| (room.clone(), None)).collect();
        let members =
            members.iter().map(|(room, stay)| (RoomId::from_bits(*room), stay.clone())).collect();
        let applied = self.next();
        let commit =
            MetadataCommit { partition: P0, applied, rooms, members, ..Default::default() };
        self.metadata.commit(commit).await.unwrap();
    }

    /// The members come into their rooms, and go out of them if they have left.
    async fn put_stays(&self, members: &[(u128, Membership)]) {
        let applied = self.next();
        let mut commit = MessageCommit { partition: P0, applied, ..MessageCommit::default() };
        for (room, member) in members {
            let (room, user, offset) = (RoomId::from_bits(*room), member.user, applied.offset);
            let inside = member.is_current();
            let head = RoomHead { seq: Seq(1), ..RoomHead::default() };
            commit.heads.push((room, StoredHead { head, offset }));
            commit.events.push((offset, room, head.active_at));
            commit.stays.push(StayChange { room, user, offset, inside });
        }
        self.messages.commit(commit).await.unwrap();
    }

    async fn cipher(&self, person: UserId) -> PersonCipher {
        self.keys.create(&[person]).await.unwrap();
        PersonCipher::new(person, &self.keys.key(person).await.unwrap().unwrap())
    }

    pub(super) async fn sealed_user(&self, n: u128, username: &str, shown: &str) -> User {
        let id = UserId::from_bits(n);
        let profile = Profile {
            username: username.to_owned(),
            display_name: shown.to_owned(),
            email: Some(format!("{username}@example.org")),
            avatar: None,
        };
        let profile = self.cipher(id).await.seal_profile(&profile, &self.entropy);
        User { id, bot: false, role: ServerRole::Member, created_at: Timestamp(1), profile }
    }

    pub(super) async fn put_user(&self, n: u128, username: &str, shown: &str) -> User {
        let user = self.sealed_user(n, username, shown).await;
        let (applied, users) = (self.next(), vec![(user.clone(), None)]);
        let commit = MetadataCommit { partition: P0, applied, users, ..MetadataCommit::default() };
        self.metadata.commit(commit).await.unwrap();
        user
    }

    /// A message of the room, its words `said <seq>`.
    pub(super) async fn message(&self, room: RoomId, seq: u64, ordinal: Option<u64>) -> Message {
        let place = Place::Timeline(room, Seq(seq));
        let body = MessageBody { content: format!("said {seq}"), ..MessageBody::default() };
        Message {
            id: MessageId::new(room, Seq(seq), Timestamp(1_000 + seq)),
            room,
            seq: Seq(seq),
            ordinal: ordinal.map(Ordinal),
            sender: ANN,
            content_type: ContentType::Text,
            body: Some(self.cipher(ANN).await.seal_body(place, body, &self.entropy)),
            reply_to: None,
            thread: None,
            created_at: Timestamp(1_000 + seq),
            edited: None,
            deleted: None,
        }
    }

    pub(super) async fn put_messages(&self, messages: Vec<Message>) {
        let applied = self.next();
        // Every change of a history is an event of the room, and moves its head.
        let room = messages.first().map(|message| message.room);
        let seq = Seq(applied.offset.0);
        let head =
            StoredHead { head: RoomHead { seq, ..RoomHead::default() }, offset: applied.offset };
        let heads = room.map(|room| (room, head)).into_iter().collect();
        let commit =
            MessageCommit { partition: P0, applied, messages, heads, ..Default::default() };
        self.messages.commit(commit).await.unwrap();
    }

    pub(super) async fn put_active(&self, heads: &[(u128, u64)]) {
        let head = |(room, active): &(u128, u64)| {
            let active_at = Timestamp(*active);
            let head = RoomHead { seq: Seq(1), active_at, ..RoomHead::default() };
            (RoomId::from_bits(*room), StoredHead { head, offset: Offset(1) })
        };
        let (applied, heads) = (self.next(), heads.iter().map(head).collect());
        let commit = MessageCommit { partition: P0, applied, heads, ..MessageCommit::default() };
        self.messages.commit(commit).await.unwrap();
    }

    pub(super) async fn append_registered(&self, user: &User) -> Position {
        let change = UserChange::Registered {
            profile: user.profile.clone(),
            bot: false,
            role: user.role,
            external: None,
        };
        self.append(&Event::User(UserEvent { user: user.id, at: user.created_at, change })).await
    }

    pub(super) async fn append(&self, event: &Event) -> Position {
        let stream = match event {
            Event::User(_) => StreamId::Meta,
            Event::Timeline(_) => StreamId::Messages,
        };
        let (key, records) = (event::key(event), smallvec![event::encode(event)]);
        let append = Append { stream, key, expected: Expected::Any, records };
        self.log.append(append).await.unwrap().last
    }

    /// What the messages store has applied.
    pub(super) async fn messages_at(&self) -> u64 {
        self.messages.applied(P0).await.unwrap().offset.0
    }
}
