//! A sender's own key creates at most one message, whatever happens between.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use klatch_domain::event::Change;
use klatch_domain::room::Visibility;
use klatch_domain::{Clock as _, Rejection};
use klatch_memory::key_index::MemoryKeyIndex;
use klatch_ports::api::commands::CommandApi;
use tokio::time::sleep;

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

const DAY: Duration = Duration::from_hours(24);
/// The index has followed the log and forgotten what it would after this.
const A_WHILE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_by_days_and_back_makes_no_key_forgotten() {
    let world = World::new(7);
    let (commands, _stop) = world.feeding_instance(Arc::default()).await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    let before = world.clock.now();
    let mut first = Vec::new();
    for days in [0u32, 3, 40] {
        world.clock.advance(DAY * days);
        let sent = commands.send_message(ann, room, keyed("hi", &format!("k{days}"))).await;
        first.push((days, sent.unwrap()));
        sleep(A_WHILE).await;
        for (days, sent) in &first {
            let again = commands.send_message(ann, room, keyed("hi", &format!("k{days}"))).await;
            let again = again.unwrap();
            assert_eq!((again.message, again.replayed), (sent.message, true), "{days} days ahead");
        }
    }
    world.clock.set(before);
    sleep(A_WHILE).await;
    for (days, sent) in &first {
        let again = commands.send_message(ann, room, keyed("hi", &format!("k{days}"))).await;
        assert_eq!(again.unwrap().message, sent.message, "set back");
    }
    assert_eq!(world.timeline(room).await.len(), 1 + first.len());
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_a_day_after_it_was_sent_whatever_the_clock_says() {
    let world = World::new(8);
    let (commands, _stop) = world.feeding_instance(Arc::default()).await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    commands.send_message(ann, room, keyed("hi", "k")).await.unwrap();
    sleep(Duration::from_hours(23)).await;
    assert!(commands.send_message(ann, room, keyed("hi", "k")).await.unwrap().replayed);
    sleep(Duration::from_hours(1) + A_WHILE).await;
    assert!(!commands.send_message(ann, room, keyed("hi", "k")).await.unwrap().replayed);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_no_older_after_a_time_in_which_no_server_ran() {
    let world = World::new(9);
    let index = Arc::new(MemoryKeyIndex::default());
    let ann = world.person("ann").await;
    let (commands, stop) = world.feeding_instance(Arc::clone(&index)).await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    let sent = commands.send_message(ann, room, keyed("hi", "k")).await.unwrap();
    sleep(A_WHILE).await;
    drop(stop);
    sleep(DAY * 7).await;
    world.clock.advance(DAY * 7);
    let (commands, _stop) = world.feeding_instance(index).await;
    sleep(A_WHILE).await;
    let again = commands.send_message(ann, room, keyed("hi", "k")).await.unwrap();
    assert_eq!((again.message, again.replayed), (sent.message, true));
}

#[tokio::test]
async fn an_index_made_anew_after_the_clock_jumped_knows_the_keys_of_the_last_two_days() {
    let world = World::new(10);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    commands.send_message(ann, room, keyed("hi", "old")).await.unwrap();
    world.clock.advance(DAY * 3);
    commands.send_message(ann, room, keyed("hi", "k")).await.unwrap();
    world.clock.advance(DAY * 30);
    let again = world.instance().await;
    assert!(again.send_message(ann, room, keyed("hi", "k")).await.unwrap().replayed);
    assert!(!again.send_message(ann, room, keyed("hi", "old")).await.unwrap().replayed);
}
