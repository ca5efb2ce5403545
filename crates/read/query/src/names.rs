//! An index of names, for search by prefix.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use klatch_domain::UserId;
use klatch_domain::user::Profile;

/// User names and shown names, lowered, each leading to its user.
#[derive(Debug, Default)]
pub(crate) struct Names {
    entries: BTreeSet<(Arc<str>, UserId)>,
    of: HashMap<UserId, [Arc<str>; 2]>,
}

impl Names {
    /// How many users are in it.
    pub(crate) fn users(&self) -> usize {
        self.of.len()
    }

    pub(crate) fn has(&self, user: UserId) -> bool {
        self.of.contains_key(&user)
    }

    /// Sets the names of `user`.
    pub(crate) fn put(&mut self, user: UserId, profile: &Profile) {
        self.remove(user);
        let lowered = |name: &str| Arc::<str>::from(name.to_lowercase());
        let names = [lowered(&profile.username), lowered(&profile.display_name)];
        self.entries.extend(names.iter().map(|name| (Arc::clone(name), user)));
        self.of.insert(user, names);
    }

    /// Takes `user` out.
    pub(crate) fn remove(&mut self, user: UserId) {
        for name in self.of.remove(&user).into_iter().flatten() {
            self.entries.remove(&(name, user));
        }
    }

    /// Up to `limit` users with a name that begins with `prefix`, after `after`, by that name. A
    /// user both of whose names do is found once, under the smaller.
    pub(crate) fn find(
        &self,
        prefix: &str,
        after: Option<(String, UserId)>,
        limit: usize,
    ) -> Vec<(Arc<str>, UserId)> {
        let prefix = prefix.to_lowercase();
        let start = (Arc::<str>::from(prefix.as_str()), UserId::from_bits(0));
        let after = after.map(|(name, user)| (Arc::<str>::from(name), user));
        let from = match after {
            Some(after) if after >= start => Bound::Excluded(after),
            Some(_) | None => Bound::Included(start),
        };
        let entries = self.entries.range((from, Bound::Unbounded));
        entries
            .take_while(|(name, _)| name.starts_with(&prefix))
            .filter(|(name, user)| self.shown_under(*user, &prefix).as_ref() == Some(name))
            .take(limit)
            .cloned()
            .collect()
    }

    /// [`Names::find`] among some people only. Cost: one look for each of them.
    pub(crate) fn find_among(
        &self,
        people: &HashSet<UserId>,
        prefix: &str,
        after: Option<(String, UserId)>,
        limit: usize,
    ) -> Vec<(Arc<str>, UserId)> {
        let prefix = prefix.to_lowercase();
        let after = after.map(|(name, user)| (Arc::<str>::from(name), user));
        let shown = |user: &UserId| Some((self.shown_under(*user, &prefix)?, *user));
        let mut found: Vec<_> = people
            .iter()
            .filter_map(shown)
            .filter(|it| after.as_ref().is_none_or(|after| it > after))
            .collect();
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    fn shown_under(&self, user: UserId, prefix: &str) -> Option<Arc<str>> {
        let names = self.of.get(&user)?;
        names.iter().filter(|name| name.starts_with(prefix)).min().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn profile(username: &str, display_name: &str) -> Profile {
        let (username, display_name) = (username.to_owned(), display_name.to_owned());
        Profile { username, display_name, email: None, avatar: None }
    }

    fn found(names: &Names, prefix: &str) -> Vec<u128> {
        names.find(prefix, None, 100).iter().map(|(_, user)| user.bits()).collect()
    }

    #[test]
    fn either_name_is_found_by_prefix_in_any_case_and_a_user_only_once() {
        let mut names = Names::default();
        names.put(UserId::from_bits(1), &profile("anna", "Zoë Anders"));
        names.put(UserId::from_bits(2), &profile("zed", "ANNABEL"));
        names.put(UserId::from_bits(3), &profile("ann", "Ann"));
        assert_eq!(found(&names, "An"), [3, 1, 2]);
        assert_eq!(found(&names, "ZO"), [1]);
        assert_eq!(found(&names, "zoË"), [1]);
        assert_eq!(found(&names, "nn"), [0; 0]);
        assert_eq!(found(&names, "").len(), 3);
        names.put(UserId::from_bits(1), &profile("anna", "Berta"));
        assert_eq!(found(&names, "zo"), [0; 0]);
        names.remove(UserId::from_bits(3));
        assert_eq!(found(&names, "an"), [1, 2]);
    }

    proptest! {
        #[test]
        fn pages_of_any_size_join_to_the_whole(
            people in proptest::collection::vec(("[ab]{1,4}", "[abA ]{1,4}"), 0..30),
            prefix in "[ab]{0,2}",
            size in 1usize..7,
        ) {
            let mut names = Names::default();
            for (index, (username, shown)) in people.iter().enumerate() {
                names.put(UserId::from_bits(index as u128), &profile(username, shown));
            }
            let whole = names.find(&prefix, None, usize::MAX);
            let ids = 0..people.len() as u128;
            let everyone = ids.map(UserId::from_bits).collect();
            prop_assert_eq!(&names.find_among(&everyone, &prefix, None, usize::MAX), &whole);
            let middle = whole.get(whole.len() / 2);
            let after = middle.map(|(name, user)| (name.to_string(), *user));
            let rest = names.find_among(&everyone, &prefix, after.clone(), size);
            prop_assert_eq!(rest, names.find(&prefix, after, size));
            let matches = |(a, b): &&(String, String)| {
                a.starts_with(&prefix) || b.to_lowercase().starts_with(&prefix)
            };
            prop_assert_eq!(whole.len(), people.iter().filter(matches).count());
            let mut paged: Vec<(Arc<str>, UserId)> = Vec::new();
            loop {
                let after = paged.last().map(|(name, user)| (name.to_string(), *user));
                let page = names.find(&prefix, after, size);
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            prop_assert_eq!(paged, whole);
        }
    }
}
