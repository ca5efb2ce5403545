//! Who is online where, as far as fan-out needs it: sets of user numbers per instance.

use std::collections::{HashMap, HashSet};

use klatch_domain::{InstanceId, UserId};
use klatch_ports::metadata::UserNumber;
use klatch_recent::shrink;
use roaring::RoaringBitmap;

/// The KV prefix of presence: `user.{user}.{instance}`.
pub(crate) const PREFIX: &str = "user.";

/// A user in a set of those without a number, its share of free places included.
const UNNUMBERED_BYTES: usize = (size_of::<UserId>() + 1) * 8 / 7;

/// About how many bytes a set takes: what it would take written down, and its containers' heads.
pub(crate) fn bitmap_bytes(set: &RoaringBitmap) -> usize {
    set.serialized_size() + set.statistics().n_containers as usize * CONTAINER_BYTES
}

/// The head of a container in memory.
const CONTAINER_BYTES: usize = 32;

/// About how many bytes a table takes, its free places included.
pub(crate) fn table_bytes<K, V>(table: &HashMap<K, V>) -> usize {
    table.capacity() * 8 / 7 * (size_of::<(K, V)>() + 1)
}

/// Reads a presence key.
pub(crate) fn parse_key(key: &str) -> Option<(UserId, InstanceId)> {
    let (user, instance) = key.strip_prefix(PREFIX)?.split_once('.')?;
    Some((user.parse().ok()?, instance.parse().ok()?))
}

/// An instance that holds connections.
#[derive(Debug, Default)]
struct Online {
    numbers: RoaringBitmap,
    /// Users the store does not know yet: while there are any, the instance gets everything.
    unnumbered: HashSet<UserId>,
    users: usize,
}

/// All instances that hold connections.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    online: HashMap<InstanceId, Online>,
    numbers: HashMap<UserId, UserNumber>,
}

impl Instances {
    /// A user is connected to an instance. Whether the instance is new.
    pub(crate) fn arrive(
        &mut self,
        user: UserId,
        instance: InstanceId,
        number: Option<UserNumber>,
    ) -> bool {
        let is_new = !self.online.contains_key(&instance);
        let online = self.online.entry(instance).or_default();
        match number {
            Some(number) => {
                if online.numbers.insert(number.0) {
                    online.users += 1;
                }
                self.numbers.insert(user, number);
            }
            None => {
                if online.unnumbered.insert(user) {
                    online.users += 1;
                }
            }
        }
        is_new
    }

    /// A user has left an instance. Whether the instance holds nobody any more.
    pub(crate) fn depart(&mut self, user: UserId, instance: InstanceId) -> bool {
        let Some(online) = self.online.get_mut(&instance) else { return false };
        let number = self.numbers.get(&user);
        let was_there = online.unnumbered.remove(&user)
            || number.is_some_and(|number| online.numbers.remove(number.0));
        online.users -= usize::from(was_there);
        let empty = online.users == 0;
        if empty {
            self.online.remove(&instance);
        }
        if !self.is_anywhere(user) {
            self.numbers.remove(&user);
            shrink(&mut self.numbers);
        }
        empty
    }

    fn is_anywhere(&self, user: UserId) -> bool {
        let Some(number) = self.numbers.get(&user) else { return false };
        self.online.values().any(|online| online.numbers.contains(number.0))
    }

    /// Users whose number was not known when they came.
    pub(crate) fn unnumbered(&self) -> Vec<(UserId, InstanceId)> {
        let of = |(instance, online): (&InstanceId, &Online)| {
            let instance = *instance;
            online.unnumbered.iter().map(move |user| (*user, instance)).collect::<Vec<_>>()
        };
        self.online.iter().flat_map(of).collect()
    }

    /// A user's number has become known.
    pub(crate) fn number(&mut self, user: UserId, instance: InstanceId, number: UserNumber) {
        if let Some(online) = self.online.get_mut(&instance)
            && online.unnumbered.remove(&user)
        {
            if !online.numbers.insert(number.0) {
                online.users -= 1;
            }
            self.numbers.insert(user, number);
        }
    }

