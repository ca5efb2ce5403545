//! Cases for [`klatch_ports::activity`]. Each begins with an empty store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use klatch_domain::room::RoomHead;
use klatch_domain::{RoomId, Seq, Timestamp, UserId};
use klatch_ports::Offset;
use klatch_ports::activity::{ActivityReader, ChangedRoom, Span};
use klatch_ports::messages::{MessageCommit, MessageWriter, StayChange, StoredHead};

use crate::sample::{P0, at, room_id, time, user_id};

/// What these cases run on.
pub trait Store: ActivityReader + MessageWriter {}

impl<T: ActivityReader + MessageWriter> Store for T {}

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! activity_tests {
    ($open:expr) => {
        $crate::suite!(
            activity,
            $open,
            [
                nothing_stored_is_nothing_changed,
                a_room_that_spoke_later_is_changed_and_others_are_not,
                a_room_left_since_is_changed_and_says_where,
                a_room_left_and_joined_again_is_one_the_user_is_in,
                more_changed_rooms_than_the_limit_are_none,
                spans_hold_what_the_users_rooms_said_and_the_newest_are_kept,
                latest_rooms_come_by_activity_then_by_id_in_pages,
                few_rooms_answer_as_a_scan_of_everything_does,
                many_rooms_answer_as_a_scan_of_everything_does,
            ]
        );
    };
}

/// What a writer tells the store, and the same as plain lists.
#[derive(Default)]
struct Story {
    offset: u64,
    commit: MessageCommit,
    heads: BTreeMap<RoomId, StoredHead>,
    events: Vec<(Offset, RoomId)>,
    joined: BTreeSet<(UserId, RoomId)>,
    left: Vec<(UserId, Offset, RoomId)>,
}

impl Story {
    /// An event of the room, `gap` records of others after the one before.
    fn event(&mut self, room: u64, gap: u64, active: Option<Timestamp>) -> Offset {
        self.offset += gap + 1;
        let (offset, room) = (Offset(self.offset), room_id(room));
        let before = self.heads.get(&room).map(|stored| stored.head).unwrap_or_default();
        let seq = Seq(before.seq.0 + 1);
        let active_at = active.map_or(before.active_at, |at| at.max(before.active_at));
        let head = StoredHead { head: RoomHead { seq, active_at, ..before }, offset };
        self.heads.insert(room, head);
        self.commit.heads.push((room, head));
        self.commit.events.push((offset, room, active_at));
        self.events.push((offset, room));
        offset
    }

    fn say(&mut self, room: u64) -> Offset {
        let now = time(self.offset);
        self.event(room, 0, Some(now))
    }

    fn stay(&mut self, room: u64, user: u64, inside: bool) -> Offset {
        let offset = self.event(room, 0, None);
        let (room, user) = (room_id(room), user_id(user));
        self.commit.stays.push(StayChange { room, user, offset, inside });
        if inside {
            self.joined.insert((user, room));
        } else {
            self.joined.remove(&(user, room));
            self.left.push((user, offset, room));
        }
        offset
    }

    async fn commit(&mut self, store: &impl Store) {
        let told = std::mem::take(&mut self.commit);
        let commit = MessageCommit { partition: P0, applied: at(self.offset), ..told };
        store.commit(commit).await.expect("a commit");
    }

