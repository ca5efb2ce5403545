//! Cases for [`klatch_ports::invitations`]. Each begins with none.

use klatch_ports::accounts::{Account, AccountStore, Swept};
use klatch_ports::invitations::{Invitation, InvitationStore, NotRedeemed};

use crate::sample::{account, invitation, room_id, time, user_id};

/// What these cases run on.
pub trait Store: InvitationStore + AccountStore {}

impl<T: InvitationStore + AccountStore> Store for T {}

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! invitation_store_tests {
    ($open:expr) => {
        $crate::suite!(
            invitations,
            $open,
            [
                an_invitation_reads_back_whole,
                invitations_are_listed_newest_first_by_room_or_all,
                an_invitation_lets_as_many_in_as_was_said,
                many_at_once_use_an_invitation_and_no_more_get_in_than_may,
                a_use_goes_on_until_it_is_finished_and_never_after,
                a_use_given_back_is_another_users,
                an_invitation_that_ended_lets_nobody_in,
                an_account_is_stored_with_its_use_or_not_at_all,
                what_ended_is_swept_in_turns_with_its_uses_and_the_rest_stays,
            ]
        );
    };
}

async fn stored(store: &impl Store, like: &Invitation) -> Invitation {
    store.invitation(like.id).await.expect("read").expect("an invitation")
}

async fn redeem(
    store: &impl Store,
    like: &Invitation,
    user: u64,
) -> Result<Invitation, NotRedeemed> {
    store.redeem(like.hash, user_id(user), time(9), None).await.expect("redeem")
}

/// Every field survives, by id and by token.
pub async fn an_invitation_reads_back_whole(store: &impl Store) {
    let plain = invitation(1, None, 1);
    let mut full = invitation(2, Some(room_id(7)), u32::MAX);
    (full.uses, full.revoked) = (5, true);
    for one in [&plain, &full] {
        assert_eq!(store.invitation(one.id).await.expect("read"), None);
        store.create_invitation(one).await.expect("create");
        assert_eq!(stored(store, one).await, *one);
        assert_eq!(store.invitation_of(one.hash).await.expect("read").as_ref(), Some(one));
    }
    assert_eq!(store.invitation_of([99; 32]).await.expect("read"), None);
}

/// Rooms do not see each other's.
pub async fn invitations_are_listed_newest_first_by_room_or_all(store: &impl Store) {
    let (one, two) = (Some(room_id(1)), Some(room_id(2)));
    let all = [
        invitation(1, one, 1),
        invitation(2, None, 1),
        invitation(3, two, 1),
        invitation(4, one, 1),
    ];
    for one in &all {
        store.create_invitation(one).await.expect("create");
    }
    let [first, second, third, fourth] = all;
    let list =
        async |room, before, limit| store.invitations(room, before, limit).await.expect("list");
    let newest = [fourth.clone(), third.clone(), second.clone(), first.clone()];
    assert_eq!(list(None, None, 9).await, newest);
    assert_eq!(list(None, Some(fourth.id), 2).await, newest[1..3]);
    assert_eq!(list(one, None, 9).await, [fourth.clone(), first.clone()]);
    assert_eq!(list(one, Some(fourth.id), 9).await, [first]);
    assert_eq!(list(two, None, 9).await, [third]);
    assert_eq!(list(Some(room_id(3)), None, 9).await, []);
}

/// One more is too many.
pub async fn an_invitation_lets_as_many_in_as_was_said(store: &impl Store) {
    let two = invitation(1, None, 2);
    store.create_invitation(&two).await.expect("create");
    for (user, uses) in [(1, 1), (2, 2)] {
        let counted = redeem(store, &two, user).await;
        assert_eq!(counted, Ok(Invitation { uses, ..two.clone() }));
    }
    assert_eq!(redeem(store, &two, 3).await, Err(NotRedeemed::UsedUp));
    assert_eq!(stored(store, &two).await.uses, 2);
}

