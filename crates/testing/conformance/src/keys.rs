//! Cases for [`klatch_ports::keys`]. Each begins without keys.

use klatch_ports::keys::{KeyReader, KeyWriter};

use crate::sample::user_id;

/// What these cases run on.
pub trait Store: KeyReader + KeyWriter {}

impl<T: KeyReader + KeyWriter> Store for T {}

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! key_store_tests {
    ($open:expr) => {
        $crate::suite!(
            keys,
            $open,
            [
                a_person_without_a_key_has_none,
                keys_of_many_people_differ_and_stay,
                creating_again_keeps_the_key,
                a_destroyed_key_is_gone_and_others_stay,
                a_key_made_after_destruction_is_another,
            ]
        );
    };
}

async fn key(store: &impl Store, person: u64) -> Option<[u8; 32]> {
    store.key(user_id(person)).await.expect("a look-up").map(|key| key.0)
}

/// Nothing is made by asking.
pub async fn a_person_without_a_key_has_none(store: &impl Store) {
    assert_eq!(key(store, 1).await, None);
    assert!(!store.destroy(user_id(1)).await.expect("destroy"));
    store.create(&[]).await.expect("create");
    assert_eq!(key(store, 1).await, None);
}

/// One call makes many, each of its own, and a person named twice gets one.
pub async fn keys_of_many_people_differ_and_stay(store: &impl Store) {
    let people: Vec<_> = (0..300).chain(0..10).map(user_id).collect();
    store.create(&people).await.expect("create");
    let mut seen = std::collections::BTreeSet::new();
    for person in 0..300 {
        let found = key(store, person).await.expect("a key");
        assert_ne!(found, [0; 32]);
        assert!(seen.insert(found), "the key of {person} is another's too");
        assert_eq!(key(store, person).await, Some(found));
    }
}

/// A second creation must not make old words unreadable.
pub async fn creating_again_keeps_the_key(store: &impl Store) {
    store.create(&[user_id(1)]).await.expect("create");
    let first = key(store, 1).await;
    store.create(&[user_id(2), user_id(1)]).await.expect("create");
    assert_eq!(key(store, 1).await, first);
    assert!(key(store, 2).await.is_some());
}

/// Erasing one person touches no other.
pub async fn a_destroyed_key_is_gone_and_others_stay(store: &impl Store) {
    store.create(&[user_id(1), user_id(2), user_id(3)]).await.expect("create");
    let (first, third) = (key(store, 1).await, key(store, 3).await);
    assert!(store.destroy(user_id(2)).await.expect("destroy"));
    assert_eq!(key(store, 2).await, None);
    assert!(!store.destroy(user_id(2)).await.expect("destroy"));
    assert_eq!((key(store, 1).await, key(store, 3).await), (first, third));
}

/// Destruction is final: a later key opens nothing of before.
pub async fn a_key_made_after_destruction_is_another(store: &impl Store) {
    store.create(&[user_id(1)]).await.expect("create");
    let old = key(store, 1).await;
    assert!(store.destroy(user_id(1)).await.expect("destroy"));
    store.create(&[user_id(1)]).await.expect("create");
    let new = key(store, 1).await;
    assert!(new.is_some() && new != old);
}
