use std::sync::Arc;

use klatch_domain::member::MemberRole;
use klatch_domain::room::{RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{MessageId, Rejection, RoomId, Seq, Timestamp};
use klatch_ports::ErrorKind;
use klatch_ports::api::ServiceError;
use klatch_ports::api::queries::{HistoryFrom, Page, QueryApi, Shown};
use klatch_ports::keys::KeyWriter;
use klatch_ports::messages::Range;
use proptest::prelude::*;

use super::world::{ANN, BEN, World, actor, refusal, room, stay};

const HERE: RoomId = RoomId::from_bits(7);

/// A private room with Ann in it, whose events are messages, thread replies (every third) and
/// others (every fifth).
async fn with_messages(count: u64) -> World {
    let world = World::new();
    world.put_rooms(&[room(7, Visibility::Private)], &[(7, stay(ANN, None))]).await;
    add_messages(&world, 1, count).await;
    world
}

async fn add_messages(world: &World, first: u64, last: u64) {
    let mut messages = Vec::new();
    for seq in (first..=last).filter(|seq| seq % 5 != 0) {
        let ordinal = (seq % 3 != 0).then_some(seq);
        messages.push(world.message(HERE, seq, ordinal).await);
    }
    world.put_messages(messages).await;
}

/// Seqs of the main history up to `last`, oldest first.
fn main_history(last: u64) -> Vec<u64> {
    (1..=last).filter(|seq| seq % 5 != 0 && seq % 3 != 0).collect()
}

async fn page(world: &World, from: HistoryFrom, limit: usize) -> Page<Arc<Shown>> {
    world.query.history(actor(ANN), HERE, from, limit, &[]).await.unwrap()
}

fn seqs(page: &Page<Arc<Shown>>) -> Vec<u64> {
    page.items.iter().map(|shown| shown.view.message.seq.0).collect()
}

#[tokio::test]
async fn latest_history_is_newest_first_with_words_opened() {
    let world = with_messages(11).await;
    let page = page(&world, HistoryFrom::Range(Range::Latest), 50).await;
    assert_eq!(seqs(&page), [11, 8, 7, 4, 2, 1]);
    assert_eq!(page.next, None);
    let words: Vec<_> =
        page.items.iter().map(|shown| shown.view.body.as_ref().unwrap().content.clone()).collect();
    assert_eq!(words[..2], ["said 11", "said 8"]);
}

#[tokio::test]
async fn pages_after_a_seq_hold_the_oldest_newest_first_and_go_on_upward() {
    let world = with_messages(11).await;
    let first = page(&world, HistoryFrom::Range(Range::After(Seq(1))), 2).await;
    assert_eq!(seqs(&first), [4, 2]);
    let second = page(&world, HistoryFrom::Cursor(first.next.unwrap()), 2).await;
    assert_eq!(seqs(&second), [8, 7]);
    let third = page(&world, HistoryFrom::Cursor(second.next.unwrap()), 2).await;
    assert_eq!((seqs(&third), third.next), (vec![11], None));
}

#[tokio::test]
async fn deleted_messages_are_tombstones_and_edited_ones_show_their_newest_words() {
    let world = with_messages(2).await;
    let mut deleted = world.message(HERE, 1, Some(1)).await;
    deleted.delete(Timestamp(9_000), Seq(3));
    let mut edited = world.message(HERE, 2, Some(2)).await;
    let words = world.message(HERE, 4, None).await.body.unwrap();
    edited.edit(&words, Timestamp(9_001), Seq(4));
    world.put_messages(vec![deleted, edited]).await;
    let page = page(&world, HistoryFrom::Range(Range::Latest), 50).await;
    let [edited, deleted] = page.items.as_slice() else { panic!("{page:?}") };
    assert_eq!(edited.view.body.as_ref().unwrap().content, "said 4");
    assert_eq!(
        (&deleted.view.body, deleted.view.message.deleted.unwrap().0),
        (&None, Timestamp(9_000))
    );
}

#[tokio::test]
async fn words_whose_key_is_gone_are_missing_and_the_message_stays() {
    let world = with_messages(2).await;
    world.keys.destroy(ANN).await.unwrap();
    let page = page(&world, HistoryFrom::Range(Range::Latest), 50).await;
    assert_eq!(seqs(&page), [2, 1]);
    assert!(
        page.items
            .iter()
            .all(|shown| shown.view.body.is_none() && shown.view.message.deleted.is_none())
    );
}

#[tokio::test]
async fn a_damaged_message_does_not_take_the_page_with_it_but_fails_alone() {
    let world = with_messages(2).await;
    let mut damaged = world.message(HERE, 1, Some(1)).await;
    damaged.body = world.message(HERE, 2, Some(2)).await.body;
    let id = damaged.id;
    world.put_messages(vec![damaged]).await;
    let page = page(&world, HistoryFrom::Range(Range::Latest), 50).await;
    assert_eq!(seqs(&page), [2, 1]);
    assert!(page.items[0].view.body.is_some() && page.items[1].view.body.is_none());
    let alone = world.query.message(actor(ANN), HERE, id, &[]).await;
    assert!(matches!(alone, Err(ServiceError::Port(e)) if e.kind == ErrorKind::Corrupt));
}

#[tokio::test]
async fn one_message_is_found_by_its_whole_id_only() {
    let world = with_messages(4).await;
    let stored = world.message(HERE, 3, None).await;
    let found = world.query.message(actor(ANN), HERE, stored.id, &[]).await.unwrap();
    assert_eq!(found.body.unwrap().content, "said 3");
    let other_time = MessageId::new(HERE, Seq(3), Timestamp(5));
    let other_room = MessageId::new(RoomId::from_bits(8), Seq(3), stored.created_at);
    let no_event = MessageId::new(HERE, Seq(99), stored.created_at);
    for id in [other_time, other_room, no_event] {
        let answer = world.query.message(actor(ANN), HERE, id, &[]).await;
        assert_eq!(refusal(answer), Rejection::MessageNotFound);
    }
}

#[tokio::test]
async fn a_room_that_may_not_be_seen_answers_like_one_that_does_not_exist() {
    let world = with_messages(4).await;
    let mut gone = room(8, Visibility::Public);
    gone.deleted = true;
    let left = stay(BEN, Some(3));
    world.put_rooms(&[gone], &[(7, left), (8, stay(BEN, None))]).await;
    let id = world.message(HERE, 1, Some(1)).await.id;
    let latest = || HistoryFrom::Range(Range::Latest);
    for hidden in [HERE, RoomId::from_bits(8), RoomId::from_bits(999)] {
        let ben = actor(BEN);
        let history = world.query.history(ben, hidden, latest(), 50, &[]).await;
        assert_eq!(refusal(history), Rejection::RoomNotFound);
        let message = world.query.message(ben, hidden, id, &[]).await;
        assert_eq!(refusal(message), Rejection::RoomNotFound);
    }
}

#[tokio::test]
async fn a_public_channel_is_read_by_anyone_but_guests() {
    let world = with_messages(4).await;
    world.put_rooms(&[room(7, Visibility::Public)], &[]).await;
    let latest = || HistoryFrom::Range(Range::Latest);
    let page = world.query.history(actor(BEN), HERE, latest(), 50, &[]).await.unwrap();
    assert_eq!(seqs(&page), [4, 2, 1]);
    let mut guest = actor(BEN);
    guest.role = ServerRole::Guest;
    let answer = world.query.history(guest, HERE, latest(), 50, &[]).await;
    assert_eq!(refusal(answer), Rejection::RoomNotFound);
    let mut group = room(7, Visibility::Public);
    group.kind = RoomType::Group;
    let mut owner = stay(ANN, None);
    owner.role = MemberRole::Owner;
    world.put_rooms(&[group], &[(7, owner)]).await;
    let answer = world.query.history(actor(BEN), HERE, latest(), 50, &[]).await;
    assert_eq!(refusal(answer), Rejection::RoomNotFound);
}

#[tokio::test]
async fn absurd_cursors_and_limits_are_refused_before_anything_is_read() {
    let world = with_messages(4).await;
    let of_another_list = crate::cursor::Cursor::Room(HERE).encode();
    for text in ["", "7", "AAAA", of_another_list.as_str()] {
        let from = HistoryFrom::Cursor(text.to_owned());
        let answer = world.query.history(actor(BEN), HERE, from, 50, &[]).await;
        assert_eq!(refusal(answer), Rejection::InvalidField("cursor"), "{text}");
    }
    for limit in [0, 201, usize::MAX] {
        let from = HistoryFrom::Range(Range::Latest);
        let answer = world.query.history(actor(BEN), HERE, from, limit, &[]).await;
        assert_eq!(refusal(answer), Rejection::InvalidField("limit"), "{limit}");
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// While a reader goes to older messages, new ones arrive at the other end.
    #[test]
    fn pages_going_back_join_to_the_whole_while_messages_arrive(
        count in 0u64..60,
        limit in 1usize..9,
        arriving in 0u64..4,
    ) {
        let paged = block_on(async {
            let (world, mut last) = (with_messages(count).await, count);
            let (mut paged, mut from) = (Vec::new(), HistoryFrom::Range(Range::Latest));
            loop {
                let page = page(&world, from, limit).await;
                assert!(page.items.len() <= limit);
                paged.extend(seqs(&page));
                let Some(next) = page.next else { return paged };
                from = HistoryFrom::Cursor(next);
                add_messages(&world, last + 1, last + arriving).await;
                last += arriving;
            }
        });
        let mut whole = main_history(count);
        whole.reverse();
        prop_assert_eq!(paged, whole);
    }

    /// While a reader goes to newer messages, the end moves on, and is reached.
    #[test]
    fn pages_going_on_join_to_the_whole_and_to_what_arrived(
        count in 0u64..60,
        start in 0u64..20,
        limit in 1usize..9,
        arriving in 0u64..2,
    ) {
        let (paged, last) = block_on(async {
            let (world, mut last) = (with_messages(count).await, count);
            let mut paged = Vec::new();
            let mut from = HistoryFrom::Range(Range::After(Seq(start)));
            for turn in 0.. {
                let page = page(&world, from, limit).await;
                paged.extend(seqs(&page).into_iter().rev());
                let Some(next) = page.next else { break };
                from = HistoryFrom::Cursor(next);
                if turn < 20 {
                    add_messages(&world, last + 1, last + arriving).await;
                    last += arriving;
                }
            }
            (paged, last)
        });
        let mut whole = main_history(last);
        whole.retain(|seq| *seq > start);
        prop_assert_eq!(paged, whole);
    }
}
