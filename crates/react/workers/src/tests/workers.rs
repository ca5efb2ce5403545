//! Both workers behind the pump, on a log and stores in memory.

use std::sync::Arc;
use std::time::Duration;

use klatch_domain::event::{Change, TimelineEvent};
use klatch_domain::{Event, MessageId, RoomId, Seq, Timestamp, UserId};
use klatch_memory::log::MemoryLog;
use klatch_memory::messages::MessageStore;
use klatch_memory::metadata::MetadataStore;
use klatch_ports::log::{Append, EventAppender, Expected, Kind, LogReader, NewRecord};
use klatch_ports::messages::{MessageReader, Range};
use klatch_ports::metadata::{MemberReader, MetadataProgress, RoomReader, UserReader};
use klatch_ports::{Epoch, Offset, Partition, StreamId};
use klatch_protocol::{dead_letter, event};
use klatch_pump::{DeadLetters, Projection, ProjectionConfig, Projector};
use klatch_testkit::{ManualClock, SeededEntropy};
use smallvec::smallvec;
use tokio_util::sync::CancellationToken;

use super::story::tell;
use crate::{MessageWriterProjector, MetaWriterProjector};

const P0: Partition = Partition(0);
const ROOM: RoomId = RoomId::from_bits(0x200);

struct World {
    log: MemoryLog,
    messages: Arc<MessageStore>,
    metadata: Arc<MetadataStore>,
}

impl World {
    fn new() -> Self {
        let log = MemoryLog::new(Epoch(3), 1, Arc::new(ManualClock::default()));
        Self { log, messages: Arc::default(), metadata: Arc::default() }
    }

    async fn append(&self, event: &Event) -> Offset {
        self.append_record(event, event::encode(event)).await
    }

    async fn append_record(&self, about: &Event, record: NewRecord) -> Offset {
        let stream = match about {
            Event::Timeline(_) => StreamId::Messages,
            Event::User(_) => StreamId::Meta,
        };
        let (key, expected) = (event::key(about), Expected::Any);
        let append = Append { stream, key, expected, records: smallvec![record] };
        self.log.append(append).await.unwrap().last.offset
    }

    /// Runs both workers until each has come to `offset`.
    async fn run_to(&self, offset: Offset) {
        let shutdown = CancellationToken::new();
        let messages = MessageWriterProjector::new(self.messages.clone(), self.messages.clone());
        let metadata = MetaWriterProjector::new(self.metadata.clone(), self.metadata.clone());
        let run = |projector: Arc<dyn Projector>| {
            let log = Arc::new(self.log.clone());
            let dead = DeadLetters::new(log.clone(), Arc::new(SeededEntropy::new(1)));
            let config = ProjectionConfig { batch: 7, ..ProjectionConfig::default() };
            let projection = Projection::new(projector, P0, log, dead, config);
            let shutdown = shutdown.clone();
            tokio::spawn(async move { projection.run(shutdown).await })
        };
        let tasks = [run(Arc::new(messages)), run(Arc::new(metadata))];
        let most = Duration::from_mins(1);
        assert!(self.messages.wait_applied(P0, offset, most).await.unwrap(), "messages");
        assert!(self.metadata.wait_applied(P0, offset, most).await.unwrap(), "metadata");
        shutdown.cancel();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
}

/// A room with three messages; the second edited, the third deleted; and a guest who left.
fn history() -> Vec<Event> {
    let join_and_leave = [(0, 0, 0), (4, 0, 2), (4, 0, 2)];
    let messages = [(19, 0, 1), (19, 0, 2), (19, 0, 3), (10, 0, 1), (12, 0, 2)];
    tell(&[&join_and_leave[..], &messages[..]].concat())
}

#[tokio::test(start_paused = true)]
async fn both_read_models_tell_what_happened() {
    let world = World::new();
    let mut last = Offset::ZERO;
    for event in history() {
        last = world.append(&event).await;
    }
    world.run_to(last).await;

    let found = world.messages.history(ROOM, Range::Latest, 10).await.unwrap();
    let told: Vec<_> =
        found.iter().map(|m| (m.seq.0, m.edited.is_some(), m.deleted.is_some())).collect();
    assert_eq!(told, [(6, false, true), (5, true, false), (4, false, false)]);
    let head = world.messages.head(ROOM).await.unwrap().unwrap();
    assert_eq!((head.head.seq, head.head.ordinal.0, head.offset), (Seq(8), 3, last));

    assert_eq!(world.metadata.list_users(None, 10).await.unwrap().len(), 3);
    let room = world.metadata.room(ROOM).await.unwrap().unwrap();
    assert_eq!((room.member_count, room.changed_seq), (2, Seq(3)));
    let gone = world.metadata.membership(ROOM, UserId::from_bits(0x102)).await.unwrap().unwrap();
    assert_eq!((gone.joined_seq, gone.left_seq), (Seq(2), Some(Seq(3))));
    assert_eq!(world.metadata.applied(P0).await.unwrap().epoch, Epoch(3));
}

#[tokio::test(start_paused = true)]
async fn workers_stopped_and_begun_at_every_event_come_to_the_same_rows() {
    let (whole, halting) = (World::new(), World::new());
    let mut last = Offset::ZERO;
    for event in history() {
        last = whole.append(&event).await;
        halting.append(&event).await;
        halting.run_to(last).await;
    }
    whole.run_to(last).await;
    for range in [Range::Latest, Range::After(Seq(0))] {
        assert_eq!(
            whole.messages.history(ROOM, range, 50).await.unwrap(),
            halting.messages.history(ROOM, range, 50).await.unwrap()
        );
    }
    assert_eq!(
        whole.messages.head(ROOM).await.unwrap(),
        halting.messages.head(ROOM).await.unwrap()
    );
    assert_eq!(
        whole.metadata.room(ROOM).await.unwrap(),
        halting.metadata.room(ROOM).await.unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_or_applied_is_buried_and_the_rest_goes_on() {
    let world = World::new();
    let events = history();
    for event in &events {
        world.append(event).await;
    }
    let torn = NewRecord { kind: Kind::Send, body: b"\xff\xff".as_slice().into() };
    let torn = world.append_record(events.last().unwrap(), torn).await;
    let nowhere = MessageId::new(ROOM, Seq(2), Timestamp(1));
    let edit = Event::Timeline(TimelineEvent {
        room: ROOM,
        seq: Seq(9),
        at: Timestamp(1_700_000_000_999),
        actor: UserId::from_bits(0x100),
        change: Change::MessageDeleted { message: nowhere },
    });
    let edit = world.append(&edit).await;
    let last = world.append(&history()[0]).await;
    world.run_to(last).await;

    assert_eq!(world.messages.history(ROOM, Range::Latest, 10).await.unwrap().len(), 3);
    let system = world.log.read(StreamId::System, P0, Offset::ZERO, 10).await.unwrap();
    let letters = system.records.iter().map(|r| dead_letter::decode(&r.body).unwrap().unwrap());
    let buried: Vec<_> = letters.map(|l| (l.consumer, l.position.offset)).collect();
    let by = |offset| ("message-writer".to_owned(), offset);
    assert_eq!(buried, [by(torn), by(edit)]);
}