    fn changed(&self, user: u64, after: Offset) -> Vec<ChangedRoom> {
        let user = user_id(user);
        let mut found = BTreeMap::new();
        for (_, offset, room) in self.left.iter().filter(|(who, at, _)| *who == user && *at > after)
        {
            let (room, left) = (*room, Some(*offset));
            found.insert(room, ChangedRoom { room, head: self.heads[&room], left });
        }
        for (_, room) in self.joined.iter().filter(|(who, _)| *who == user) {
            let head = self.heads[room];
            found.remove(room);
            if head.offset > after {
                found.insert(*room, ChangedRoom { room: *room, head, left: None });
            }
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by_key(|changed| Reverse(changed.head.offset));
        found
    }

    fn latest(&self, user: u64) -> Vec<(RoomId, RoomHead)> {
        let user = user_id(user);
        let rooms = self.joined.iter().filter(|(who, _)| *who == user);
        let mut rooms: Vec<_> = rooms.map(|(_, room)| (*room, self.heads[room].head)).collect();
        rooms.sort_by_key(|(room, head)| (Reverse(head.active_at), *room));
        rooms
    }

    /// Compares every answer of the store about `user`.
    async fn compare(&self, store: &impl Store, user: u64, afters: &[u64]) {
        for after in afters.iter().copied().map(Offset) {
            let wanted = self.changed(user, after);
            let changed = store.changed(user_id(user), P0, after, 10_000).await.expect("changed");
            assert_eq!(changed.as_ref(), Some(&wanted), "after {after}");
            let most = wanted.len();
            let exact = store.changed(user_id(user), P0, after, most).await.expect("changed");
            assert_eq!(exact, changed);
            if let Some(fewer) = most.checked_sub(1) {
                let none = store.changed(user_id(user), P0, after, fewer).await.expect("changed");
                assert_eq!(none, None);
            }
            self.compare_spans(store, user, after).await;
        }
        let all = self.latest(user);
        for limit in [1, 7, 50, 1_000] {
            let mut paged: Vec<(RoomId, RoomHead)> = Vec::new();
            for _ in 0..4 {
                let place = paged.last().map(|(room, head)| (head.active_at, *room));
                let page = store.latest(user_id(user), place, limit).await.expect("latest");
                paged.extend(page);
            }
            assert_eq!(paged, all.iter().take(4 * limit).copied().collect::<Vec<_>>());
        }
    }

    async fn compare_spans(&self, store: &impl Store, user: u64, after: Offset) {
        let rooms: BTreeSet<_> =
            self.changed(user, after).into_iter().map(|changed| changed.room).collect();
        for to in [Offset(self.offset), Offset(self.offset - self.offset / 3).max(after)] {
            let found = store.spans(user_id(user), P0, (after, to), 10_000).await.expect("spans");
            assert!(!found.cut);
            check_order(&found.spans, after, to);
            for (offset, _) in self
                .events
                .iter()
                .filter(|(offset, room)| *offset > after && *offset <= to && rooms.contains(room))
            {
                assert!(holds(&found.spans, *offset), "{offset} of ({after}, {to}]");
            }
            let half = found.spans.len() / 2;
            let some = store.spans(user_id(user), P0, (after, to), half).await.expect("spans");
            assert_eq!(
                (&some.spans[..], some.cut),
                (&found.spans[..half], found.spans.len() > half)
            );
        }
    }
}

fn holds(spans: &[Span], offset: Offset) -> bool {
    spans.iter().any(|span| span.after < offset && offset <= span.through)
}

fn check_order(spans: &[Span], after: Offset, to: Offset) {
    let mut end = to;
    for Span { after: from, through } in spans {
        assert!(from < through && *through <= end && *from >= after, "{spans:?}");
        assert!(through.0 - from.0 <= 64);
        end = *from;
    }
}

/// Nobody's rooms have changed in an empty store.
pub async fn nothing_stored_is_nothing_changed(store: &impl Store) {
    let ann = user_id(1);
    assert_eq!(store.changed(ann, P0, Offset::ZERO, 9).await.expect("changed"), Some(vec![]));
    let spans = store.spans(ann, P0, (Offset::ZERO, Offset::ZERO), 9).await.expect("spans");
    assert_eq!((spans.spans.len(), spans.cut), (0, false));
    assert_eq!(store.latest(ann, None, 9).await.expect("latest"), vec![]);
}

/// Only rooms of the user, only those with a later event, newest first.
pub async fn a_room_that_spoke_later_is_changed_and_others_are_not(store: &impl Store) {
    let mut tale = Story::default();
    for (room, user) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
        tale.stay(room, user, true);
    }
    let after = tale.say(1);
    tale.say(3);
    tale.say(4);
    tale.say(2);
    tale.commit(store).await;
    let changed = store.changed(user_id(1), P0, after, 9).await.expect("changed").expect("few");
    let rooms: Vec<_> = changed.iter().map(|changed| (changed.room, changed.left)).collect();
    assert_eq!(rooms, [(room_id(2), None), (room_id(3), None)]);
    let end = Offset(tale.offset);
    assert_eq!(store.changed(user_id(1), P0, end, 0).await.expect("changed"), Some(vec![]));
}

/// One's own removal is found as long as it is later, whatever the room says after it.
pub async fn a_room_left_since_is_changed_and_says_where(store: &impl Store) {
    let mut tale = Story::default();
    tale.stay(1, 1, true);
    let before = tale.say(1);
    let gone = tale.stay(1, 1, false);
    let last = tale.say(1);
    tale.commit(store).await;
    let changed = store.changed(user_id(1), P0, before, 9).await.expect("changed").expect("few");
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].left, changed[0].head.offset), (Some(gone), last));
    assert_eq!(store.changed(user_id(1), P0, gone, 9).await.expect("changed"), Some(vec![]));
    assert_eq!(store.latest(user_id(1), None, 9).await.expect("latest"), vec![]);
}

