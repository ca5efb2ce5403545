//! Making, naming and closing rooms.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use klatch_domain::Rejection;
use klatch_domain::room::{RoomTexts, RoomTextsPatch, RoomType, Visibility};
use klatch_ports::api::commands::{CommandApi, CreateRoom};

use crate::world::{World, channel, refusal, text};

fn direct(with: klatch_domain::UserId) -> CreateRoom {
    CreateRoom {
        kind: RoomType::Direct,
        visibility: Visibility::Public,
        texts: RoomTexts::default(),
        members: vec![with],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_has_one_direct_room_however_often_and_by_whom_it_is_made() {
    let world = World::new(1);
    let (here, there) = (world.instance().await, world.instance().await);
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let made = join_all((0..10).map(|n| {
        let commands = Arc::clone(if n % 2 == 0 { &here } else { &there });
        let (me, you) = if n % 3 == 0 { (ann, bob) } else { (bob, ann) };
        async move { commands.create_room(me, direct(you.user)).await.unwrap() }
    }))
    .await;
    let ids: BTreeSet<_> = made.iter().map(|made| made.room.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(made.iter().filter(|made| made.position.is_some()).count(), 1);
    let room = made.first().unwrap().room.clone();
    assert_eq!(room.visibility, Visibility::Private);
    here.send_message(bob, room.id, text("hi")).await.unwrap();
    assert_eq!(refusal(here.leave(bob, room.id).await), Rejection::WrongRoomType);
}

#[tokio::test]
async fn channel_names_are_unique_whatever_their_case_and_free_again_after_delete() {
    let world = World::new(2);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "Plans", Visibility::Public, &[]).await;
    let wish = |name: &str| CreateRoom {
        kind: RoomType::Channel,
        visibility: Visibility::Public,
        texts: RoomTexts { name: Some(name.to_owned()), ..RoomTexts::default() },
        members: Vec::new(),
    };
    let taken = commands.create_room(ann, wish(" plans ")).await;
    assert_eq!(refusal(taken), Rejection::Taken("name"));
    world.settle().await;
    let rename = |name: &str| RoomTextsPatch {
        name: Some(Some(name.to_owned())),
        ..RoomTextsPatch::default()
    };
    commands.update_room(ann, room, rename("Other"), None).await.unwrap();
    let second = commands.create_room(ann, wish("PLANS")).await.unwrap().room.id;
    world.settle().await;
    let taken = commands.update_room(ann, room, rename("plans"), None).await;
    assert_eq!(refusal(taken), Rejection::Taken("name"));
    commands.delete_room(ann, second).await.unwrap();
    commands.update_room(ann, room, rename("plans"), None).await.unwrap();
    assert_eq!(
        refusal(commands.send_message(ann, second, text("x")).await),
        Rejection::RoomNotFound
    );
}

#[tokio::test]
async fn an_archived_room_takes_nothing_until_it_is_opened_again() {
    let world = World::new(3);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    commands.archive_room(ann, room, true).await.unwrap();
    assert_eq!(refusal(commands.send_message(ann, room, text("x")).await), Rejection::RoomArchived);
    commands.archive_room(ann, room, false).await.unwrap();
    commands.send_message(ann, room, text("x")).await.unwrap();
}

#[tokio::test]
async fn bad_wishes_are_refused_and_leave_no_claim() {
    let world = World::new(4);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let nobody = klatch_domain::UserId::from_bits(1);
    let mut wish = CreateRoom {
        kind: RoomType::Channel,
        visibility: Visibility::Public,
        texts: RoomTexts { name: Some("x".repeat(101)), ..RoomTexts::default() },
        members: Vec::new(),
    };
    let long = commands.create_room(ann, wish.clone()).await;
    assert_eq!(refusal(long), Rejection::InvalidField("name"));
    wish.texts.name = Some("fine".to_owned());
    wish.members = vec![nobody];
    assert_eq!(refusal(commands.create_room(ann, wish.clone()).await), Rejection::UserNotFound);
    wish.members = Vec::new();
    commands.create_room(ann, wish).await.unwrap();
    let (a, b) = (world.person("a1").await, world.person("b1").await);
    let three = CreateRoom { members: vec![a.user, b.user], ..direct(a.user) };
    let refused = commands.create_room(ann, three).await;
    assert_eq!(refusal(refused), Rejection::InvalidField("memberIds"));
}
