//! Cases for [`klatch_ports::accounts`]. Each begins with nobody.

use klatch_domain::user::ServerRole;
use klatch_ports::accounts::{
    Account, AccountStore, ClaimKind, Claimed, Claims, Replaced, Session, SessionStore, Swept,
};

use crate::sample::{account, claim, session, session_id, time, user_id};

/// What these cases run on.
pub trait Store: Claims + AccountStore + SessionStore {}

impl<T: Claims + AccountStore + SessionStore> Store for T {}

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! account_store_tests {
    ($open:expr) => {
        $crate::suite!(
            accounts,
            $open,
            [
                a_name_is_held_by_its_first_claimer,
                claims_are_taken_all_or_none,
                two_claims_of_one_name_in_one_call_conflict,
                only_the_holder_confirms_and_releases,
                kinds_of_names_do_not_meet,
                many_at_once_claim_a_name_and_one_gets_it,
                accounts_read_back_whole_and_are_replaced,
                unannounced_accounts_are_listed_until_announced,
                an_administrator_is_noticed,
                an_account_is_replaced_only_as_it_is_expected,
                the_last_administrator_who_can_sign_in_stays,
                of_two_administrators_who_leave_at_once_one_stays,
                marking_accounts_changes_nothing_else,
                accounts_are_paged_by_age,
                sessions_read_back_whole_newest_first,
                a_session_rotates_only_from_its_valid_hash,
                many_at_once_rotate_a_session_and_one_does,
                a_revoked_session_is_gone,
                ended_sessions_are_swept_in_turns_and_the_others_stay,
                a_session_is_prolonged_or_swept_and_never_both,
            ]
        );
    };
}

async fn account_of(store: &impl Store, n: u64) -> Option<Account> {
    AccountStore::get(store, user_id(n)).await.expect("an account")
}

async fn session_of(store: &impl Store, n: u64) -> Option<Session> {
    SessionStore::get(store, session_id(n)).await.expect("a session")
}

/// Claiming twice with the same holder is fine; with another it is not.
pub async fn a_name_is_held_by_its_first_claimer(store: &impl Store) {
    assert_eq!(store.holder(ClaimKind::Username, "ann").await.expect("holder"), None);
    for _ in 0..2 {
        let answer = store.claim(&[claim("ann", 1)], time(0)).await.expect("claim");
        assert_eq!(answer, Ok(()));
    }
    let answer = store.claim(&[claim("ann", 2)], time(1)).await.expect("claim");
    assert_eq!(answer, Err((0, Claimed::Taken { holder: 1, confirmed: false })));
    assert_eq!(store.holder(ClaimKind::Username, "ann").await.expect("holder"), Some(1));
}

/// The first name that another holds is told, and nothing is taken.
pub async fn claims_are_taken_all_or_none(store: &impl Store) {
    store.claim(&[claim("bob", u128::MAX)], time(0)).await.expect("claim").expect("held");
    let wanted = [claim("ann", 1), claim("bob", 1), claim("cid", 1)];
    let answer = store.claim(&wanted, time(0)).await.expect("claim");
    assert_eq!(answer, Err((1, Claimed::Taken { holder: u128::MAX, confirmed: false })));
    for name in ["ann", "cid"] {
        assert_eq!(store.holder(ClaimKind::Username, name).await.expect("holder"), None);
    }
}

/// A call cannot give one name to two.
pub async fn two_claims_of_one_name_in_one_call_conflict(store: &impl Store) {
    let same = [claim("ann", 1), claim("ann", 1)];
    assert_eq!(store.claim(&same, time(0)).await.expect("claim"), Ok(()));
    let other = [claim("bob", 1), claim("bob", 2)];
    let answer = store.claim(&other, time(0)).await.expect("claim");
    assert_eq!(answer, Err((1, Claimed::Taken { holder: 1, confirmed: false })));
    assert_eq!(store.holder(ClaimKind::Username, "bob").await.expect("holder"), None);
}

