//! Cases for [`klatch_ports::api_tokens`] and for resets of passwords. Each begins with none.

use klatch_domain::scope::Scopes;
use klatch_ports::accounts::{Reset, ResetStore, Swept};
use klatch_ports::api_tokens::ApiTokenStore;

use crate::sample::{api_token, time, user_id};

/// What these cases run on.
pub trait Store: ApiTokenStore + ResetStore {}

impl<T: ApiTokenStore + ResetStore> Store for T {}

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! api_token_store_tests {
    ($open:expr) => {
        $crate::suite!(
            api_tokens,
            $open,
            [
                a_token_reads_back_whole_until_it_is_revoked,
                tokens_are_listed_by_user_newest_first,
                a_reset_is_taken_once,
                many_at_once_take_a_reset_and_one_gets_it,
                a_newer_reset_of_a_user_replaces_the_older,
                ended_resets_are_swept_in_turns_and_the_others_stay,
            ]
        );
    };
}

fn reset(n: u8, user: u64) -> Reset {
    Reset { hash: [n; 32], user: user_id(user), expires_at: time(u64::from(n)) }
}

/// Every field survives.
pub async fn a_token_reads_back_whole_until_it_is_revoked(store: &impl Store) {
    let plain = api_token(1, user_id(1));
    let mut full = api_token(2, user_id(1));
    full.scopes = Scopes::from_bits(1).expect("scopes");
    (full.expires_at, full.made_by) = (Some(time(77)), Some(user_id(9)));
    for one in [&plain, &full] {
        assert_eq!(store.token(one.id).await.expect("read"), None);
        store.create_token(one).await.expect("create");
        assert_eq!(store.token(one.id).await.expect("read").as_ref(), Some(one));
    }
    assert!(store.revoke_token(plain.id).await.expect("revoke"));
    assert!(!store.revoke_token(plain.id).await.expect("revoke"));
    assert_eq!(store.token(plain.id).await.expect("read"), None);
    assert_eq!(store.tokens(user_id(1)).await.expect("list"), [full]);
}

/// A user's list holds theirs alone.
pub async fn tokens_are_listed_by_user_newest_first(store: &impl Store) {
    for (n, user) in [(1, 1), (2, 2), (3, 1)] {
        store.create_token(&api_token(n, user_id(user))).await.expect("create");
    }
    let listed = store.tokens(user_id(1)).await.expect("list");
    assert_eq!(listed, [api_token(3, user_id(1)), api_token(1, user_id(1))]);
    assert_eq!(store.tokens(user_id(3)).await.expect("list"), []);
}

/// Looking does not use it up, taking does.
pub async fn a_reset_is_taken_once(store: &impl Store) {
    let one = reset(1, 1);
    assert_eq!(store.reset(one.hash).await.expect("read"), None);
    store.put_reset(&one).await.expect("put");
    for _ in 0..2 {
        assert_eq!(store.reset(one.hash).await.expect("read"), Some(one.clone()));
    }
    assert_eq!(store.take_reset([2; 32]).await.expect("take"), None);
    assert_eq!(store.take_reset(one.hash).await.expect("take"), Some(one.clone()));
    assert_eq!(store.take_reset(one.hash).await.expect("take"), None);
    assert_eq!(store.reset(one.hash).await.expect("read"), None);
}

/// Two who have the same link do not both set the password.
pub async fn many_at_once_take_a_reset_and_one_gets_it(store: &impl Store) {
    store.put_reset(&reset(1, 1)).await.expect("put");
    let all = (0..32).map(|_| async { store.take_reset([1; 32]).await.expect("take").is_some() });
    let got = futures::future::join_all(all).await;
    assert_eq!(got.iter().filter(|got| **got).count(), 1);
}

/// Others' stay.
pub async fn a_newer_reset_of_a_user_replaces_the_older(store: &impl Store) {
    for one in [reset(1, 1), reset(2, 2), reset(3, 1)] {
        store.put_reset(&one).await.expect("put");
    }
    assert_eq!(store.take_reset([1; 32]).await.expect("take"), None);
    assert_eq!(store.take_reset([2; 32]).await.expect("take"), Some(reset(2, 2)));
    assert_eq!(store.take_reset([3; 32]).await.expect("take"), Some(reset(3, 1)));
}

/// Whoever asked again has the newer one, which has not ended.
pub async fn ended_resets_are_swept_in_turns_and_the_others_stay(store: &impl Store) {
    for one in [reset(10, 1), reset(30, 2), reset(19, 3), reset(20, 4), reset(5, 1), reset(40, 3)] {
        store.put_reset(&one).await.expect("put");
    }
    let turn = async |after| store.sweep_resets(after, time(20), 3).await.expect("sweep");
    assert_eq!(turn(None).await, Swept { removed: 1, next: Some(user_id(3)) });
    assert_eq!(turn(Some(user_id(3))).await, Swept { removed: 0, next: None });
    assert_eq!(turn(None).await, Swept { removed: 0, next: Some(user_id(4)) });
    for gone in [5, 10, 19] {
        assert_eq!(store.reset([gone; 32]).await.expect("read"), None);
    }
    for one in [reset(30, 2), reset(20, 4), reset(40, 3)] {
        assert_eq!(store.take_reset(one.hash).await.expect("take"), Some(one));
    }
    // Who had one that was swept gets another.
    store.put_reset(&reset(50, 1)).await.expect("put");
    assert_eq!(store.take_reset([50; 32]).await.expect("take"), Some(reset(50, 1)));
}
