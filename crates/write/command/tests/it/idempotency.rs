//! A sender's own key creates at most one message, whatever happens between.

use std::sync::Arc;

use futures::future::join_all;
use klatch_domain::Rejection;
use klatch_domain::event::Change;
use klatch_domain::room::Visibility;
use klatch_ports::api::commands::CommandApi;

use crate::world::{World, channel, keyed, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_key_creates_nothing_and_gets_the_first_answer() {
    let world = World::new(1);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    let answers = join_all((0..20).map(|_| {
        let commands = Arc::clone(&commands);
        async move { commands.send_message(ann, room, keyed("hi", "k1")).await.unwrap() }
    }))
    .await;
    let first = answers.iter().find(|sent| !sent.replayed).unwrap();
    assert_eq!(answers.iter().filter(|sent| !sent.replayed).count(), 1);
    for sent in &answers {
        assert_eq!(
            (sent.message, sent.seq, sent.ordinal, sent.at, sent.position),
            (first.message, first.seq, first.ordinal, first.at, first.position)
        );
    }
    let events = world.timeline(room).await;
    let sent = events.iter().filter(|e| matches!(e.change, Change::MessageSent(_))).count();
    assert_eq!(sent, 1);
}

#[tokio::test]
async fn a_key_is_known_to_a_later_life_of_the_instance_and_to_others() {
    let world = World::new(2);
    let ann = world.person("ann").await;
    let first = world.instance().await;
    let room = channel(&first, ann, "a", Visibility::Private, &[]).await;
    let sent = first.send_message(ann, room, keyed("hi", "k1")).await.unwrap();
    drop(first);
    let second = world.instance().await;
    let again = second.send_message(ann, room, keyed("hi", "k1")).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.message, again.seq, again.position), (sent.message, sent.seq, sent.position));
}

#[tokio::test]
async fn the_same_key_with_other_words_is_refused() {
    let world = World::new(3);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    commands.send_message(ann, room, keyed("hi", "k1")).await.unwrap();
    let other = commands.send_message(ann, room, keyed("ho", "k1")).await;
    assert_eq!(refusal(other), Rejection::IdempotencyMismatch);
}

#[tokio::test]
async fn keys_of_two_people_or_rooms_do_not_meet() {
    let world = World::new(4);
    let commands = world.instance().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let here = channel(&commands, ann, "a", Visibility::Private, &[bob]).await;
    let there = channel(&commands, ann, "b", Visibility::Private, &[]).await;
    for (actor, room) in [(ann, here), (bob, here), (ann, there)] {
        let sent = commands.send_message(actor, room, keyed("hi", "k")).await.unwrap();
        assert!(!sent.replayed);
    }
}

#[tokio::test]
async fn a_key_is_looked_up_before_permissions() {
    let world = World::new(5);
    let commands = world.instance().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = channel(&commands, ann, "a", Visibility::Private, &[bob]).await;
    let sent = commands.send_message(bob, room, keyed("hi", "k")).await.unwrap();
    commands.remove_member(ann, room, bob.user).await.unwrap();
    let again = commands.send_message(bob, room, keyed("hi", "k")).await.unwrap();
    assert_eq!((again.message, again.replayed), (sent.message, true));
    let new = commands.send_message(bob, room, keyed("hi", "other")).await;
    assert_eq!(refusal(new), Rejection::RoomNotFound);
}

#[tokio::test]
async fn a_refused_send_is_not_remembered() {
    let world = World::new(6);
    let commands = world.instance().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = channel(&commands, ann, "a", Visibility::Public, &[]).await;
    let refused = commands.send_message(bob, room, keyed("hi", "k")).await;
    assert_eq!(refusal(refused), Rejection::Forbidden);
    commands.join(bob, room).await.unwrap();
    assert!(!commands.send_message(bob, room, keyed("hi", "k")).await.unwrap().replayed);
}
