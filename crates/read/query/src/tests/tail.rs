use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use klatch_domain::room::Visibility;
use klatch_domain::{Message, RoomId, Seq, Timestamp, UserId};
use klatch_memory::messages::MessageStore;
use klatch_ports::api::queries::{HistoryFrom, MessageView, QueryApi};
use klatch_ports::messages::{Applied, MessagePlace, MessageReader, Range, StoredHead};
use klatch_ports::{Offset, Partition, PortResult};
use proptest::prelude::*;

use super::world::{ANN, World, actor, room, stay};
use crate::Query;

const HERE: RoomId = RoomId::from_bits(7);

/// Counts what is read of rows, and lets others run in the middle of it.
struct Counting {
    store: Arc<MessageStore>,
    heads: AtomicUsize,
    pages: AtomicUsize,
}

impl Counting {
    fn new(store: &Arc<MessageStore>) -> Arc<Self> {
        Arc::new(Self { store: Arc::clone(store), heads: 0.into(), pages: 0.into() })
    }

    /// Heads and pages read since the last call.
    fn reads(&self) -> (usize, usize) {
        (self.heads.swap(0, Ordering::Relaxed), self.pages.swap(0, Ordering::Relaxed))
    }
}

#[async_trait]
impl MessageReader for Counting {
    async fn applied(&self, partition: Partition) -> PortResult<Applied> {
        self.store.applied(partition).await
    }

    async fn wait_applied(&self, p: Partition, to: Offset, most: Duration) -> PortResult<bool> {
        self.store.wait_applied(p, to, most).await
    }

    async fn history(&self, room: RoomId, range: Range, limit: usize) -> PortResult<Vec<Message>> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.store.history(room, range, limit).await
    }

    async fn message(&self, room: RoomId, seq: Seq) -> PortResult<Option<Message>> {
        self.store.message(room, seq).await
    }

    async fn head(&self, room: RoomId) -> PortResult<Option<StoredHead>> {
        self.heads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.store.head(room).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> PortResult<Vec<Option<StoredHead>>> {
        self.store.heads(rooms).await
    }

    async fn by_external(&self, external: u128) -> PortResult<Option<(RoomId, Seq)>> {
        self.store.by_external(external).await
    }

    async fn of_person(
        &self,
        person: UserId,
        after: Option<MessagePlace>,
        look: usize,
    ) -> PortResult<(Vec<Message>, Option<MessagePlace>)> {
        self.store.of_person(person, after, look).await
    }
}

async fn world() -> World {
    let world = World::new();
    world.put_rooms(&[room(7, Visibility::Private)], &[(7, stay(ANN, None))]).await;
    world
}

async fn say(world: &World, seq: u64) {
    world.put_messages(vec![world.message(HERE, seq, Some(seq)).await]).await;
}

async fn read(query: &Query, range: Range, limit: usize) -> (Vec<MessageView>, Option<String>) {
    let from = HistoryFrom::Range(range);
    let page = query.history(actor(ANN), HERE, from, limit, &[]).await.unwrap();
    (page.items.iter().map(|shown| shown.view.clone()).collect(), page.next)
}

#[tokio::test]
async fn a_thousand_simultaneous_readers_cost_one_read_and_none_when_nothing_happened() {
    let world = world().await;
    for seq in 1..=60 {
        say(&world, seq).await;
    }
    let store = Counting::new(&world.messages);
    let query = world.another(store.clone(), 1 << 20);
    let thousand = || join_all((0..1_000).map(|_| read(&query, Range::Latest, 50)));
    assert!(thousand().await.iter().all(|(items, next)| items.len() == 50 && next.is_some()));
    assert_eq!(store.reads(), (2, 2), "the first for itself; a head before the rows and after");
    thousand().await;
    assert_eq!(store.reads(), (0, 0), "nothing happened");
    world.put_rooms(&[], &[]).await;
    let other = world.message(RoomId::from_bits(8), 1, Some(1)).await;
    world.put_messages(vec![other]).await;
    thousand().await;
    assert_eq!(store.reads(), (1, 0), "another room went on");
    say(&world, 61).await;
    let newest = thousand().await.into_iter().map(|(items, _)| items[0].message.seq);
    assert!(newest.eq(std::iter::repeat_n(Seq(61), 1_000)));
    assert_eq!(store.reads(), (2, 1));
}

