use std::sync::Arc;
use std::time::Duration;

use klatch_domain::permission::Actor;
use klatch_domain::room::Visibility;
use klatch_domain::user::ServerRole;
use klatch_domain::{Rejection, RoomId, UserId};
use klatch_ports::api::ServiceError;
use klatch_ports::api::queries::{PageRequest, QueryApi};
use klatch_ports::keys::KeyWriter;
use tokio::task::JoinHandle;

use super::world::{ANN, BEN, World, actor, refusal, room, stay};

fn request(limit: usize, cursor: Option<String>) -> PageRequest {
    PageRequest { cursor, limit }
}

/// Runs the directory for as long as the handle lives.
struct Followed(JoinHandle<()>);

impl Followed {
    fn start(world: &World) -> Self {
        let directory = Arc::clone(&world.directory);
        Self(tokio::spawn(async move { directory.run().await }))
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn found(world: &World, prefix: &str) -> Vec<String> {
    let page = world.query.users(actor(ANN), prefix, request(50, None), &[]).await.unwrap();
    page.items.into_iter().map(|view| view.profile.username).collect()
}

#[tokio::test]
async fn members_come_by_id_with_profiles_and_without_those_who_left() {
    let world = World::new();
    for (n, name) in [(1, "ann"), (2, "ben"), (3, "cleo")] {
        world.put_user(n, name, name).await;
    }
    let stays = [(1, None), (2, Some(4)), (3, None), (4, None)]
        .map(|(n, left)| (UserId::from_bits(n), left));
    let stays = stays.map(|(user, left)| (7, stay(user, left)));
    world.put_rooms(&[room(7, Visibility::Private)], &stays).await;
    let here = RoomId::from_bits(7);
    let page = |cursor| world.query.members(actor(ANN), here, request(2, cursor), &[]);
    let first = page(None).await.unwrap();
    let names = |items: &[klatch_ports::api::queries::MemberView]| -> Vec<Option<String>> {
        items.iter().map(|m| Some(m.user.as_ref()?.profile.username.clone())).collect()
    };
    assert_eq!(names(&first.items), [Some("ann".to_owned()), Some("cleo".to_owned())]);
    let second = page(first.next).await.unwrap();
    assert_eq!((names(&second.items), second.next), (vec![None], None), "no user row yet");
    let hidden = world.query.members(actor(BEN), here, request(2, None), &[]).await;
    assert_eq!(refusal(hidden), Rejection::RoomNotFound);
}

#[tokio::test]
async fn an_address_is_shown_to_its_owner_alone_and_an_erased_profile_is_empty() {
    let world = World::new();
    world.put_user(1, "ann", "Ann").await;
    let own = world.query.user(actor(ANN), ANN, &[]).await.unwrap();
    assert_eq!(own.profile.email.as_deref(), Some("ann@example.org"));
    let others = world.query.user(actor(BEN), ANN, &[]).await.unwrap();
    assert_eq!((others.profile.username.as_str(), others.profile.email), ("ann", None));
    let missing = world.query.user(actor(ANN), BEN, &[]).await;
    assert_eq!(refusal(missing), Rejection::UserNotFound);

    let world = World::new();
    world.put_user(1, "ann", "Ann").await;
    world.keys.destroy(ANN).await.unwrap();
    let erased = world.query.user(actor(BEN), ANN, &[]).await.unwrap();
    assert_eq!((erased.profile.username.as_str(), erased.user.id), ("", ANN));
}

#[tokio::test(start_paused = true)]
async fn users_are_found_by_either_name_and_paged() {
    let world = World::new();
    for (n, name, shown) in [(1, "ann", "Zora"), (2, "annika", "Ben"), (3, "carl", "Anna")] {
        world.put_user(n, name, shown).await;
    }
    let _followed = Followed::start(&world);
    assert_eq!(found(&world, " AN ").await, ["ann", "carl", "annika"]);
    assert_eq!(found(&world, "zo").await, ["ann"]);
    assert_eq!(found(&world, "").await.len(), 3);
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let page = world.query.users(actor(ANN), "an", request(1, cursor), &[]).await.unwrap();
        names.extend(page.items.into_iter().map(|view| view.profile.username));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, ["ann", "carl", "annika"]);
}

#[tokio::test(start_paused = true)]
async fn a_user_registered_later_is_found_by_who_names_the_position() {
    let world = World::new();
    let _followed = Followed::start(&world);
    assert_eq!(found(&world, "d").await, Vec::<String>::new());
    let dora = world.sealed_user(4, "dora", "Dora").await;
    let position = world.append_registered(&dora).await;
    world.put_user(4, "dora", "Dora").await;
    let page = world.query.users(actor(ANN), "d", request(50, None), &[position]).await.unwrap();
    assert_eq!(page.items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_just_registered_is_found_by_themselves_and_by_nobody_too_early() {
    let world = World::new();
    let dora = world.sealed_user(4, "dora", "Dora").await;
    world.append_registered(&dora).await;
    let too_early = world.query.user(actor(ANN), dora.id, &[]).await;
    assert_eq!(refusal(too_early), Rejection::UserNotFound);
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.put_user(4, "dora", "Dora").await;
    };
    let (found, ()) = tokio::join!(world.query.user(actor(dora.id), dora.id, &[]), later);
    assert_eq!(found.unwrap().profile.username, "dora");
    // A token for somebody who is not there at all: the read model has all there is.
    let nobody = UserId::from_bits(99);
    assert_eq!(
        refusal(world.query.user(actor(nobody), nobody, &[]).await),
        Rejection::UserNotFound
    );
}

#[tokio::test(start_paused = true)]
async fn a_search_before_the_directory_is_made_is_behind_and_never_empty() {
    let world = World::new();
    world.put_user(1, "ann", "Ann").await;
    let before = tokio::time::Instant::now();
    let answer = world.query.users(actor(ANN), "a", request(50, None), &[]).await;
    assert!(matches!(answer, Err(ServiceError::Behind)), "{answer:?}");
    assert_eq!(before.elapsed().as_secs(), Duration::from_secs(3).as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_directory_keeps_to_its_bound_and_says_so() {
    let world = World::new();
    for n in 1..=25 {
        world.put_user(n, &format!("user{n}"), "x").await;
    }
    let _followed = Followed::start(&world);
    assert_eq!(found(&world, "user").await.len(), 20);
    assert_eq!((world.directory.users(), world.directory.is_full()), (20, true));
}

#[tokio::test(start_paused = true)]
async fn a_guest_finds_and_sees_the_people_of_their_rooms_and_nobody_else() {
    let world = World::new();
    for (n, name) in [(1, "ann"), (2, "ben"), (3, "bo"), (4, "bea"), (5, "bill")] {
        world.put_user(n, name, name).await;
    }
    // Ann is in one room with Ben, and with Bo who has left; Bea is in a public one without her,
    // and Bill in a room that she has left.
    let rooms =
        [room(7, Visibility::Private), room(8, Visibility::Public), room(9, Visibility::Private)];
    let stays = [(7, 1, None), (7, 2, None), (7, 3, Some(4)), (8, 4, None), (9, 5, None)];
    let stays = stays.map(|(room, n, left)| (room, stay(UserId::from_bits(n), left)));
    world.put_rooms(&rooms, &stays).await;
    world.put_rooms(&[], &[(9, stay(ANN, Some(4)))]).await;
    let _followed = Followed::start(&world);
    let guest = Actor { role: ServerRole::Guest, ..actor(ANN) };
    let mut names = Vec::new();
    let mut cursor = None;
    loop {
        let page = world.query.users(guest, "b", request(1, cursor), &[]).await.unwrap();
        names.extend(page.items.into_iter().map(|view| view.profile.username));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, ["ben"]);
    assert_eq!(found(&world, "b").await, ["bea", "ben", "bill", "bo"], "members find everyone");
    for (n, seen) in [(1, true), (2, true), (3, true), (4, false), (5, false), (6, false)] {
        let answer = world.query.user(guest, UserId::from_bits(n), &[]).await;
        assert_eq!(answer.is_ok(), seen, "{n}");
    }
}