    /// How many users are online somewhere, and about how many bytes knowing that takes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let users = self.online.values().map(|online| online.users).sum();
        let of = |online: &Online| {
            bitmap_bytes(&online.numbers) + online.unnumbered.capacity() * UNNUMBERED_BYTES
        };
        let sets: usize = self.online.values().map(of).sum();
        (users, sets + table_bytes(&self.numbers))
    }

    /// How many instances hold connections.
    pub(crate) fn len(&self) -> usize {
        self.online.len()
    }

    /// Whether an instance holds connections.
    pub(crate) fn holds(&self, instance: InstanceId) -> bool {
        self.online.contains_key(&instance)
    }

    /// Instances that hold connections.
    pub(crate) fn ids(&self) -> impl Iterator<Item = InstanceId> + '_ {
        self.online.keys().copied()
    }

    /// Instances that hold at least one of `members`, or someone who may be.
    pub(crate) fn with_any<'a>(
        &'a self,
        members: &'a RoaringBitmap,
    ) -> impl Iterator<Item = InstanceId> + 'a {
        let holds =
            |online: &Online| !online.unnumbered.is_empty() || !online.numbers.is_disjoint(members);
        self.online.iter().filter(move |(_, online)| holds(online)).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId::from_bits(1);
    const BOB: UserId = UserId::from_bits(2);
    const HERE: InstanceId = InstanceId::from_bits(10);
    const THERE: InstanceId = InstanceId::from_bits(11);

    fn with(instances: &Instances, numbers: &[u32]) -> Vec<InstanceId> {
        let mut found: Vec<_> = instances.with_any(&numbers.iter().collect()).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn an_instance_gets_what_its_users_may_see_and_nothing_else() {
        let mut instances = Instances::default();
        assert!(instances.arrive(ANN, HERE, Some(UserNumber(1))));
        assert!(!instances.arrive(ANN, HERE, Some(UserNumber(1))));
        assert!(instances.arrive(BOB, THERE, Some(UserNumber(2))));
        assert_eq!(with(&instances, &[1]), [HERE]);
        assert_eq!(with(&instances, &[1, 2]), [HERE, THERE]);
        assert_eq!(with(&instances, &[3]), []);
        assert!(instances.depart(ANN, HERE));
        assert_eq!(with(&instances, &[1, 2]), [THERE]);
    }

    #[test]
    fn a_user_the_store_does_not_know_yet_misses_nothing() {
        let mut instances = Instances::default();
        instances.arrive(ANN, HERE, None);
        assert_eq!(with(&instances, &[7]), [HERE]);
        assert_eq!(instances.unnumbered(), [(ANN, HERE)]);
        instances.number(ANN, HERE, UserNumber(5));
        assert_eq!(with(&instances, &[7]), []);
        assert_eq!(with(&instances, &[5]), [HERE]);
        assert!(instances.depart(ANN, HERE));
    }

    #[test]
    fn a_user_on_two_instances_stays_on_the_other() {
        let mut instances = Instances::default();
        instances.arrive(ANN, HERE, Some(UserNumber(1)));
        instances.arrive(ANN, THERE, Some(UserNumber(1)));
        assert!(instances.depart(ANN, HERE));
        assert_eq!(with(&instances, &[1]), [THERE]);
        assert!(instances.depart(ANN, THERE));
        assert_eq!(instances.len(), 0);
    }

    #[test]
    fn a_hundred_thousand_online_users_take_less_than_a_hundred_bytes_each() {
        let mut instances = Instances::default();
        for user in 0..100_000_u32 {
            let id = UserId::from_bits(u128::from(user) + 1);
            let instance = if user % 2 == 0 { HERE } else { THERE };
            // Members of a site of a million.
            instances.arrive(id, instance, Some(UserNumber(user * 10)));
        }
        let (users, bytes) = instances.size();
        assert_eq!(users, 100_000);
        assert!(bytes / users < 100, "{} bytes each", bytes / users);
        for user in 0..100_000_u32 {
            let id = UserId::from_bits(u128::from(user) + 1);
            instances.depart(id, if user % 2 == 0 { HERE } else { THERE });
        }
        assert_eq!(instances.size().0, 0);
    }

    #[test]
    fn keys_that_are_not_presence_are_passed_over() {
        let key = "user.0192f7a0-5c3e-7abc-8def-0123456789ab.0192f7a0-5c3e-7abc-8def-0123456789ac";
        assert!(parse_key(key).is_some());
        for odd in ["", "user.", "user.x.y", "instance.x", &key[5..]] {
            assert_eq!(parse_key(odd), None, "{odd}");
        }
    }
}