/// Whoever is back is in.
pub async fn a_room_left_and_joined_again_is_one_the_user_is_in(store: &impl Store) {
    let mut tale = Story::default();
    tale.stay(1, 1, true);
    let before = tale.stay(1, 1, false);
    tale.commit(store).await;
    tale.stay(1, 1, true);
    tale.stay(1, 1, false);
    let back = tale.stay(1, 1, true);
    tale.commit(store).await;
    let changed = store.changed(user_id(1), P0, before, 9).await.expect("changed").expect("few");
    assert_eq!((changed.len(), changed[0].left, changed[0].head.offset), (1, None, back));
    assert_eq!(store.latest(user_id(1), None, 9).await.expect("latest").len(), 1);
}

/// The limit is exact.
pub async fn more_changed_rooms_than_the_limit_are_none(store: &impl Store) {
    let mut tale = Story::default();
    (0..300).for_each(|room| _ = tale.stay(room, 1, true));
    tale.commit(store).await;
    for (limit, some) in [(299, false), (300, true), (0, false)] {
        let changed = store.changed(user_id(1), P0, Offset::ZERO, limit).await.expect("changed");
        assert_eq!(changed.is_some(), some, "{limit}");
    }
}

/// Loud rooms of others are passed over.
pub async fn spans_hold_what_the_users_rooms_said_and_the_newest_are_kept(store: &impl Store) {
    let mut tale = Story::default();
    tale.stay(1, 1, true);
    tale.stay(2, 2, true);
    for _ in 0..40 {
        (0..100).for_each(|_| _ = tale.say(2));
        tale.say(1);
        tale.commit(store).await;
    }
    let all = (Offset::ZERO, Offset(tale.offset));
    let spans = store.spans(user_id(1), P0, all, 100).await.expect("spans");
    let records: u64 = spans.spans.iter().map(|span| span.through.0 - span.after.0).sum();
    assert!(records <= 41 * 64, "{records} of {}", tale.offset);
    tale.compare_spans(store, 1, Offset::ZERO).await;
    tale.compare_spans(store, 1, Offset(2_000)).await;
}

/// The order of a list of rooms.
pub async fn latest_rooms_come_by_activity_then_by_id_in_pages(store: &impl Store) {
    let mut tale = Story::default();
    (0..10).for_each(|room| _ = tale.stay(room, 1, true));
    for (room, active) in [(4, 50), (1, 70), (7, 50), (2, 60)] {
        tale.event(room, 0, Some(time(active)));
    }
    // Coming and going is no activity.
    tale.stay(4, 2, true);
    tale.commit(store).await;
    let page = store.latest(user_id(1), None, 4).await.expect("latest");
    assert!(page.iter().map(|(room, _)| *room).eq([1, 2, 4, 7].map(room_id)));
    let place = Some((time(50), room_id(4)));
    let page = store.latest(user_id(1), place, 2).await.expect("latest");
    assert!(page.iter().map(|(room, _)| *room).eq([7, 0].map(room_id)));
}

/// A repeatable stream of numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

async fn any_story(store: &impl Store, rooms: u64, seed: u64) {
    let (mut tale, mut dice) = (Story::default(), Dice(seed));
    (0..rooms).for_each(|room| _ = tale.stay(room, 1, true));
    tale.commit(store).await;
    for _ in 0..60 {
        for _ in 0..dice.below(120) {
            let room = dice.below(rooms) * dice.below(rooms) / rooms;
            match dice.below(20) {
                0 => _ = tale.stay(room, 1 + dice.below(2), false),
                1 => _ = tale.stay(room, 1 + dice.below(2), true),
                // Brought in with the times of long ago.
                2 => drop(tale.event(room, 0, Some(time(dice.below(1_000))))),
                3 => _ = tale.event(room, dice.below(900), Some(time(tale.offset))),
                4 => _ = tale.event(room, 0, None),
                _ => _ = tale.say(room),
            }
        }
        tale.commit(store).await;
    }
    let mut afters: Vec<u64> = (0..12).map(|_| dice.below(tale.offset)).collect();
    afters.extend([0, tale.offset, tale.offset - 1, tale.offset - tale.offset % 1_024]);
    for user in 1..=3 {
        tale.compare(store, user, &afters).await;
    }
}

/// A handful of rooms.
pub async fn few_rooms_answer_as_a_scan_of_everything_does(store: &impl Store) {
    any_story(store, 20, 1).await;
}

/// As many as are not looked at one by one.
pub async fn many_rooms_answer_as_a_scan_of_everything_does(store: &impl Store) {
    any_story(store, 700, 2).await;
}