/// Another's confirm or release changes nothing.
pub async fn only_the_holder_confirms_and_releases(store: &impl Store) {
    store.claim(&[claim("ann", 1)], time(0)).await.expect("claim").expect("held");
    store.confirm(&[claim("ann", 2), claim("zoe", 2)]).await.expect("confirm");
    store.release(&[claim("ann", 2), claim("zoe", 2)]).await.expect("release");
    let answer = store.claim(&[claim("ann", 3)], time(1)).await.expect("claim");
    assert_eq!(answer, Err((0, Claimed::Taken { holder: 1, confirmed: false })));
    store.confirm(&[claim("ann", 1)]).await.expect("confirm");
    // Claiming again must not forget that it was confirmed.
    store.claim(&[claim("ann", 1)], time(2)).await.expect("claim").expect("held");
    let answer = store.claim(&[claim("ann", 3)], time(2)).await.expect("claim");
    assert_eq!(answer, Err((0, Claimed::Taken { holder: 1, confirmed: true })));
    store.release(&[claim("ann", 1)]).await.expect("release");
    assert_eq!(store.holder(ClaimKind::Username, "ann").await.expect("holder"), None);
    assert_eq!(store.claim(&[claim("ann", 3)], time(3)).await.expect("claim"), Ok(()));
}

/// A user and a channel may have one name.
pub async fn kinds_of_names_do_not_meet(store: &impl Store) {
    let kinds = [
        ClaimKind::Username,
        ClaimKind::Email,
        ClaimKind::ChannelName,
        ClaimKind::DirectPair,
        ClaimKind::Subject,
    ];
    for (holder, kind) in (1..).zip(kinds) {
        let mut wanted = claim("same", holder);
        wanted.kind = kind;
        assert_eq!(store.claim(&[wanted], time(0)).await.expect("claim"), Ok(()));
    }
    for (holder, kind) in (1..).zip(kinds) {
        assert_eq!(store.holder(kind, "same").await.expect("holder"), Some(holder));
    }
}

/// Of claims that run together exactly one succeeds.
pub async fn many_at_once_claim_a_name_and_one_gets_it(store: &impl Store) {
    let tries = (1..=32).map(|holder| async move {
        store.claim(&[claim("ann", holder)], time(0)).await.expect("claim").is_ok()
    });
    let won = futures::future::join_all(tries).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let holder = store.holder(ClaimKind::Username, "ann").await.expect("holder").expect("one");
    let place = usize::try_from(holder - 1).expect("small");
    assert_eq!(won.get(place), Some(&true));
}

/// Every field survives, and the newest write counts.
pub async fn accounts_read_back_whole_and_are_replaced(store: &impl Store) {
    let plain = account(1);
    let mut full = account(2);
    full.password_hash = None;
    full.role = ServerRole::Guest;
    (full.bot, full.banned, full.announced) = (true, true, true);
    full.external = Some(u128::MAX - 5);
    store.put(&[plain.clone(), full.clone()]).await.expect("put");
    assert_eq!(account_of(store, 1).await, Some(plain.clone()));
    assert_eq!(account_of(store, 2).await, Some(full));
    assert_eq!(account_of(store, 3).await, None);
    let banned = Account { banned: true, ..plain };
    store.put(std::slice::from_ref(&banned)).await.expect("put");
    assert_eq!(account_of(store, 1).await, Some(banned));
}

/// The sweeper sees what still waits for its event, and no more.
pub async fn unannounced_accounts_are_listed_until_announced(store: &impl Store) {
    store.put(&(1..=5).map(account).collect::<Vec<_>>()).await.expect("put");
    let listed = store.unannounced(50).await.expect("list");
    assert_eq!(listed, (1..=5).map(account).collect::<Vec<_>>());
    assert_eq!(store.unannounced(2).await.expect("list").len(), 2);
    let done: Vec<_> = [1, 2, 4].map(|n| Account { announced: true, ..account(n) }).to_vec();
    store.put(&done).await.expect("put");
    let listed = store.unannounced(50).await.expect("list");
    assert_eq!(listed, [account(3), account(5)]);
}

/// The first administrator can be told from the second.
pub async fn an_administrator_is_noticed(store: &impl Store) {
    assert!(!store.has_admin().await.expect("asked"));
    store.put(&[account(1)]).await.expect("put");
    assert!(!store.has_admin().await.expect("asked"));
    let admin = Account { role: ServerRole::Admin, ..account(1) };
    store.put(&[admin]).await.expect("put");
    assert!(store.has_admin().await.expect("asked"));
    store.put(&[account(1)]).await.expect("put");
    assert!(!store.has_admin().await.expect("asked"));
}

/// A change decided on an older state takes no effect.
pub async fn an_account_is_replaced_only_as_it_is_expected(store: &impl Store) {
    let old = account(1);
    let banned = Account { banned: true, ..old.clone() };
    assert_eq!(store.replace(&banned, &old).await.expect("replace"), Replaced::Changed);
    assert_eq!(account_of(store, 1).await, None);
    store.put(std::slice::from_ref(&old)).await.expect("put");
    assert_eq!(store.replace(&banned, &old).await.expect("replace"), Replaced::Done);
    let renamed = Account { password_hash: None, ..old.clone() };
    assert_eq!(store.replace(&renamed, &old).await.expect("replace"), Replaced::Changed);
    assert_eq!(account_of(store, 1).await, Some(banned));
}

