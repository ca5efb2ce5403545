use klatch_domain::room::Visibility;
use klatch_domain::user::ServerRole;
use klatch_domain::{Rejection, RoomId, Timestamp};
use klatch_ports::api::queries::{Page, PageRequest, QueryApi, RoomScope, RoomView};
use proptest::prelude::*;

use super::world::{ANN, BEN, World, actor, refusal, room, stay};

fn request(limit: usize, cursor: Option<String>) -> PageRequest {
    PageRequest { cursor, limit }
}

fn ids(page: &Page<RoomView>) -> Vec<u128> {
    page.items.iter().map(|view| view.room.id.bits()).collect()
}

async fn all(world: &World, scope: RoomScope, limit: usize) -> Vec<u128> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = world.query.rooms(actor(ANN), scope, request(limit, cursor), &[]).await;
        let page = page.unwrap();
        assert!(page.items.len() <= limit);
        found.extend(ids(&page));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn joined_rooms_come_by_latest_activity_without_those_left_or_deleted() {
    let world = World::new();
    let mut gone = room(4, Visibility::Private);
    gone.deleted = true;
    let rooms = [1, 2, 3].map(|n| room(n, Visibility::Private));
    world.put_rooms(&rooms, &[1, 2, 3, 4].map(|n| (n, stay(ANN, None)))).await;
    world.put_rooms(&[gone, room(5, Visibility::Public)], &[(5, stay(ANN, Some(9)))]).await;
    world.put_active(&[(1, 10), (2, 30), (3, 20), (4, 40), (5, 50)]).await;
    assert_eq!(all(&world, RoomScope::Joined, 50).await, [2, 3, 1]);
    assert_eq!(all(&world, RoomScope::Joined, 1).await, [2, 3, 1]);
    let page = world.query.rooms(actor(ANN), RoomScope::Joined, request(1, None), &[]).await;
    let first = page.unwrap().items.remove(0);
    assert_eq!(first.head.active_at, Timestamp(30));
    assert_eq!(first.membership, Some(stay(ANN, None)));
    let none = world.query.rooms(actor(BEN), RoomScope::Joined, request(50, None), &[]).await;
    assert_eq!(none.unwrap(), Page { items: vec![], next: None });
}

#[tokio::test]
async fn public_rooms_come_by_id_and_tell_whether_the_asker_is_in() {
    let world = World::new();
    let rooms = [3, 1, 2].map(|n| room(n, Visibility::Public));
    let members = [(2, stay(ANN, None)), (3, stay(ANN, Some(4))), (9, stay(ANN, None))];
    world.put_rooms(&rooms, &members).await;
    world.put_rooms(&[room(9, Visibility::Private)], &[]).await;
    assert_eq!(all(&world, RoomScope::Public, 2).await, [1, 2, 3]);
    let page = world.query.rooms(actor(ANN), RoomScope::Public, request(50, None), &[]).await;
    let joined: Vec<_> = page.unwrap().items.iter().map(|v| v.membership.is_some()).collect();
    assert_eq!(joined, [false, true, false]);
    let mut guest = actor(ANN);
    guest.role = ServerRole::Guest;
    let page = world.query.rooms(guest, RoomScope::Public, request(50, None), &[]).await;
    assert_eq!(ids(&page.unwrap()), [2], "a guest sees what they are in");
}

#[tokio::test]
async fn one_room_is_shown_to_those_who_may_see_it() {
    let world = World::new();
    world.put_rooms(&[room(1, Visibility::Private)], &[(1, stay(ANN, None))]).await;
    world.put_active(&[(1, 10)]).await;
    let here = RoomId::from_bits(1);
    let view = world.query.room(actor(ANN), here, &[]).await.unwrap();
    assert_eq!((view.room.id, view.head.active_at), (here, Timestamp(10)));
    let hidden = refusal(world.query.room(actor(BEN), here, &[]).await);
    let missing = refusal(world.query.room(actor(BEN), RoomId::from_bits(404), &[]).await);
    assert_eq!((hidden, missing), (Rejection::RoomNotFound, Rejection::RoomNotFound));
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let world = World::new();
    let rooms = [1, 2].map(|n| room(n, Visibility::Public));
    world.put_rooms(&rooms, &[(1, stay(ANN, None)), (2, stay(ANN, None))]).await;
    let cursor = |scope| {
        let query = &world.query;
        async move { query.rooms(actor(ANN), scope, request(1, None), &[]).await.unwrap().next }
    };
    let (joined, public) = (cursor(RoomScope::Joined).await, cursor(RoomScope::Public).await);
    for (scope, cursor) in [(RoomScope::Joined, public), (RoomScope::Public, joined)] {
        let answer = world.query.rooms(actor(ANN), scope, request(1, cursor), &[]).await;
        assert_eq!(refusal(answer), Rejection::InvalidField("cursor"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn pages_of_joined_rooms_join_to_the_whole_for_any_size(
        active in proptest::collection::vec(0u64..5, 0..30),
        deleted in proptest::collection::vec(any::<bool>(), 30),
        limit in 1usize..9,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let numbered = || active.iter().enumerate().map(|(n, at)| (n as u128 + 1, *at));
        let paged = runtime.block_on(async {
            let world = World::new();
            let rooms: Vec<_> = numbered()
                .zip(&deleted)
                .map(|((n, _), deleted)| {
                    let mut room = room(n, Visibility::Private);
                    room.deleted = *deleted;
                    room
                })
                .collect();
            let stays: Vec<_> = numbered().map(|(n, _)| (n, stay(ANN, None))).collect();
            world.put_rooms(&rooms, &stays).await;
            world.put_active(&numbered().collect::<Vec<_>>()).await;
            all(&world, RoomScope::Joined, limit).await
        });
        let mut whole: Vec<_> =
            numbered().zip(&deleted).filter(|(_, deleted)| !**deleted).map(|(r, _)| r).collect();
        whole.sort_by_key(|(n, at)| (std::cmp::Reverse(*at), *n));
        prop_assert_eq!(paged, whole.into_iter().map(|(n, _)| n).collect::<Vec<_>>());
    }
}
