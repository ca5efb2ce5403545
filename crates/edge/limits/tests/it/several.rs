//! Several instances, and a KV that does not answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use klatch_domain::UserId;
use klatch_limits::{Action, Asked, Caller, Class, Policy};

use crate::world::{MINUTE, World, messages, person};

#[tokio::test(start_paused = true)]
async fn instances_share_a_bucket_and_callers_do_not() {
    let world = World::new(&messages(60, MINUTE), 3);
    let mut through = 0;
    for _ in 0..40 {
        for instance in 0..3 {
            through += world.sends(instance, person(1), 1).await;
        }
    }
    assert_eq!(through, 60, "at one moment all together let through the count exactly");
    assert_eq!(world.sends(0, person(2), 100).await, 60, "another's bucket is full");
    let same_number = Caller::Address(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]).into());
    let standing = world.instances[0].take(same_number, Action::Send).await.unwrap();
    assert_eq!(standing.refused, None, "an address is no user");
    let other = world.instances[0].take(person(1), Action::CreateRoom).await.unwrap();
    assert_eq!((other.refused, other.remaining), (None, 9), "another action");
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_from_instance_to_instance_takes_their_bucket_along() {
    let world = World::new(&messages(60, MINUTE), 2);
    assert_eq!(world.sends(0, person(1), 50).await, 50);
    world.pass(Duration::from_secs(5)).await;
    // Fifteen are left but for those the first instance still holds.
    let through = world.sends(1, person(1), 100).await;
    assert!((15 - 6..=15).contains(&through), "{through}");
    // A role changes nothing.
    let admin = Caller::User(Class::Admin, UserId::from_bits(1));
    assert!(world.send(0, admin).await.remaining < 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_ask_at_once_still_give_out_the_count_exactly() {
    let world = Arc::new(World::new(&messages(100, MINUTE), 4));
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let mut through = 0;
                for _ in 0..50 {
                    through += world.sends(task % 4, person(1), 1).await;
                    tokio::task::yield_now().await;
                }
                through
            })
        })
        .collect();
    let mut through = 0;
    for task in tasks {
        through += task.await.unwrap();
    }
    let alone: u64 = world.instances.iter().map(|limiter| limiter.alone()).sum();
    assert!(through >= 100 && (alone > 0 || through == 100), "{through}, alone {alone}");
}

#[tokio::test(start_paused = true)]
async fn without_a_kv_each_instance_counts_for_itself_and_nobody_waits() {
    let world = World::new(&messages(60, MINUTE), 2);
    assert_eq!(world.sends(0, person(1), 20).await, 20);
    world.kv.is_down.store(true, Ordering::Relaxed);
    assert_eq!(world.sends(0, person(1), 100).await, 40, "what it knew goes on");
    assert_eq!(world.sends(1, person(1), 100).await, 60, "what it did not know it cannot count");
    assert!(world.instances[0].alone() > 0);
    world.kv.is_down.store(false, Ordering::Relaxed);
    world.pass(MINUTE).await;
    assert_eq!(world.sends(0, person(1), 100).await, 60);
}

#[tokio::test(start_paused = true)]
async fn most_decisions_and_all_refusals_cost_no_kv() {
    let world = World::one(&Policy::default());
    world.sends(0, person(1), 60).await;
    let (reads, writes) = world.kv.asked();
    assert!(reads <= 10 && writes <= 10, "{reads} reads and {writes} writes for 60 messages");
    world.sends(0, person(1), 10_000).await;
    assert!(world.kv.asked().0 <= reads + 1, "a refusal asks nobody");
    let refused: u64 = world.instances[0].refusals().map(|(_, count)| count).sum();
    assert_eq!(refused, 10_000);
}

#[tokio::test(start_paused = true)]
async fn the_open_policy_counts_nothing() {
    let world = World::one(&Policy::OPEN);
    for action in Action::ALL {
        assert_eq!(world.instances[0].ask(person(1), action), Asked::Free);
        assert_eq!(world.instances[0].take(person(1), action).await, None);
    }
    assert_eq!((world.kv.asked(), world.instances[0].buckets()), ((0, 0), 0));
}
