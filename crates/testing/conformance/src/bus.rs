//! The suite of the bus: `klatch_conformance::bus_suite!(make)` in a test module, where `make` is
//! an async function that gives an empty bus (anything that borrows as `&impl Bus`).

use std::time::Duration;

use bytes::Bytes;
use klatch_ports::bus::{BusPublisher, BusSubscriber, Subscription};

/// Both halves of the port.
pub trait Bus: BusPublisher + BusSubscriber {}
impl<T: BusPublisher + BusSubscriber> Bus for T {}

/// Makes every case a test.
#[macro_export]
macro_rules! bus_suite {
    ($make:path) => {
        $crate::bus_suite!(@each $make, [
            a_subscriber_gets_what_is_published_after_it_came,
            a_prefix_subscriber_gets_all_subjects_below_it,
            payloads_of_one_publisher_arrive_in_order,
            every_subscriber_of_a_subject_gets_each_payload,
            a_dropped_subscription_gets_nothing_and_harms_no_other,
            publishing_to_nobody_is_no_error,
            a_slow_subscriber_loses_payloads_but_never_their_order,
            a_payload_of_a_mebibyte_passes_unchanged,
        ]);
    };
    (@each $make:path, [$($case:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $case() {
                let bus = $make().await;
                $crate::bus::$case(&bus).await;
            }
        )*
    };
}

const PATIENCE: Duration = Duration::from_secs(10);

async fn next(subscription: &mut Box<dyn Subscription>) -> (String, Bytes) {
    let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
    next.expect("nothing arrived").expect("the subscription ended")
}

async fn publish(bus: &impl Bus, subject: &str, payload: &'static str) {
    bus.publish(subject, Bytes::from(payload)).await.expect("publish");
}

async fn subscribe(bus: &impl Bus, subject: &str) -> Box<dyn Subscription> {
    bus.subscribe(subject).await.expect("subscribe")
}

fn got(subject: &str, payload: &'static str) -> (String, Bytes) {
    (subject.to_owned(), Bytes::from(payload))
}

/// Nothing from before the subscription, everything after it, and only its own subject.
pub async fn a_subscriber_gets_what_is_published_after_it_came(bus: &impl Bus) {
    publish(bus, "case.after", "before").await;
    let mut subscription = subscribe(bus, "case.after").await;
    assert_eq!(subscription.try_next(), None);
    publish(bus, "case.after.below", "another subject").await;
    publish(bus, "case.afterwards", "another subject").await;
    publish(bus, "case.after", "one").await;
    publish(bus, "case.after", "two").await;
    assert_eq!(next(&mut subscription).await, got("case.after", "one"));
    assert_eq!(next(&mut subscription).await, got("case.after", "two"));
    assert_eq!(subscription.try_next(), None);
}

/// A subject that ends in `>` stands for all that begin with the rest.
pub async fn a_prefix_subscriber_gets_all_subjects_below_it(bus: &impl Bus) {
    let mut below = subscribe(bus, "case.prefix.>").await;
    publish(bus, "case.prefix.a", "a").await;
    publish(bus, "case.other.b", "b").await;
    publish(bus, "case.prefix.c.d", "c").await;
    assert_eq!(next(&mut below).await, got("case.prefix.a", "a"));
    assert_eq!(next(&mut below).await, got("case.prefix.c.d", "c"));
    assert_eq!(below.try_next(), None);
}

/// One publisher's payloads keep their order.
pub async fn payloads_of_one_publisher_arrive_in_order(bus: &impl Bus) {
    let mut subscription = subscribe(bus, "case.order").await;
    for n in 0..500u32 {
        bus.publish("case.order", Bytes::copy_from_slice(&n.to_be_bytes())).await.unwrap();
    }
    for n in 0..500u32 {
        assert_eq!(next(&mut subscription).await.1.as_ref(), n.to_be_bytes());
    }
}

/// Subscribers do not share a queue.
pub async fn every_subscriber_of_a_subject_gets_each_payload(bus: &impl Bus) {
    let mut first = subscribe(bus, "case.each").await;
    let mut second = subscribe(bus, "case.each").await;
    let mut all = subscribe(bus, "case.>").await;
    publish(bus, "case.each", "x").await;
    for subscription in [&mut first, &mut second, &mut all] {
        assert_eq!(next(subscription).await, got("case.each", "x"));
        assert_eq!(subscription.try_next(), None);
    }
}

/// Dropping a handle ends that subscription only.
pub async fn a_dropped_subscription_gets_nothing_and_harms_no_other(bus: &impl Bus) {
    let first = subscribe(bus, "case.dropped").await;
    let mut second = subscribe(bus, "case.dropped").await;
    drop(first);
    publish(bus, "case.dropped", "x").await;
    assert_eq!(next(&mut second).await, got("case.dropped", "x"));
    drop(second);
    publish(bus, "case.dropped", "y").await;
    let mut third = subscribe(bus, "case.dropped").await;
    publish(bus, "case.dropped", "z").await;
    assert_eq!(next(&mut third).await, got("case.dropped", "z"));
}

/// Fire and forget.
pub async fn publishing_to_nobody_is_no_error(bus: &impl Bus) {
    publish(bus, "case.nobody", "x").await;
}

/// A full queue drops, never reorders, and works again once it was emptied.
pub async fn a_slow_subscriber_loses_payloads_but_never_their_order(bus: &impl Bus) {
    const MANY: u32 = 20_000;
    let mut subscription = subscribe(bus, "case.slow").await;
    for n in 0..MANY {
        bus.publish("case.slow", Bytes::copy_from_slice(&n.to_be_bytes())).await.unwrap();
    }
    let mut last = None;
    while let Some((_, payload)) = subscription.try_next() {
        let n = u32::from_be_bytes(payload.as_ref().try_into().unwrap());
        assert!(last.is_none_or(|last| last < n), "{n} came after {last:?}");
        last = Some(n);
    }
    assert!(last.is_some(), "nothing arrived");
    publish(bus, "case.slow", "after").await;
    assert_eq!(next(&mut subscription).await, got("case.slow", "after"));
}

/// The largest payload a caller may count on.
pub async fn a_payload_of_a_mebibyte_passes_unchanged(bus: &impl Bus) {
    let payload: Bytes = (0..1024 * 1024u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut subscription = subscribe(bus, "case.large").await;
    bus.publish("case.large", payload.clone()).await.unwrap();
    assert!(next(&mut subscription).await.1 == payload);
}
