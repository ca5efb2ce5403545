//! Rooms and people of whom the log no longer holds anything.

use std::sync::Arc;

use futures::future::join_all;
use klatch_command::CommandService;
use klatch_domain::permission::Actor;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::{Rejection, RoomId};
use klatch_ports::api::ServiceError;
use klatch_ports::api::commands::{CommandApi, CreateRoom, Sent};
use klatch_ports::log::{Key, LogReader};
use klatch_ports::{Offset, Partition, StreamId};

use crate::world::{MEMBER, World, channel, keyed, refusal, text};

const HERE: Partition = Partition(0);

/// Everything up to now goes from the log; the stores have it.
async fn forget(world: &World) -> Offset {
    world.settle().await;
    let end = world.log.end(StreamId::Messages, HERE).await.expect("the end");
    world.log.forget_before(HERE, Offset(end.0 + 1)).expect("forgotten");
    end
}

/// Sends until it is taken: losing the race too often is told as "busy".
async fn send(commands: Arc<CommandService>, actor: Actor, room: RoomId, words: String) -> Sent {
    loop {
        match commands.send_message(actor, room, text(&words)).await {
            Err(ServiceError::Busy) => {}
            answer => break answer.expect("taken"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_write_to_a_room_the_log_has_forgotten_leave_no_gap_and_no_twin() {
    let world = World::new(1);
    let old = world.instance().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = channel(&old, ann, "quiet", Visibility::Private, &[bob]).await;
    for n in 0..5 {
        old.send_message(bob, room, text(&format!("early {n}"))).await.unwrap();
    }
    forget(&world).await;
    assert_eq!(world.log.head(StreamId::Messages, Key(room.bits())).await.unwrap(), None);
    // One of them remembers the room as it was, two have never met it.
    let instances = [old, world.instance().await, world.instance().await];
    let sends = (0..60).map(|n| {
        let commands = Arc::clone(&instances[n % 3]);
        let actor = if n % 2 == 0 { ann } else { bob };
        tokio::spawn(send(commands, actor, room, format!("late {n}")))
    });
    let mut answers: Vec<Sent> =
        join_all(sends).await.into_iter().map(|sent| sent.unwrap()).collect();
    answers.sort_by_key(|sent| sent.seq);
    assert!(answers.iter().map(|sent| sent.seq.0).eq(7..67));
    assert!(answers.iter().map(|sent| sent.ordinal.unwrap().0).eq(6..66));
    assert!(answers.is_sorted_by(|one, next| one.position.offset < next.position.offset));
}

#[tokio::test]
async fn a_refusal_at_a_room_the_log_has_forgotten_is_the_same() {
    let world = World::new(2);
    let commands = world.instance().await;
    let (ann, eve) = (world.person("ann").await, world.person("eve").await);
    let room = channel(&commands, ann, "quiet", Visibility::Private, &[]).await;
    forget(&world).await;
    for commands in [commands, world.instance().await] {
        let refused = commands.send_message(eve, room, text("let me in")).await;
        assert_eq!(refusal(refused), Rejection::RoomNotFound);
    }
}

#[tokio::test]
async fn a_direct_room_the_log_has_forgotten_is_found_and_not_begun_again() {
    let world = World::new(3);
    let commands = world.instance().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let wish = |other: Actor| CreateRoom {
        kind: RoomType::Direct,
        visibility: Visibility::Private,
        texts: RoomTexts::default(),
        members: vec![other.user],
    };
    let first = commands.create_room(ann, wish(bob)).await.unwrap();
    let before = commands.send_message(ann, first.room.id, text("hi")).await.unwrap();
    let end = forget(&world).await;
    for (actor, other) in [(ann, bob), (bob, ann)] {
        let commands = world.instance().await;
        let again = commands.create_room(actor, wish(other)).await.unwrap();
        assert_eq!((again.room.id, again.position), (first.room.id, None));
    }
    assert_eq!(world.log.end(StreamId::Messages, HERE).await.unwrap(), end, "nothing was appended");
    let after = commands.send_message(bob, first.room.id, text("hello")).await.unwrap();
    assert_eq!(after.seq.0, before.seq.0 + 1);
}

#[tokio::test]
async fn people_the_log_has_forgotten_can_be_added_and_names_stay_taken() {
    let world = World::new(4);
    let commands = world.instance().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = channel(&commands, ann, "quiet", Visibility::Public, &[]).await;
    forget(&world).await;
    world.clock.advance(std::time::Duration::from_hours(24 * 31));
    let commands = world.instance().await;
    commands.add_member(ann, room, bob.user, MEMBER).await.unwrap();
    let wish = CreateRoom {
        kind: RoomType::Channel,
        visibility: Visibility::Public,
        texts: RoomTexts { name: Some("quiet".to_owned()), ..RoomTexts::default() },
        members: Vec::new(),
    };
    assert_eq!(refusal(commands.create_room(bob, wish).await), Rejection::Taken("name"));
}

#[tokio::test(start_paused = true)]
async fn a_room_is_not_called_missing_while_the_store_lacks_what_was_forgotten() {
    let world = World::new(5);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "quiet", Visibility::Private, &[]).await;
    forget(&world).await;
    world.messages.wipe();
    let answer = world.instance().await.send_message(ann, room, text("x")).await;
    assert!(matches!(answer, Err(ServiceError::Behind)), "{answer:?}");
}

#[tokio::test]
async fn a_key_whose_event_was_forgotten_is_too_old_to_mean_anything() {
    let world = World::new(6);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    commands.send_message(ann, room, keyed("hi", "k")).await.unwrap();
    // The index outlives the promise by a bucket.
    let again = commands.send_message(ann, room, keyed("hi", "k")).await.unwrap();
    assert!(again.replayed);
    forget(&world).await;
    let late = commands.send_message(ann, room, keyed("hi", "k")).await;
    assert_eq!(refusal(late), Rejection::IdempotencyMismatch);
}