/// Neither another role nor a lock takes the last one away; one who is locked out does not count.
pub async fn the_last_administrator_who_can_sign_in_stays(store: &impl Store) {
    let admin = |n| Account { role: ServerRole::Admin, ..account(n) };
    let banned = |n| Account { banned: true, ..admin(n) };
    store.put(&[admin(1), banned(2), account(3)]).await.expect("put");
    for gone in [account(1), banned(1)] {
        let answer = store.replace(&gone, &admin(1)).await.expect("replace");
        assert_eq!(answer, Replaced::LastAdmin);
    }
    assert_eq!(account_of(store, 1).await, Some(admin(1)));
    let other = Account { password_hash: None, ..admin(1) };
    assert_eq!(store.replace(&other, &admin(1)).await.expect("replace"), Replaced::Done);
    assert_eq!(store.replace(&admin(2), &banned(2)).await.expect("replace"), Replaced::Done);
    assert_eq!(store.replace(&account(1), &other).await.expect("replace"), Replaced::Done);
    let answer = store.replace(&account(2), &admin(2)).await.expect("replace");
    assert_eq!(answer, Replaced::LastAdmin);
}

/// However many step down together.
pub async fn of_two_administrators_who_leave_at_once_one_stays(store: &impl Store) {
    let admin = |n| Account { role: ServerRole::Admin, ..account(n) };
    store.put(&(1..=16).map(admin).collect::<Vec<_>>()).await.expect("put");
    let all = (1..=16)
        .map(|n| async move { store.replace(&account(n), &admin(n)).await.expect("replace") });
    let answers = futures::future::join_all(all).await;
    let stayed = answers.iter().filter(|answer| **answer == Replaced::LastAdmin).count();
    assert_eq!(stayed, 1);
    assert!(store.has_admin().await.expect("asked"));
}

/// What was changed meanwhile stays changed.
pub async fn marking_accounts_changes_nothing_else(store: &impl Store) {
    let banned = Account { banned: true, ..account(1) };
    store.put(std::slice::from_ref(&banned)).await.expect("put");
    store.mark_announced(&[account(1).user, account(2).user]).await.expect("mark");
    assert_eq!(account_of(store, 1).await, Some(Account { announced: true, ..banned }));
    assert_eq!(account_of(store, 2).await, None);
    assert_eq!(store.unannounced(9).await.expect("list"), []);
}

/// Pages join to the whole.
pub async fn accounts_are_paged_by_age(store: &impl Store) {
    assert_eq!(store.page(None, 5).await.expect("page"), []);
    let all: Vec<_> = (1..=5).map(account).collect();
    store.put(&all).await.expect("put");
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.page(after, 2).await.expect("page");
        let Some(last) = page.last() else { break };
        after = Some(last.user);
        found.extend(page);
    }
    assert_eq!(found, all);
}

/// Every field survives; a person's list holds theirs alone.
pub async fn sessions_read_back_whole_newest_first(store: &impl Store) {
    let mut full = session(1, user_id(1));
    full.previous = Some(([9; 32], time(5)));
    let sessions = [full, session(2, user_id(2)), session(3, user_id(1)), session(4, user_id(1))];
    for session in &sessions {
        store.create(session).await.expect("create");
    }
    for session in &sessions {
        let found = SessionStore::get(store, session.id).await.expect("get");
        assert_eq!(found.as_ref(), Some(session));
    }
    let [first, second, third, fourth] = sessions;
    assert_eq!(store.list(user_id(1)).await.expect("list"), [fourth, third, first]);
    assert_eq!(store.list(user_id(2)).await.expect("list"), [second]);
    assert_eq!(store.list(user_id(3)).await.expect("list"), []);
}

/// A token used twice is refused the second time.
pub async fn a_session_rotates_only_from_its_valid_hash(store: &impl Store) {
    let old = session(1, user_id(1));
    let mut new = old.clone();
    new.refresh_hash = [77; 32];
    new.previous = Some((old.refresh_hash, time(9)));
    assert!(!store.rotate(&new, old.refresh_hash).await.expect("rotate"), "not there yet");
    assert_eq!(session_of(store, 1).await, None);
    store.create(&old).await.expect("create");
    assert!(!store.rotate(&new, [78; 32]).await.expect("rotate"));
    assert_eq!(session_of(store, 1).await, Some(old.clone()));
    assert!(store.rotate(&new, old.refresh_hash).await.expect("rotate"));
    assert_eq!(session_of(store, 1).await, Some(new.clone()));
    assert!(!store.rotate(&new, old.refresh_hash).await.expect("rotate"));
    assert_eq!(store.list(user_id(1)).await.expect("list"), [new]);
}

