//! Cases for [`klatch_ports::metadata`]. Each begins with an empty store.

use std::collections::BTreeSet;
use std::time::Duration;

use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::room::{Room, RoomType, Visibility};
use klatch_domain::user::{ServerRole, User};
use klatch_domain::{RoomId, Seq};
use klatch_ports::messages::Applied;
use klatch_ports::metadata::{MetadataCommit, MetadataReader, MetadataWriter, UserNumber};
use klatch_ports::{Epoch, Offset};

use crate::sample::{P0, at, member, room, room_id, user, user_id};

/// What these cases run on.
pub trait Store: MetadataReader + MetadataWriter {}

impl<T: MetadataReader + MetadataWriter> Store for T {}

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! metadata_store_tests {
    ($open:expr) => {
        $crate::suite!(
            metadata,
            $open,
            [
                an_empty_store_answers_nothing,
                users_read_back_whole_in_the_order_asked,
                users_are_listed_by_id_in_pages,
                rooms_read_back_whole_in_the_order_asked,
                only_public_living_channels_are_listed,
                external_ids_lead_to_users_and_rooms,
                user_numbers_are_given_once_and_differ,
                a_member_without_a_user_row_has_a_number,
                a_membership_reads_back_whole_and_is_replaced,
                members_are_the_current_ones_in_pages,
                rooms_of_a_user_are_the_current_ones_in_pages,
                numbers_at_follow_the_stays,
                owners_are_counted_up_to_two,
                repeating_a_commit_changes_nothing,
                an_older_commit_of_the_same_epoch_changes_nothing,
                a_commit_of_another_epoch_counts,
                waiting_ends_when_the_commit_comes,
                advance_moves_the_mark_and_no_rows,
            ]
        );
    };
}

fn commit(offset: u64) -> MetadataCommit {
    MetadataCommit { partition: P0, applied: at(offset), ..MetadataCommit::default() }
}

async fn put_users(store: &impl Store, users: Vec<User>, offset: u64) {
    let users = users.into_iter().map(|user| (user, None)).collect();
    store.commit(MetadataCommit { users, ..commit(offset) }).await.expect("commit");
}

async fn put_rooms(store: &impl Store, rooms: Vec<Room>, offset: u64) {
    let rooms = rooms.into_iter().map(|room| (room, None)).collect();
    store.commit(MetadataCommit { rooms, ..commit(offset) }).await.expect("commit");
}

async fn put_members(store: &impl Store, members: Vec<(RoomId, Membership)>, offset: u64) {
    store.commit(MetadataCommit { members, ..commit(offset) }).await.expect("commit");
}

fn left(mut stay: Membership, seq: u64) -> Membership {
    stay.left_seq = Some(Seq(seq));
    stay
}

/// Nothing stored, nothing found.
pub async fn an_empty_store_answers_nothing(store: &impl Store) {
    let (user, room) = (user_id(1), room_id(1));
    assert_eq!(store.applied(P0).await.expect("applied"), Applied::default());
    assert_eq!(store.user(user).await.expect("user"), None);
    assert_eq!(store.users(&[user]).await.expect("users"), [None]);
    assert_eq!(store.number(user).await.expect("number"), None);
    assert_eq!(store.list_users(None, 9).await.expect("list"), []);
    assert_eq!(store.user_by_external(1).await.expect("external"), None);
    assert_eq!(store.room(room).await.expect("room"), None);
    assert_eq!(store.rooms(&[room]).await.expect("rooms"), [None]);
    assert_eq!(store.public_rooms(None, 9).await.expect("list"), []);
    assert_eq!(store.room_by_external(1).await.expect("external"), None);
    assert_eq!(store.membership(room, user).await.expect("membership"), None);
    assert_eq!(store.members(room, None, 9).await.expect("members"), []);
    assert_eq!(store.numbers_at(room, Seq(1)).await.expect("numbers"), []);
    assert_eq!(store.rooms_of(user, None, 9).await.expect("rooms"), []);
    assert_eq!(store.owners(room).await.expect("owners"), 0);
}

/// Every field survives; absent ones have their place.
pub async fn users_read_back_whole_in_the_order_asked(store: &impl Store) {
    let mut guest = user(6);
    guest.role = ServerRole::Guest;
    let users = vec![user(0), user(1), guest.clone()];
    put_users(store, users.clone(), 3).await;
    for user in users {
        assert_eq!(store.load_user(user.id).await.expect("load"), Some(user.clone()));
        assert_eq!(store.user(user.id).await.expect("user"), Some(user));
    }
    let asked = [user_id(6), user_id(5), user_id(0), user_id(6)];
    let wanted = [Some(guest.clone()), None, Some(user(0)), Some(guest)];
    assert_eq!(store.users(&asked).await.expect("users"), wanted);
}

