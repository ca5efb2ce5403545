//! Failed sign-ins slow down the next ones, by account, by address and by both together.
//!
//! Nobody is ever locked out for good: an attacker who knows a name can slow its owner down by a
//! minute at most, while from the attacker's own address the wait grows to a quarter of an hour.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use klatch_domain::Timestamp;
use parking_lot::Mutex;

/// Most entries of each table. A failure costs its caller a password hash (some 60 a second for
/// the whole server), so that within the time an entry counts a table is hardly ever full.
const ENTRIES_MAX: usize = 65_536;
/// A failure is forgotten this long after the wait that followed it could have ended.
const MEMORY_MS: u64 = 15 * 60_000;

/// How many failures are free, and how the wait grows after them.
struct Policy {
    free: u32,
    first_ms: u64,
    most_ms: u64,
}

const PAIR: Policy = Policy { free: 5, first_ms: 1_000, most_ms: 15 * 60_000 };
const ACCOUNT: Policy = Policy { free: 20, first_ms: 1_000, most_ms: 60_000 };
const ADDRESS: Policy = Policy { free: 50, first_ms: 1_000, most_ms: 15 * 60_000 };

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Policy {
    fn wait_ms(&self, failures: Failures, now: Timestamp) -> u64 {
        let Some(beyond) = failures.count.checked_sub(self.free) else { return 0 };
        let wait = self.first_ms.saturating_mul(1 << beyond.min(30)).min(self.most_ms);
        wait.saturating_sub(now.ms_since(failures.last))
    }

    fn is_over(&self, failures: Failures, now: Timestamp) -> bool {
        now.ms_since(failures.last) > self.most_ms + MEMORY_MS
    }
}

/// Failures by hash of what failed.
struct Table {
    policy: Policy,
    entries: HashMap<u64, Failures>,
}

impl Table {
    fn new(policy: Policy) -> Self {
        Self { policy, entries: HashMap::new() }
    }

    fn wait_ms(&self, key: u64, now: Timestamp) -> u64 {
        self.entries.get(&key).map_or(0, |failures| self.policy.wait_ms(*failures, now))
    }

    fn failed(&mut self, key: u64, now: Timestamp) {
        if self.entries.len() >= ENTRIES_MAX {
            let policy = &self.policy;
            self.entries.retain(|_, failures| !policy.is_over(*failures, now));
        }
        if self.entries.len() >= ENTRIES_MAX {
            // Those with a single failure have lost nothing yet.
            self.entries.retain(|_, failures| failures.count > 1);
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
        }
        let entry = self.entries.entry(key).or_insert(Failures { count: 0, last: now });
        if self.policy.is_over(*entry, now) {
            entry.count = 0;
        }
        *entry = Failures { count: entry.count.saturating_add(1), last: now };
    }
}

/// The failures of the whole server, in this process.
pub(crate) struct Lockout {
    hash: RandomState,
    tables: Mutex<Tables>,
}

struct Tables {
    pair: Table,
    account: Table,
    address: Table,
}

impl Default for Lockout {
    fn default() -> Self {
        let tables = Tables {
            pair: Table::new(PAIR),
            account: Table::new(ACCOUNT),
            address: Table::new(ADDRESS),
        };
        Self { hash: RandomState::new(), tables: Mutex::new(tables) }
    }
}

/// An attempt to sign in, as far as the lockout is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    pair: u64,
    account: u64,
    address: u64,
}

impl Lockout {
    pub(crate) fn attempt(&self, account: &str, address: &str) -> Attempt {
        Attempt {
            pair: self.hash.hash_one((account, address)),
            account: self.hash.hash_one(account),
            address: self.hash.hash_one(address),
        }
    }

    /// Seconds to wait before the attempt may be made; 0 for none.
    pub(crate) fn wait_seconds(&self, attempt: Attempt, now: Timestamp) -> u64 {
        let tables = self.tables.lock();
        let wait = tables
            .pair
            .wait_ms(attempt.pair, now)
            .max(tables.account.wait_ms(attempt.account, now))
            .max(tables.address.wait_ms(attempt.address, now));
        wait.div_ceil(1_000)
    }

    pub(crate) fn failed(&self, attempt: Attempt, now: Timestamp) {
        let mut tables = self.tables.lock();
        tables.pair.failed(attempt.pair, now);
        tables.account.failed(attempt.account, now);
        tables.address.failed(attempt.address, now);
    }

    /// The right password clears what is held against the account, not against the address: an
    /// attacker may have an account too.
    pub(crate) fn succeeded(&self, attempt: Attempt) {
        let mut tables = self.tables.lock();
        tables.pair.entries.remove(&attempt.pair);
        tables.account.entries.remove(&attempt.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    #[test]
    fn the_wait_doubles_and_ends() {
        let lockout = Lockout::default();
        let attempt = lockout.attempt("ann", "192.0.2.1");
        let mut waits = Vec::new();
        for _ in 0..20 {
            lockout.failed(attempt, NOW);
            waits.push(lockout.wait_seconds(attempt, NOW));
        }
        assert_eq!(waits[..8], [0, 0, 0, 0, 1, 2, 4, 8]);
        assert_eq!(waits.last(), Some(&900));
        assert_eq!(lockout.wait_seconds(attempt, NOW.plus_ms(900_000)), 0);
        // Still remembered: the next failure waits as long again.
        let later = NOW.plus_ms(900_000);
        lockout.failed(attempt, later);
        assert_eq!(lockout.wait_seconds(attempt, later), 900);
        // Long after, nothing is.
        let much_later = later.plus_ms(31 * 60_000);
        lockout.failed(attempt, much_later);
        assert_eq!(lockout.wait_seconds(attempt, much_later), 0);
    }

    #[test]
    fn an_attacker_slows_the_owner_down_by_a_minute_at_most() {
        let lockout = Lockout::default();
        for number in 0..1_000 {
            lockout.failed(lockout.attempt("ann", &format!("192.0.2.{number}")), NOW);
        }
        let owner = lockout.attempt("ann", "198.51.100.7");
        assert_eq!(lockout.wait_seconds(owner, NOW), 60);
        lockout.succeeded(owner);
        assert_eq!(lockout.wait_seconds(owner, NOW), 0);
    }

    #[test]
    fn an_address_that_tries_many_names_is_slowed_down() {
        let lockout = Lockout::default();
        for number in 0..70 {
            lockout.failed(lockout.attempt(&format!("user{number}"), "192.0.2.1"), NOW);
        }
        let next = lockout.attempt("other", "192.0.2.1");
        assert_eq!(lockout.wait_seconds(next, NOW), 900);
        lockout.succeeded(next);
        assert_eq!(lockout.wait_seconds(next, NOW), 900);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_lengthen_a_wait() {
        let lockout = Lockout::default();
        let attempt = lockout.attempt("ann", "192.0.2.1");
        for _ in 0..5 {
            lockout.failed(attempt, NOW);
        }
        assert_eq!(lockout.wait_seconds(attempt, Timestamp(5)), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let lockout = Lockout::default();
        for number in 0..200_000_u64 {
            lockout.tables.lock().pair.failed(number, NOW);
        }
        assert!(lockout.tables.lock().pair.entries.len() <= ENTRIES_MAX);
    }
}