#[tokio::test]
async fn what_is_beyond_the_tail_is_read_from_the_store() {
    let world = world().await;
    for seq in 1..=120 {
        say(&world, seq).await;
    }
    let store = Counting::new(&world.messages);
    let query = world.another(store.clone(), 1 << 20);
    read(&query, Range::Latest, 50).await;
    assert_eq!(store.reads(), (0, 1), "read once");
    read(&query, Range::Latest, 50).await;
    store.reads();
    assert_eq!(read(&query, Range::Before(Seq(100)), 20).await.0.len(), 20);
    assert_eq!(store.reads(), (0, 0), "within the tail");
    assert_eq!(read(&query, Range::Before(Seq(100)), 50).await.0.len(), 50);
    assert_eq!(read(&query, Range::Latest, 200).await.0.len(), 120);
    assert_eq!(read(&query, Range::After(Seq(3)), 5).await.0[0].message.seq, Seq(8));
    assert_eq!(store.reads(), (0, 3));
}

#[derive(Clone, Debug)]
enum Step {
    Say,
    Edit(u64),
    Delete(u64),
    Wipe,
    Read(Range, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let seq = 0u64..90;
    prop_oneof![
        4 => Just(Step::Say),
        1 => seq.clone().prop_map(Step::Edit),
        1 => seq.clone().prop_map(Step::Delete),
        1 => Just(Step::Wipe),
        3 => (1usize..70).prop_map(|limit| Step::Read(Range::Latest, limit)),
        2 => (seq.clone(), 1usize..70)
            .prop_map(|(seq, limit)| Step::Read(Range::Before(Seq(seq)), limit)),
        2 => (seq, 1usize..70).prop_map(|(seq, limit)| Step::Read(Range::After(Seq(seq)), limit)),
    ]
}

/// Changes the message `seq`, if there is one, by the event `last`.
async fn change(world: &World, seq: u64, last: u64, with: impl FnOnce(&mut Message)) {
    let Some(mut message) = world.messages.message(HERE, Seq(seq)).await.unwrap() else { return };
    with(&mut message);
    assert!(last > seq);
    world.put_messages(vec![message]).await;
}

async fn take(world: &World, query: &Query, steps: &[Step]) {
    let mut last = 60;
    for seq in 1..=last {
        say(world, seq).await;
    }
    for step in steps {
        last += 1;
        match step {
            Step::Say => say(world, last).await,
            Step::Edit(seq) => {
                let words = world.message(HERE, last, None).await.body.unwrap();
                let edit = |message: &mut Message| message.edit(&words, Timestamp(1), Seq(last));
                change(world, *seq, last, edit).await;
            }
            Step::Delete(seq) => {
                let delete = |message: &mut Message| message.delete(Timestamp(1), Seq(last));
                change(world, *seq, last, delete).await;
            }
            Step::Wipe => query.forget(ANN),
            Step::Read(range, limit) => {
                let fresh = world.another(world.messages.clone(), 0);
                let expected = read(&fresh, *range, *limit).await;
                assert_eq!(read(query, *range, *limit).await, expected, "{step:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Tails of any size, kept over any changes, show what the store shows.
    #[test]
    fn a_tail_never_differs_from_the_store(
        steps in prop::collection::vec(step(), 1..60),
        tail_bytes in prop_oneof![Just(0), Just(20_000), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = world().await;
            let query = world.another(world.messages.clone(), tail_bytes);
            take(&world, &query, &steps).await;
        });
    }
}
