use bytes::Bytes;
use klatch_memory::bus::{BusLimits, MemoryBus};
use klatch_ports::bus::{BusPublisher, BusSubscriber};
use std::future::{Ready, ready};

fn make() -> Ready<MemoryBus> {
    ready(MemoryBus::default())
}

klatch_conformance::bus_suite!(make);

#[tokio::test]
async fn a_full_queue_drops_the_newest_and_counts_it() {
    let bus = MemoryBus::with_limits(BusLimits { payloads: 2, bytes: 1000 });
    let mut subscription = bus.subscribe("s").await.unwrap();
    for payload in ["1", "2", "3"] {
        bus.publish("s", Bytes::from(payload)).await.unwrap();
    }
    assert_eq!(bus.dropped(), 1);
    assert_eq!(subscription.try_next(), Some(("s".to_owned(), Bytes::from("1"))));
    bus.publish("s", Bytes::from("4")).await.unwrap();
    assert_eq!(subscription.try_next(), Some(("s".to_owned(), Bytes::from("2"))));
    assert_eq!(subscription.try_next(), Some(("s".to_owned(), Bytes::from("4"))));
    assert_eq!(subscription.try_next(), None);
}

#[tokio::test]
async fn a_queue_is_bounded_by_bytes_too() {
    let bus = MemoryBus::with_limits(BusLimits { payloads: 1000, bytes: 25 });
    let mut subscription = bus.subscribe("s").await.unwrap();
    for _ in 0..5 {
        bus.publish("s", Bytes::from_static(&[0; 9])).await.unwrap();
    }
    assert_eq!(bus.dropped(), 3);
    assert!(subscription.try_next().is_some());
    bus.publish("s", Bytes::from_static(&[0; 14])).await.unwrap();
    assert_eq!(bus.dropped(), 3, "taking a payload makes room");
    bus.publish("s", Bytes::from_static(&[0; 26])).await.unwrap();
    assert_eq!(bus.dropped(), 4);
}

#[tokio::test]
async fn a_full_queue_harms_no_other_subscription() {
    let bus = MemoryBus::with_limits(BusLimits { payloads: 1, bytes: 1000 });
    let _full = bus.subscribe("s").await.unwrap();
    let mut quick = bus.subscribe("s").await.unwrap();
    for payload in ["1", "2"] {
        bus.publish("s", Bytes::from(payload)).await.unwrap();
        assert_eq!(quick.next().await, Some(("s".to_owned(), Bytes::from(payload))));
    }
    assert_eq!(bus.dropped(), 1);
}

#[tokio::test]
async fn closing_ends_subscriptions_after_what_is_queued() {
    let bus = MemoryBus::default();
    let mut early = bus.subscribe("s").await.unwrap();
    let mut waiting = bus.subscribe("p.>").await.unwrap();
    bus.publish("s", Bytes::from("1")).await.unwrap();
    let (ended, ()) = futures::join!(waiting.next(), async { bus.close() });
    assert_eq!(ended, None);
    assert!(early.next().await.is_some());
    assert_eq!(early.next().await, None);
    assert_eq!(bus.subscribe("s").await.unwrap().next().await, None);
}
