use std::sync::Arc;
use std::time::Duration;

use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::permission::Actor;
use klatch_domain::presence::{Choice, Status};
use klatch_domain::room::{Room, RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{Clock as _, InstanceId, Rejection, RoomId, Seq, Timestamp, UserId};
use klatch_memory::bus::MemoryBus;
use klatch_memory::kv::MemoryKv;
use klatch_memory::metadata::MetadataStore;
use klatch_memory::whereabouts::MemoryWhereabouts;
use klatch_ports::api::ServiceError;
use klatch_ports::api::presence::{PresenceApi as _, StatusWords};
use klatch_ports::bus::{BusSubscriber as _, Subscription};
use klatch_ports::kv::KvWriter as _;
use klatch_ports::messages::Applied;
use klatch_ports::metadata::{MetadataCommit, MetadataWriter as _};
use klatch_ports::position::{Epoch, Offset};
use klatch_ports::whereabouts::{Whereabouts, WhereaboutsStore as _};
use klatch_protocol::presence::{
    TYPING_SUBJECTS, TypingNote, device_key, device_value, typing_subject,
};
use klatch_testkit::ManualClock;

use crate::{Deps, PresenceConfig, PresenceService};

const ANN: UserId = UserId::from_bits(1);
const BEN: UserId = UserId::from_bits(2);
const ROOM: RoomId = RoomId::from_bits(9);

struct World {
    kv: MemoryKv,
    whereabouts: Arc<MemoryWhereabouts>,
    clock: ManualClock,
    service: PresenceService,
    typing: Box<dyn Subscription>,
}

fn actor(user: UserId) -> Actor {
    Actor { user, role: ServerRole::Member }
}

/// A private room of ann's that claims to have so many members.
async fn world(member_count: u64) -> World {
    let (kv, bus, metadata) =
        (MemoryKv::default(), MemoryBus::default(), Arc::new(MetadataStore::new()));
    let room = Room {
        id: ROOM,
        kind: RoomType::Group,
        visibility: Visibility::Private,
        texts: RoomTexts::default(),
        created_by: ANN,
        created_at: Timestamp(0),
        archived: false,
        deleted: false,
        member_count,
        changed_seq: Seq(7),
    };
    let stay = Membership {
        user: ANN,
        role: MemberRole::Owner,
        joined_at: Timestamp(0),
        joined_seq: Seq(1),
        left_seq: None,
        read_floor: 0,
    };
    let commit = MetadataCommit {
        applied: Applied { epoch: Epoch(1), offset: Offset(1) },
        rooms: vec![(room, None)],
        members: vec![(ROOM, stay)],
        ..MetadataCommit::default()
    };
    metadata.commit(commit).await.unwrap();
    let (clock, whereabouts) = (ManualClock::default(), Arc::new(MemoryWhereabouts::default()));
    let typing = bus.subscribe(TYPING_SUBJECTS).await.unwrap();
    let deps = Deps {
        kv: Arc::new(kv.clone()),
        whereabouts: whereabouts.clone(),
        bus: Arc::new(bus),
        rooms: metadata.clone(),
        members: metadata,
        clock: Arc::new(clock.clone()),
    };
    let service = PresenceService::new(deps, PresenceConfig::default());
    World { kv, whereabouts, clock, service, typing }
}

impl World {
    async fn types(&self, is_typing: bool) {
        self.service.typing(actor(ANN), ROOM, is_typing).await.unwrap();
    }

    fn told(&mut self) -> Vec<bool> {
        let mut told = Vec::new();
        while let Some((subject, note)) = self.typing.try_next() {
            assert_eq!(subject, typing_subject(ROOM));
            let note = TypingNote::decode(note).unwrap();
            assert_eq!((note.user, note.changed_seq), (ANN, Seq(7)));
            told.push(note.is_typing);
        }
        told
    }

    async fn status(&self) -> Status {
        let views = self.service.presence(&[ANN]).await.unwrap();
        views[0].presence.status
    }
}

#[tokio::test(start_paused = true)]
async fn typing_is_told_at_most_once_in_three_seconds() {
    let mut world = world(2).await;
    for _ in 0..120 {
        world.types(true).await;
        tokio::time::advance(Duration::from_millis(250)).await;
    }
    assert_eq!(world.told(), [true; 10]);
    world.types(false).await;
    world.types(false).await;
    assert_eq!(world.told(), [false]);
}

#[tokio::test(start_paused = true)]
async fn in_rooms_above_the_limit_nobody_is_told_and_nobody_is_refused() {
    let mut largest = world(500).await;
    largest.types(true).await;
    assert_eq!(largest.told(), [true]);
    let mut too_large = world(501).await;
    too_large.types(true).await;
    assert!(too_large.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_send_may_not_type_and_nobody_hears_of_it() {
    let mut world = world(2).await;
    for room in [ROOM, RoomId::from_bits(10)] {
        let refused = world.service.typing(actor(BEN), room, true).await;
        let Err(ServiceError::Rejected(Rejection::RoomNotFound)) = refused else {
            panic!("{refused:?}")
        };
    }
    assert!(world.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn devices_that_are_not_renewed_are_gone_after_their_time() {
    let world = world(2).await;
    let ttl = Duration::from_mins(2);
    for (instance, status) in [(1, Status::Dnd), (2, Status::Away)] {
        let key = device_key(ANN, InstanceId::from_bits(instance));
        world
            .kv
            .put(&key, device_value(status), Some(ttl * u32::try_from(instance).unwrap()))
            .await
            .unwrap();
    }
    assert_eq!(world.status().await, Status::Dnd);
    tokio::time::advance(ttl).await;
    assert_eq!(world.status().await, Status::Away);
    tokio::time::advance(ttl).await;
    assert_eq!(world.status().await, Status::Offline);
}

#[tokio::test(start_paused = true)]
async fn a_choice_is_over_when_it_ends_and_words_leave_the_status() {
    let world = world(2).await;
    let now = world.clock.now();
    let choice = Choice { status: Some(Status::Dnd), ..Choice::default() };
    world.service.choose(actor(ANN), choice).await.unwrap();
    let words = StatusWords {
        text: Some("at lunch".to_owned()),
        emoji: None,
        until: Some(now.plus_ms(60_000)),
    };
    world.service.say_status(actor(ANN), words).await.unwrap();
    let own = world.service.own_presence(actor(ANN)).await.unwrap();
    assert_eq!(own.chosen, Some(Status::Dnd));
    assert_eq!(own.view.presence.text.as_deref(), Some("at lunch"));
    world.clock.advance(Duration::from_mins(1));
    let own = world.service.own_presence(actor(ANN)).await.unwrap();
    assert_eq!((own.chosen, own.view.presence.text), (None, None));
    world.service.choose(actor(ANN), Choice::default()).await.unwrap();
    let known = world.whereabouts.whereabouts(ANN).await.unwrap();
    assert_eq!(known, Whereabouts::default(), "an empty choice takes no place");
    assert!(world.kv.is_empty());
}