/// A token of before is unknown, and a new invitation of the same id begins anew.
pub async fn what_ended_is_swept_in_turns_with_its_uses_and_the_rest_stays(store: &impl Store) {
    let room = Some(room_id(1));
    let mut all = [1, 2, 3, 4].map(|n| invitation(n, room, 2));
    for (one, ends) in all.iter_mut().zip([100, 300, 200, 199]) {
        one.expires_at = time(ends);
        store.create_invitation(one).await.expect("create");
        redeem(store, one, 1).await.expect("a use");
    }
    let turn = async |after| store.sweep_invitations(after, time(200), 2).await.expect("sweep");
    let (second, last) = (Some(all[1].id), Some(all[3].id));
    assert_eq!(turn(None).await, Swept { removed: 1, next: second });
    // It goes on where it stopped, whatever stays before that.
    assert_eq!(turn(second).await, Swept { removed: 1, next: last });
    assert_eq!(turn(last).await, Swept { removed: 0, next: None });
    let left = store.invitations(room, None, 9).await.expect("list");
    assert_eq!(left.iter().map(|it| it.id).collect::<Vec<_>>(), [all[2].id, all[1].id]);
    for gone in [&all[0], &all[3]] {
        assert_eq!(store.invitation(gone.id).await.expect("read"), None);
        assert_eq!(store.invitation_of(gone.hash).await.expect("read"), None);
        store.create_invitation(gone).await.expect("create");
        assert_eq!(redeem(store, gone, 1).await.map(|it| it.uses), Ok(1), "no use is left");
    }
    assert_eq!(stored(store, &all[1]).await.uses, 1);
}

/// Whoever comes together is counted one by one.
pub async fn many_at_once_use_an_invitation_and_no_more_get_in_than_may(store: &impl Store) {
    let three = invitation(1, None, 3);
    store.create_invitation(&three).await.expect("create");
    let three = &three;
    let all = (1..=32).map(|user| redeem(store, three, user));
    let answers = futures::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert_eq!(stored(store, three).await.uses, 3);
}

/// A crash between the count and what it is for costs nobody a use, and gives nobody a second.
pub async fn a_use_goes_on_until_it_is_finished_and_never_after(store: &impl Store) {
    let one = invitation(1, None, 1);
    store.create_invitation(&one).await.expect("create");
    for _ in 0..2 {
        assert_eq!(redeem(store, &one, 1).await.map(|it| it.uses), Ok(1));
    }
    assert_eq!(redeem(store, &one, 2).await, Err(NotRedeemed::UsedUp));
    store.finish_use(one.id, user_id(2)).await.expect("finish");
    store.finish_use(one.id, user_id(1)).await.expect("finish");
    store.give_back_use(one.id, user_id(1)).await.expect("give back");
    for user in [1, 2] {
        assert_eq!(redeem(store, &one, user).await, Err(NotRedeemed::UsedUp));
    }
    assert_eq!(stored(store, &one).await.uses, 1);
}

/// What came to nothing does not count.
pub async fn a_use_given_back_is_another_users(store: &impl Store) {
    let one = invitation(1, None, 1);
    store.create_invitation(&one).await.expect("create");
    assert!(redeem(store, &one, 1).await.is_ok());
    store.give_back_use(one.id, user_id(2)).await.expect("give back");
    assert_eq!(stored(store, &one).await.uses, 1);
    for _ in 0..2 {
        store.give_back_use(one.id, user_id(1)).await.expect("give back");
        assert_eq!(stored(store, &one).await.uses, 0);
    }
    assert!(redeem(store, &one, 2).await.is_ok());
    assert_eq!(redeem(store, &one, 1).await, Err(NotRedeemed::UsedUp));
}

/// Taken back, over, or never made.
pub async fn an_invitation_that_ended_lets_nobody_in(store: &impl Store) {
    let one = invitation(1, None, 9);
    assert_eq!(redeem(store, &one, 1).await, Err(NotRedeemed::Unknown));
    store.create_invitation(&one).await.expect("create");
    assert!(redeem(store, &one, 1).await.is_ok());
    let late = store.redeem(one.hash, user_id(2), one.expires_at, None).await.expect("redeem");
    assert_eq!(late, Err(NotRedeemed::Expired));
    assert!(store.revoke_invitation(one.id).await.expect("revoke"));
    assert!(!store.revoke_invitation(one.id).await.expect("revoke"));
    for user in [1, 2] {
        assert_eq!(redeem(store, &one, user).await, Err(NotRedeemed::Revoked));
    }
    assert!(stored(store, &one).await.revoked);
    assert!(!store.revoke_invitation(invitation(2, None, 1).id).await.expect("revoke"));
}

/// No use without an account, no account without a use.
pub async fn an_account_is_stored_with_its_use_or_not_at_all(store: &impl Store) {
    let one = invitation(1, None, 1);
    store.create_invitation(&one).await.expect("create");
    let enter = async |account: &Account| {
        store.redeem(one.hash, account.user, time(9), Some(account)).await.expect("redeem")
    };
    assert!(enter(&account(1)).await.is_ok());
    assert_eq!(enter(&account(2)).await, Err(NotRedeemed::UsedUp));
    assert_eq!(AccountStore::get(store, user_id(1)).await.expect("get"), Some(account(1)));
    assert_eq!(AccountStore::get(store, user_id(2)).await.expect("get"), None);
    assert_eq!(store.unannounced(9).await.expect("list"), [account(1)]);
}
