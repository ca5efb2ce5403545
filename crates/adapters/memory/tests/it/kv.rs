use std::future::{Ready, ready};
use std::time::Duration;

use bytes::Bytes;
use klatch_memory::kv::MemoryKv;
use klatch_ports::kv::{KvReader, KvWriter};

fn make() -> Ready<MemoryKv> {
    ready(MemoryKv::default())
}

klatch_conformance::kv_suite!(paused make);

#[tokio::test(start_paused = true)]
async fn expired_keys_leave_memory_when_anything_is_done() {
    let kv = MemoryKv::default();
    for n in 0..1000 {
        let ttl = Duration::from_secs(n % 10 + 1);
        kv.put(&format!("k{n}"), Bytes::new(), Some(ttl)).await.unwrap();
    }
    tokio::time::advance(Duration::from_millis(5_500)).await;
    assert_eq!(kv.len(), 500);
    tokio::time::advance(Duration::from_mins(1)).await;
    assert!(kv.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ttl_beyond_what_the_clock_can_count_never_ends() {
    let kv = MemoryKv::default();
    kv.put("k", Bytes::new(), Some(Duration::MAX)).await.unwrap();
    tokio::time::advance(Duration::from_secs(1_000_000)).await;
    assert!(kv.get("k").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_watches_and_keeps_values() {
    let kv = MemoryKv::default();
    kv.put("a", Bytes::new(), None).await.unwrap();
    let mut watch = kv.watch("").await.unwrap();
    assert!(watch.next().await.is_some());
    let (ended, ()) = futures::join!(watch.next(), async { kv.close() });
    assert_eq!(ended, None);
    assert_eq!(kv.watch("").await.unwrap().next().await, None);
    assert!(kv.get("a").await.unwrap().is_some());
}