/// Pages follow one another without a gap or a twin.
pub async fn users_are_listed_by_id_in_pages(store: &impl Store) {
    put_users(store, (1..=7).rev().map(user).collect(), 7).await;
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|user: &User| user.id);
        let page = store.list_users(after, 3).await.expect("list");
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        seen.extend(page);
    }
    assert_eq!(seen, (1..=7).map(user).collect::<Vec<_>>());
}

/// Every field survives; a newer row replaces an older one.
pub async fn rooms_read_back_whole_in_the_order_asked(store: &impl Store) {
    let mut group = room(2);
    group.kind = RoomType::Group;
    group.visibility = Visibility::Private;
    group.texts.name = None;
    group.texts.topic = Some("ünïcödé".to_owned());
    group.texts.description = Some(String::new());
    group.texts.avatar = Some("https://example.org/a.png".to_owned());
    (group.archived, group.deleted) = (true, true);
    (group.member_count, group.changed_seq) = (1_000_000, Seq(1 << 39));
    let mut direct = room(3);
    direct.kind = RoomType::Direct;
    put_rooms(store, vec![room(1), group.clone(), direct.clone()], 3).await;
    assert_eq!(store.room(room_id(1)).await.expect("room"), Some(room(1)));
    assert_eq!(store.load_room(room_id(2)).await.expect("room"), Some(group.clone()));
    let asked = [room_id(3), room_id(4), room_id(2)];
    let wanted = [Some(direct), None, Some(group)];
    assert_eq!(store.rooms(&asked).await.expect("rooms"), wanted);
    let mut renamed = room(1);
    renamed.texts.name = Some("other".to_owned());
    put_rooms(store, vec![renamed.clone()], 4).await;
    assert_eq!(store.room(room_id(1)).await.expect("room"), Some(renamed));
}

/// The list follows changes of kind, visibility and life in both directions.
pub async fn only_public_living_channels_are_listed(store: &impl Store) {
    let listed = async |after: Option<RoomId>, limit: usize| {
        let rooms = store.public_rooms(after, limit).await.expect("list");
        rooms.iter().map(|room| room.id).collect::<Vec<_>>()
    };
    let mut rooms: Vec<Room> = (1..=6).map(room).collect();
    let [_, private, deleted, group, archived, _] = &mut rooms[..] else { panic!("six") };
    private.visibility = Visibility::Private;
    deleted.deleted = true;
    group.kind = RoomType::Group;
    archived.archived = true;
    put_rooms(store, rooms, 6).await;
    assert_eq!(listed(None, 9).await, [room_id(1), room_id(5), room_id(6)]);
    assert_eq!(listed(None, 2).await, [room_id(1), room_id(5)]);
    assert_eq!(listed(Some(room_id(1)), 9).await, [room_id(5), room_id(6)]);
    assert_eq!(listed(Some(room_id(3)), 1).await, [room_id(5)]);
    let mut gone = room(1);
    gone.deleted = true;
    put_rooms(store, vec![gone, room(2)], 7).await;
    assert_eq!(listed(None, 9).await, [room_id(2), room_id(5), room_id(6)]);
}

/// One hash may name a user and a room, apart.
pub async fn external_ids_lead_to_users_and_rooms(store: &impl Store) {
    let users = vec![(user(1), Some(77)), (user(2), None)];
    let rooms = vec![(room(1), Some(77)), (room(2), Some(u128::MAX))];
    store.commit(MetadataCommit { users, rooms, ..commit(1) }).await.expect("commit");
    // A later row without the hash does not make it forgotten.
    put_users(store, vec![user(1)], 2).await;
    assert_eq!(store.user_by_external(77).await.expect("user"), Some(user_id(1)));
    assert_eq!(store.room_by_external(77).await.expect("room"), Some(room_id(1)));
    assert_eq!(store.room_by_external(u128::MAX).await.expect("room"), Some(room_id(2)));
    assert_eq!(store.user_by_external(u128::MAX).await.expect("user"), None);
}

/// Numbers are small, differ, and stay when the row changes.
pub async fn user_numbers_are_given_once_and_differ(store: &impl Store) {
    put_users(store, (1..=50).map(user).collect(), 1).await;
    let numbers = async || {
        let mut found = Vec::new();
        for n in 1..=50 {
            found.push(store.number(user_id(n)).await.expect("number").expect("given"));
        }
        found
    };
    let first = numbers().await;
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 50);
    assert!(first.iter().all(|number| number.0 <= 50), "dense: {first:?}");
    put_users(store, (1..=60).map(user).collect(), 2).await;
    assert_eq!(numbers().await, first);
}