/// Of rotations that run together exactly one succeeds.
pub async fn many_at_once_rotate_a_session_and_one_does(store: &impl Store) {
    let old = session(1, user_id(1));
    store.create(&old).await.expect("create");
    let tries = (100..132).map(|n: u8| {
        let mut new = old.clone();
        new.refresh_hash = [n; 32];
        let expected = old.refresh_hash;
        async move { store.rotate(&new, expected).await.expect("rotate") }
    });
    let won = futures::future::join_all(tries).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).and_then(|n| u8::try_from(n).ok());
    let stored = session_of(store, 1).await.expect("the session");
    assert_eq!(Some(stored.refresh_hash), winner.map(|n| [100 + n; 32]));
}

/// Signing out ends one session and no other.
pub async fn a_revoked_session_is_gone(store: &impl Store) {
    for n in 1..=2 {
        store.create(&session(n, user_id(1))).await.expect("create");
    }
    assert!(store.revoke(session_id(1)).await.expect("revoke"));
    assert!(!store.revoke(session_id(1)).await.expect("revoke"));
    assert_eq!(session_of(store, 1).await, None);
    assert_eq!(store.list(user_id(1)).await.expect("list"), [session(2, user_id(1))]);
    let back = session(1, user_id(1));
    let answer = store.rotate(&back, back.refresh_hash).await.expect("rotate");
    assert!(!answer, "an ended session does not come back");
}

/// A turn looks at no more than it may, and all turns together at everything.
pub async fn ended_sessions_are_swept_in_turns_and_the_others_stay(store: &impl Store) {
    let ends = [100, 300, 199, 200, 50];
    let all: Vec<Session> = (1..)
        .zip(ends)
        .map(|(n, ends)| Session { expires_at: time(ends), ..session(n, user_id(n % 2)) })
        .collect();
    for one in &all {
        store.create(one).await.expect("create");
    }
    let turn = async |after| store.sweep_sessions(after, time(200), 2).await.expect("sweep");
    let next = Some(session_id(2));
    assert_eq!(turn(None).await, Swept { removed: 1, next });
    let mut found = Vec::new();
    for n in 1..=5 {
        found.extend(session_of(store, n).await.map(|_| n));
    }
    assert_eq!(found, [2, 3, 4, 5], "the others were not looked at yet");
    let next = Some(session_id(4));
    assert_eq!(turn(Some(session_id(2))).await, Swept { removed: 1, next });
    assert_eq!(turn(next).await, Swept { removed: 1, next: None });
    assert_eq!(store.list(user_id(0)).await.expect("list"), [all[3].clone(), all[1].clone()]);
    assert_eq!(store.list(user_id(1)).await.expect("list"), []);
    for one in [&all[0], &all[2], &all[4]] {
        assert_eq!(SessionStore::get(store, one.id).await.expect("get"), None);
        assert!(!store.revoke(one.id).await.expect("revoke"));
    }
    let kept = session_of(store, 2).await.expect("the session");
    let next = Session { refresh_hash: [7; 32], ..kept.clone() };
    assert!(store.rotate(&next, kept.refresh_hash).await.expect("rotate"), "it goes on");
    assert!(!store.rotate(&next, kept.refresh_hash).await.expect("rotate"), "and notices reuse");
    assert_eq!(turn(None).await.removed, 0);
}

/// Who refreshes at the last moment has a session afterwards, or is refused.
pub async fn a_session_is_prolonged_or_swept_and_never_both(store: &impl Store) {
    for n in 1..=64 {
        let old = Session { expires_at: time(100), ..session(n, user_id(1)) };
        store.create(&old).await.expect("create");
        let new = Session { refresh_hash: [252; 32], expires_at: time(900), ..old.clone() };
        let (rotated, swept) = futures::join!(
            store.rotate(&new, old.refresh_hash),
            store.sweep_sessions(None, time(200), 100),
        );
        let (rotated, removed) = (rotated.expect("rotate"), swept.expect("sweep").removed);
        assert_eq!((rotated, removed), (removed == 0, usize::from(!rotated)), "session {n}");
        assert_eq!(session_of(store, n).await, rotated.then_some(new));
    }
}
