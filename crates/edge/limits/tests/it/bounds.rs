//! Memory is bounded, and who floods the tables hurts nobody else.

use std::net::Ipv6Addr;
use std::time::Duration;

use klatch_limits::{Action, Caller};

use crate::world::{MINUTE, World, messages, person};

const BUCKETS_MAX: usize = 65_536;

fn address(number: u64) -> Caller {
    let bits = (0x2001_0db8_u128 << 96) | (u128::from(number) << 64);
    Caller::Address(std::net::IpAddr::V6(Ipv6Addr::from_bits(bits)).into())
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_addresses_shares_a_bucket_and_people_are_not_concerned() {
    let world = World::one(&messages(60, MINUTE));
    let limiter = &world.instances[0];
    let mut refused = 0;
    for number in 0..100_000 {
        let standing = limiter.take(address(number), Action::Login).await.unwrap();
        refused += usize::from(standing.refused.is_some());
    }
    assert!(limiter.buckets() <= BUCKETS_MAX + 16, "{} buckets", limiter.buckets());
    assert!(world.kv.inner.len() <= BUCKETS_MAX + 16, "{} keys", world.kv.inner.len());
    assert!(refused > 30_000, "{refused} of the flood were refused");
    assert_eq!(world.sends(0, person(7), 100).await, 60);
    // Once the flood is over everything is as before.
    world.pass(2 * MINUTE).await;
    let standing = limiter.take(address(1_000_000), Action::Login).await.unwrap();
    assert_eq!((standing.refused, standing.remaining), (None, 29));
    for number in 0..2_000 {
        limiter.take(address(2_000_000 + number), Action::Login).await.unwrap();
    }
    assert!(world.kv.inner.len() < 3_000, "{} keys are left", world.kv.inner.len());
}

#[tokio::test(start_paused = true)]
async fn more_people_than_are_remembered_are_limited_all_the_same() {
    let world = World::one(&messages(10, MINUTE));
    assert_eq!(world.sends(0, person(1), 20).await, 10);
    for number in 2..150_000 {
        world.send(0, person(number << 3)).await;
    }
    assert!(world.instances[0].buckets() <= BUCKETS_MAX, "{}", world.instances[0].buckets());
    assert_eq!(world.sends(0, person(1), 20).await, 0, "the KV remembers");
    world.pass(Duration::from_secs(6)).await;
    assert_eq!(world.sends(0, person(1), 20).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_back_costs_a_window_at_most() {
    let world = World::one(&messages(10, MINUTE));
    world.sends(0, person(1), 20).await;
    world.clock.set(klatch_domain::Timestamp(1_000_000));
    let wait = world.send(0, person(1)).await.refused.unwrap();
    assert!(wait <= MINUTE, "{wait:?}");
    world.pass(MINUTE).await;
    assert!(world.sends(0, person(1), 20).await >= 9);
}