/// Rows may come from two streams: a stay that is stored before its user counts all the same.
pub async fn a_member_without_a_user_row_has_a_number(store: &impl Store) {
    put_members(store, vec![(room_id(1), member(user_id(1), 1))], 1).await;
    let number = store.number(user_id(1)).await.expect("number").expect("given");
    assert_eq!(store.numbers_at(room_id(1), Seq(1)).await.expect("numbers"), [number]);
    put_users(store, vec![user(1)], 2).await;
    assert_eq!(store.number(user_id(1)).await.expect("number"), Some(number));
}

/// Every field survives; a newer stay replaces the older.
pub async fn a_membership_reads_back_whole_and_is_replaced(store: &impl Store) {
    let (room, user) = (room_id(1), user_id(1));
    let mut stay = member(user, 5);
    stay.role = MemberRole::Admin;
    for (offset, stay) in (1..).zip([stay.clone(), left(stay, 9), member(user, 12)]) {
        put_members(store, vec![(room, stay.clone())], offset).await;
        let read = store.membership(room, user).await.expect("membership");
        assert_eq!(read.as_ref(), Some(&stay));
        assert_eq!(store.load_member(room, user).await.expect("load"), Some(stay));
    }
    assert_eq!(store.membership(room_id(2), user).await.expect("membership"), None);
}

/// Those who left are not listed; neighbouring rooms do not show through.
pub async fn members_are_the_current_ones_in_pages(store: &impl Store) {
    let mut stays = Vec::new();
    for n in 1..=9 {
        let stay = member(user_id(n), n);
        stays.push((room_id(2), if n % 3 == 0 { left(stay, 20) } else { stay }));
        stays.push((room_id(1), member(user_id(n), 1)));
        stays.push((room_id(3), member(user_id(n), 1)));
    }
    put_members(store, stays, 1).await;
    let page = async |after: Option<u64>, limit: usize| {
        let found = store.members(room_id(2), after.map(user_id), limit).await.expect("members");
        found.into_iter().map(|stay| stay.user).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 50).await, [1, 2, 4, 5, 7, 8].map(user_id));
    assert_eq!(page(None, 2).await, [1, 2].map(user_id));
    assert_eq!(page(Some(2), 2).await, [4, 5].map(user_id));
    assert_eq!(page(Some(6), 50).await, [7, 8].map(user_id));
    assert_eq!(page(Some(8), 50).await, []);
}

/// The list follows joins and leaves, and carries the stay.
pub async fn rooms_of_a_user_are_the_current_ones_in_pages(store: &impl Store) {
    let user = user_id(5);
    let mut stays: Vec<_> = (1..=5).map(|n| (room_id(n), member(user, n))).collect();
    stays.extend((1..=5).map(|n| (room_id(n), member(user_id(4), 1))));
    stays.extend((1..=5).map(|n| (room_id(n), member(user_id(6), 1))));
    put_members(store, stays, 1).await;
    put_members(store, vec![(room_id(2), left(member(user, 2), 9))], 2).await;
    let page = async |after: Option<u64>, limit: usize| {
        store.rooms_of(user, after.map(room_id), limit).await.expect("rooms")
    };
    let stay = |n: u64| (room_id(n), member(user, n));
    assert_eq!(page(None, 50).await, [stay(1), stay(3), stay(4), stay(5)]);
    assert_eq!(page(None, 2).await, [stay(1), stay(3)]);
    assert_eq!(page(Some(1), 1).await, [stay(3)]);
    assert_eq!(page(Some(5), 9).await, []);
    let mut promoted = member(user, 4);
    promoted.role = MemberRole::Owner;
    put_members(store, vec![(room_id(4), promoted.clone()), (room_id(2), member(user, 15))], 3)
        .await;
    assert_eq!(page(Some(3), 1).await, [(room_id(4), promoted)]);
    assert_eq!(page(Some(1), 1).await, [(room_id(2), member(user, 15))]);
}

