//! The suite of the ephemeral KV: `klatch_conformance::kv_suite!(make)` in a test module, where
//! `make` is an async function that gives an empty KV. `kv_suite!(paused make)` runs it on paused
//! time, for an engine whose time is tokio's.

use std::time::Duration;

use bytes::Bytes;
use klatch_ports::kv::{Entry, KvChange, KvReader, KvWatch, KvWriter, Revision};

/// Both halves of the port.
pub trait Kv: KvReader + KvWriter {}
impl<T: KvReader + KvWriter> Kv for T {}

/// Makes every case a test.
#[macro_export]
macro_rules! kv_suite {
    ($make:path) => { $crate::kv_suite!(@all (#[tokio::test]), $make); };
    (paused $make:path) => {
        $crate::kv_suite!(@all (#[tokio::test(start_paused = true)]), $make);
    };
    (@all $attribute:tt, $make:path) => {
        $crate::kv_suite!(@each $attribute, $make, [
            a_value_is_read_as_it_was_put,
            revisions_grow_with_every_change,
            a_deleted_key_is_absent,
            put_if_absent_takes_place_once,
            put_if_takes_place_only_on_the_named_revision,
            put_if_on_a_deleted_key_needs_absence,
            of_many_put_if_on_one_revision_one_wins,
            a_key_expires_after_its_ttl,
            putting_again_renews_the_ttl,
            putting_again_without_a_ttl_keeps_the_key,
            an_expired_key_counts_as_absent_for_put_if,
            a_list_holds_the_present_keys_of_its_prefix_in_order,
            a_watch_shows_what_is_there_then_what_changes,
            a_watch_shows_only_its_prefix,
            a_watch_shows_an_expiry_that_nobody_else_noticed,
            a_watch_misses_nothing_while_others_write,
            a_watch_that_falls_behind_ends,
            a_dropped_watch_harms_no_other,
        ]);
    };
    (@each $attribute:tt, $make:path, [$($case:ident),* $(,)?]) => {
        $( $crate::kv_suite!(@one $attribute, $make, $case); )*
    };
    (@one ($($attribute:tt)*), $make:path, $case:ident) => {
        $($attribute)*
        async fn $case() {
            let kv = $make().await;
            $crate::kv::$case(&kv).await;
        }
    };
}

/// Long enough that a loaded machine does not expire a key between two calls.
const TTL: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(10);

async fn put(kv: &impl Kv, key: &str, value: &'static str) -> Revision {
    kv.put(key, Bytes::from(value), None).await.expect("put")
}

async fn put_for(kv: &impl Kv, key: &str, value: &'static str, ttl: Duration) -> Revision {
    kv.put(key, Bytes::from(value), Some(ttl)).await.expect("put")
}

async fn get(kv: &impl Kv, key: &str) -> Option<Entry> {
    kv.get(key).await.expect("get")
}

async fn value(kv: &impl Kv, key: &str) -> Option<Bytes> {
    get(kv, key).await.map(|entry| entry.value)
}

async fn put_if(
    kv: &impl Kv,
    key: &str,
    value: &'static str,
    expected: Option<Revision>,
) -> Option<Revision> {
    kv.put_if(key, Bytes::from(value), None, expected).await.expect("put_if")
}

async fn next(watch: &mut Box<dyn KvWatch>) -> KvChange {
    let next = tokio::time::timeout(PATIENCE, watch.next()).await;
    next.expect("no change arrived").expect("the watch ended")
}

fn change(key: &str, value: Option<&'static str>, revision: Revision) -> KvChange {
    KvChange { key: key.to_owned(), value: value.map(Bytes::from), revision }
}

/// A value comes back with the revision its put answered.
pub async fn a_value_is_read_as_it_was_put(kv: &impl Kv) {
    assert_eq!(get(kv, "user.a.1").await, None);
    let revision = put(kv, "user.a.1", "x").await;
    assert_eq!(get(kv, "user.a.1").await, Some(Entry { value: Bytes::from("x"), revision }));
    assert_eq!(get(kv, "user.a").await, None, "a prefix is not the key");
}

/// What is gone, expired or of another prefix is not listed.
pub async fn a_list_holds_the_present_keys_of_its_prefix_in_order(kv: &impl Kv) {
    assert_eq!(kv.list("user.a.").await.unwrap(), []);
    let second = put(kv, "user.a.2", "y").await;
    let first = put(kv, "user.a.1", "x").await;
    put(kv, "user.b.1", "z").await;
    put(kv, "user.a", "no").await;
    put(kv, "user.a.3", "gone").await;
    kv.delete("user.a.3").await.unwrap();
    put_for(kv, "user.a.4", "expired", TTL).await;
    tokio::time::sleep(TTL * 2).await;
    let entry = |value: &'static str, revision| Entry { value: Bytes::from(value), revision };
    let wanted =
        [("user.a.1".to_owned(), entry("x", first)), ("user.a.2".to_owned(), entry("y", second))];
    assert_eq!(kv.list("user.a.").await.unwrap(), wanted);
}

/// One counter for the whole KV.
pub async fn revisions_grow_with_every_change(kv: &impl Kv) {
    let revisions = [
        put(kv, "a", "1").await,
        put(kv, "b", "1").await,
        put(kv, "a", "1").await,
        kv.delete("b").await.unwrap(),
        kv.delete("never there").await.unwrap(),
        put(kv, "b", "2").await,
    ];
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
}

/// Deleting is visible at once.
pub async fn a_deleted_key_is_absent(kv: &impl Kv) {
    put(kv, "gone", "x").await;
    kv.delete("gone").await.unwrap();
    assert_eq!(get(kv, "gone").await, None);
}

/// `None` expects absence.
pub async fn put_if_absent_takes_place_once(kv: &impl Kv) {
    let first = put_if(kv, "claim", "first", None).await;
    assert!(first.is_some());
    assert_eq!(put_if(kv, "claim", "second", None).await, None);
    assert_eq!(value(kv, "claim").await, Some(Bytes::from("first")));
}

/// Compare and set.
pub async fn put_if_takes_place_only_on_the_named_revision(kv: &impl Kv) {
    let first = put(kv, "cas", "1").await;
    let second = put_if(kv, "cas", "2", Some(first)).await.expect("first holds");
    assert_eq!(put_if(kv, "cas", "3", Some(first)).await, None);
    let third = put_if(kv, "cas", "3", Some(second)).await;
    assert!(third.is_some_and(|third| third > second));
    assert_eq!(value(kv, "cas").await, Some(Bytes::from("3")));
}

/// A removal is not a revision one can expect.
pub async fn put_if_on_a_deleted_key_needs_absence(kv: &impl Kv) {
    put(kv, "cas", "1").await;
    let removed = kv.delete("cas").await.unwrap();
    assert_eq!(put_if(kv, "cas", "2", Some(removed)).await, None);
    assert!(put_if(kv, "cas", "2", None).await.is_some());
}

/// Concurrent claims have one winner.
pub async fn of_many_put_if_on_one_revision_one_wins(kv: &impl Kv) {
    let base = put(kv, "race", "0").await;
    let tries = (0..16).map(|_| put_if(kv, "race", "x", Some(base)));
    let won = futures::future::join_all(tries).await.into_iter().flatten().count();
    assert_eq!(won, 1);
}

/// A time to live ends; keys without one stay.
pub async fn a_key_expires_after_its_ttl(kv: &impl Kv) {
    put_for(kv, "short", "x", TTL).await;
    put(kv, "long", "x").await;
    assert!(get(kv, "short").await.is_some());
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(get(kv, "short").await, None);
    assert!(get(kv, "long").await.is_some());
}

/// The newest put decides.
pub async fn putting_again_renews_the_ttl(kv: &impl Kv) {
    put_for(kv, "renewed", "1", TTL).await;
    put_for(kv, "renewed", "2", TTL * 20).await;
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(value(kv, "renewed").await, Some(Bytes::from("2")));
}

/// A put without a time to live removes an earlier one.
pub async fn putting_again_without_a_ttl_keeps_the_key(kv: &impl Kv) {
    put_for(kv, "kept", "1", TTL).await;
    put(kv, "kept", "2").await;
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(value(kv, "kept").await, Some(Bytes::from("2")));
}

/// Expired is absent, for a compare-and-set too.
pub async fn an_expired_key_counts_as_absent_for_put_if(kv: &impl Kv) {
    let old = put_for(kv, "lease", "1", TTL).await;
    assert_eq!(put_if(kv, "lease", "2", None).await, None);
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(put_if(kv, "lease", "2", Some(old)).await, None);
    assert!(put_if(kv, "lease", "2", None).await.is_some());
}

/// First the state, then every change in order, with nothing lost in between.
pub async fn a_watch_shows_what_is_there_then_what_changes(kv: &impl Kv) {
    let a = put(kv, "w.a", "1").await;
    let b = put(kv, "w.b", "1").await;
    let mut watch = kv.watch("w.").await.unwrap();
    let a2 = put(kv, "w.a", "2").await;
    let gone = kv.delete("w.b").await.unwrap();
    let mut initial = vec![next(&mut watch).await, next(&mut watch).await];
    initial.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(initial, [change("w.a", Some("1"), a), change("w.b", Some("1"), b)]);
    assert_eq!(next(&mut watch).await, change("w.a", Some("2"), a2));
    assert_eq!(next(&mut watch).await, change("w.b", None, gone));
    assert_eq!(watch.try_next(), None);
}

/// Keys that only sort near the prefix are not shown.
pub async fn a_watch_shows_only_its_prefix(kv: &impl Kv) {
    put(kv, "other", "1").await;
    put(kv, "p", "1").await;
    put(kv, "q.a", "1").await;
    let mut watch = kv.watch("p.").await.unwrap();
    put(kv, "p-a", "2").await;
    let shown = put(kv, "p.a", "2").await;
    put(kv, "q.a", "2").await;
    assert_eq!(next(&mut watch).await, change("p.a", Some("2"), shown));
    assert_eq!(watch.try_next(), None);
}

/// A waiting watch learns of an expiry although no call touches the key.
pub async fn a_watch_shows_an_expiry_that_nobody_else_noticed(kv: &impl Kv) {
    let mut watch = kv.watch("user.").await.unwrap();
    let set = put_for(kv, "user.a", "online", TTL).await;
    assert_eq!(next(&mut watch).await, change("user.a", Some("online"), set));
    let expired = next(&mut watch).await;
    assert_eq!((expired.key.as_str(), &expired.value), ("user.a", &None));
    assert!(expired.revision > set);
}

/// A watch that keeps up sees every change once.
pub async fn a_watch_misses_nothing_while_others_write(kv: &impl Kv) {
    let mut watch = kv.watch("busy.").await.unwrap();
    let write = async {
        for n in 0..500u32 {
            let key = format!("busy.{}", n % 7);
            kv.put(&key, Bytes::copy_from_slice(&n.to_be_bytes()), None).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        for n in 0..500u32 {
            let change = next(&mut watch).await;
            assert_eq!(change.key, format!("busy.{}", n % 7));
            assert_eq!(change.value.as_deref(), Some(&n.to_be_bytes()[..]));
        }
    };
    futures::join!(write, read);
}

/// Falling behind ends the watch instead of skipping or growing; a new one starts from the state.
pub async fn a_watch_that_falls_behind_ends(kv: &impl Kv) {
    let mut watch = kv.watch("flood.").await.unwrap();
    for n in 0..100_000u32 {
        kv.put("flood.a", Bytes::copy_from_slice(&n.to_be_bytes()), None).await.unwrap();
    }
    let mut expected = 0u32;
    let ended = async {
        while let Some(change) = watch.next().await {
            assert_eq!(change.value.as_deref(), Some(&expected.to_be_bytes()[..]));
            expected += 1;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the watch goes on");
    let mut again = kv.watch("flood.").await.unwrap();
    assert_eq!(next(&mut again).await.value.as_deref(), Some(&99_999u32.to_be_bytes()[..]));
}

/// Dropping a handle ends that watch only.
pub async fn a_dropped_watch_harms_no_other(kv: &impl Kv) {
    let first = kv.watch("d.").await.unwrap();
    let mut second = kv.watch("d.").await.unwrap();
    drop(first);
    let set = put(kv, "d.a", "1").await;
    assert_eq!(next(&mut second).await, change("d.a", Some("1"), set));
}
