//! Cases for [`klatch_ports::whereabouts`]. Each begins with accounts of the first three users, and
//! nothing known of them.

use klatch_domain::presence::{Choice, Status};
use klatch_ports::whereabouts::{Whereabouts, WhereaboutsStore};

use crate::sample::{time, user_id};

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! whereabouts_store_tests {
    ($open:expr) => {
        $crate::suite!(
            whereabouts,
            $open,
            [
                what_was_told_is_known_of_them_alone,
                times_do_not_go_back_and_choices_replace_each_other,
                nothing_is_known_of_who_was_forgotten,
            ]
        );
    };
}

/// A choice with every field.
pub fn choice() -> Choice {
    Choice {
        status: Some(Status::Dnd),
        text: Some("at lunch".to_owned()),
        emoji: Some("🥐".to_owned()),
        until: Some(time(60_000)),
        since: time(7),
    }
}

/// Every field survives.
pub async fn what_was_told_is_known_of_them_alone(store: &impl WhereaboutsStore) {
    let [ann, ben, cleo] = [1, 2, 3].map(user_id);
    store.left(ann, time(1)).await.expect("left");
    store.chose(ben, Some(&choice())).await.expect("chose");
    let known = async |user| store.whereabouts(user).await.expect("read");
    assert_eq!(known(ann).await, Whereabouts { left: Some(time(1)), choice: None });
    assert_eq!(known(ben).await, Whereabouts { left: None, choice: Some(choice()) });
    assert_eq!(known(cleo).await, Whereabouts::default());
    store.chose(ann, Some(&choice())).await.expect("chose");
    let both = Whereabouts { left: Some(time(1)), choice: Some(choice()) };
    assert_eq!(known(ann).await, both, "one does not take the other away");
}

/// A later word about leaving counts, whichever comes first; of choices the last one.
pub async fn times_do_not_go_back_and_choices_replace_each_other(store: &impl WhereaboutsStore) {
    let ann = user_id(1);
    for at in [5, 9, 7] {
        store.left(ann, time(at)).await.expect("left");
    }
    let other = Choice { text: None, ..choice() };
    for choice in [Some(&choice()), Some(&other)] {
        store.chose(ann, choice).await.expect("chose");
    }
    let known = store.whereabouts(ann).await.expect("read");
    assert_eq!(known, Whereabouts { left: Some(time(9)), choice: Some(other) });
    store.chose(ann, None).await.expect("chose");
    let known = store.whereabouts(ann).await.expect("read");
    assert_eq!(known, Whereabouts { left: Some(time(9)), choice: None });
}

/// Neither of them, of nobody else.
pub async fn nothing_is_known_of_who_was_forgotten(store: &impl WhereaboutsStore) {
    let [ann, ben] = [1, 2].map(user_id);
    for user in [ann, ben] {
        store.left(user, time(1)).await.expect("left");
        store.chose(user, Some(&choice())).await.expect("chose");
    }
    store.forget(ann).await.expect("forget");
    assert_eq!(store.whereabouts(ann).await.expect("read"), Whereabouts::default());
    let kept = Whereabouts { left: Some(time(1)), choice: Some(choice()) };
    assert_eq!(store.whereabouts(ben).await.expect("read"), kept);
}