/// A stay covers the events from its join to its leave, both included.
pub async fn numbers_at_follow_the_stays(store: &impl Store) {
    let room = room_id(2);
    let stays = vec![
        (room, member(user_id(1), 1)),
        (room, left(member(user_id(2), 2), 6)),
        (room, member(user_id(3), 5)),
        (room_id(1), member(user_id(4), 1)),
        (room_id(3), member(user_id(5), 1)),
    ];
    put_members(store, stays, 1).await;
    let mut numbers = Vec::new();
    for n in 1..=5 {
        numbers.push(store.number(user_id(n)).await.expect("number").expect("given"));
    }
    let wanted = |users: &[usize]| {
        users.iter().filter_map(|n| numbers.get(n - 1).copied()).collect::<BTreeSet<UserNumber>>()
    };
    for (seq, users) in
        [(0, &[][..]), (1, &[1]), (2, &[1, 2]), (5, &[1, 2, 3]), (6, &[1, 2, 3]), (7, &[1, 3])]
    {
        let found = store.numbers_at(room, Seq(seq)).await.expect("numbers");
        assert_eq!(found.len(), users.len(), "no twins at {seq}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted(users), "at {seq}");
    }
}

/// Owners who left or stepped down do not count.
pub async fn owners_are_counted_up_to_two(store: &impl Store) {
    let (room, owner) =
        (room_id(1), |n: u64| Membership { role: MemberRole::Owner, ..member(user_id(n), n) });
    let steps = [
        (owner(1), 1),
        (member(user_id(2), 2), 1),
        (owner(3), 2),
        (owner(4), 2),
        (left(owner(3), 9), 2),
        (member(user_id(1), 1), 1),
        (left(owner(4), 10), 0),
    ];
    put_members(store, vec![(room_id(2), owner(1)), (room_id(0), owner(1))], 1).await;
    for (offset, (stay, count)) in (2..).zip(steps) {
        put_members(store, vec![(room, stay)], offset).await;
        assert_eq!(store.owners(room).await.expect("owners"), count, "after {offset}");
    }
}

/// A batch delivered twice is stored once.
pub async fn repeating_a_commit_changes_nothing(store: &impl Store) {
    let users = vec![(user(1), Some(5)), (user(2), None)];
    let members = vec![(room_id(1), member(user_id(1), 1)), (room_id(1), member(user_id(2), 2))];
    let rooms = vec![(room(1), None)];
    let batch = MetadataCommit { users, rooms, members, ..commit(4) };
    store.commit(batch.clone()).await.expect("commit");
    let before = store.numbers_at(room_id(1), Seq(9)).await.expect("numbers");
    store.commit(batch).await.expect("commit");
    assert_eq!(store.numbers_at(room_id(1), Seq(9)).await.expect("numbers"), before);
    assert_eq!(store.list_users(None, 9).await.expect("list"), [user(1), user(2)]);
    assert_eq!(store.members(room_id(1), None, 9).await.expect("members").len(), 2);
    assert_eq!(store.applied(P0).await.expect("applied"), at(4));
}

/// What was committed with a later position is not undone by an earlier one.
pub async fn an_older_commit_of_the_same_epoch_changes_nothing(store: &impl Store) {
    put_members(store, vec![(room_id(1), member(user_id(1), 1))], 1).await;
    put_members(store, vec![(room_id(1), left(member(user_id(1), 1), 2))], 2).await;
    put_members(store, vec![(room_id(1), member(user_id(1), 1))], 1).await;
    assert_eq!(store.members(room_id(1), None, 9).await.expect("members"), []);
    assert_eq!(store.applied(P0).await.expect("applied"), at(2));
}

/// A new life of the log begins again at low offsets.
pub async fn a_commit_of_another_epoch_counts(store: &impl Store) {
    put_users(store, vec![user(1)], 9).await;
    let applied = Applied { epoch: Epoch(2), offset: Offset(3) };
    let users = vec![(user(2), None)];
    store.commit(MetadataCommit { users, applied, ..commit(0) }).await.expect("commit");
    assert_eq!(store.applied(P0).await.expect("applied"), applied);
    assert_eq!(store.list_users(None, 9).await.expect("list").len(), 2);
}

/// A reader that waits for a position is woken by the commit that reaches it.
pub async fn waiting_ends_when_the_commit_comes(store: &impl Store) {
    let wait = store.wait_applied(P0, Offset(2), Duration::from_secs(20));
    let work = async {
        for n in 1..=2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            put_users(store, vec![user(n)], n).await;
        }
    };
    let (there, ()) = futures::join!(wait, work);
    assert!(there.expect("wait"));
    assert!(store.user(user_id(2)).await.expect("user").is_some());
    assert!(!store.wait_applied(P0, Offset(3), Duration::from_millis(5)).await.expect("wait"));
}

/// Looking past records without rows lets readers go on, and no later commit is taken for a
/// repeat.
pub async fn advance_moves_the_mark_and_no_rows(store: &impl Store) {
    put_users(store, vec![user(1)], 1).await;
    store.advance(P0, at(8)).await.expect("advance");
    store.advance(P0, at(5)).await.expect("advance");
    assert_eq!(store.applied(P0).await.expect("applied"), at(8));
    assert!(store.wait_applied(P0, Offset(8), Duration::ZERO).await.expect("wait"));
    put_users(store, vec![user(2)], 9).await;
    assert_eq!(store.list_users(None, 9).await.expect("list").len(), 2);
}
