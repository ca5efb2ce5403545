//! How many may come in at a time: into the process, per person, and per moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use klatch_domain::{Entropy, UserId};
use klatch_protocol::problem::{Code, Problem};
use klatch_recent::shrink;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::config::DoorLimits;
use crate::state::Shared;

const SHARDS: usize = 16;
/// Who is sent away comes back after this and up to as much again times [`SPREAD`], each another
/// moment, so that a storm does not come back as one.
const COME_BACK: Duration = Duration::from_secs(1);
const SPREAD: u32 = 4;

/// What "lately" means for places that were given back.
const LATELY: Duration = Duration::from_secs(1);

/// Counts of those who are in and those who are on their way in.
#[derive(Debug)]
pub(crate) struct Door {
    limits: DoorLimits,
    /// Places for connections that nobody has.
    places: Semaphore,
    /// Those who wait for one.
    waiting: AtomicU64,
    /// Places that were given back since the start.
    given_back: AtomicU64,
    lately: Mutex<Lately>,
    /// Connections of each user, also those on their way in.
    users: [Mutex<HashMap<UserId, u32>>; SHARDS],
    handshakes: Semaphore,
    allowance: Mutex<Allowance>,
}

/// How many places had been given back at two moments, and when the newer one was.
#[derive(Debug)]
struct Lately {
    older: u64,
    newer: u64,
    at: Instant,
}

/// Handshakes that may begin now, filled up as time passes.
#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

/// A place in the counts, given back when dropped unless a connection has it by then.
#[derive(Debug)]
pub(super) struct Seat {
    shared: Arc<Shared>,
    user: UserId,
    is_passed_on: bool,
}

impl Door {
    pub(crate) fn new(limits: DoorLimits) -> Self {
        let connections = limits.connections.min(Semaphore::MAX_PERMITS);
        let limits = DoorLimits { connections, ..limits };
        Self {
            limits,
            places: Semaphore::new(connections),
            waiting: AtomicU64::new(0),
            given_back: AtomicU64::new(0),
            lately: Mutex::new(Lately::new(Instant::now())),
            users: std::array::from_fn(|_| Mutex::default()),
            handshakes: Semaphore::new(limits.handshakes_at_once.max(1)),
            allowance: Mutex::new(Allowance {
                left: f64::from(limits.handshakes_per_second),
                at: Instant::now(),
            }),
        }
    }

    /// Connections that have a place.
    pub(crate) fn open(&self) -> usize {
        self.limits.connections.saturating_sub(self.places.available_permits())
    }

    /// Waits for the turn of a handshake, which lasts until the permit is dropped.
    ///
    /// # Errors
    /// 503 `busy`: the turn did not come in time, or too many come per second.
    pub(super) async fn turn(&self, entropy: &dyn Entropy) -> Result<SemaphorePermit<'_>, Problem> {
        let turn = tokio::time::timeout(self.limits.handshake_wait, self.handshakes.acquire());
        // The semaphore is never closed.
        let Ok(Ok(permit)) = turn.await else {
            return Err(later(Code::Busy, "too many connections begin at once", entropy));
        };
        if !self.allowance.lock().take(self.limits.handshakes_per_second, Instant::now()) {
            return Err(later(Code::Busy, "too many connections begin at once", entropy));
        }
        Ok(permit)
    }

    /// Waits for a turn of one who was let in already.
    pub(super) async fn turn_inside(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.handshakes.acquire().await.ok()
    }

    /// A place for a connection of this user, who may have `most` at a time; 0: any number. Waits
    /// a while for one to be given back, if as many were lately: after a storm of cuts those who
    /// come again may be here before their old connections were seen to have ended.
    ///
    /// # Errors
    /// 503 `busy`: the server is full; 429 `rate_limited`: the user has as many as one may have.
    pub(super) async fn seat(
        shared: &Arc<Shared>,
        user: UserId,
        most: u32,
    ) -> Result<Seat, Problem> {
        let (door, entropy) = (&shared.door, &*shared.deps.entropy);
        let place = door.place(entropy).await?;
        {
            let mut users = door.shard(user).lock();
            let count = users.entry(user).or_insert(0);
            if *count >= most && most > 0 {
                let detail = format!("{most} connections are open already");
                return Err(later(Code::RateLimited, &detail, entropy));
            }
            *count += 1;
        }
        // From here on dropping the seat gives both back.
        place.forget();
        Ok(Seat { shared: Arc::clone(shared), user, is_passed_on: false })
    }

    async fn place(&self, entropy: &dyn Entropy) -> Result<SemaphorePermit<'_>, Problem> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let full = || later(Code::Busy, "all connections are taken", entropy);
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        let given_back = self.given_back.load(Ordering::Relaxed);
        let lately = self.lately.lock().count(given_back, Instant::now());
        // A full server needs its sockets for requests: not more wait than there may be places for.
        if before >= lately {
            return Err(full());
        }
        // The semaphore is never closed.
        let place = tokio::time::timeout(self.limits.place_wait, self.places.acquire());
        place.await.ok().and_then(Result::ok).ok_or_else(full)
    }

    /// A connection of this user has ended.
    pub(crate) fn give_back(&self, user: UserId) {
        self.places.add_permits(1);
        self.given_back.fetch_add(1, Ordering::Relaxed);
        let mut users = self.shard(user).lock();
        let Some(count) = users.get_mut(&user) else { return };
        *count -= 1;
        if *count == 0 {
            users.remove(&user);
            shrink(&mut users);
        }
    }

    fn shard(&self, user: UserId) -> &Mutex<HashMap<UserId, u32>> {
        let index = usize::try_from(user.bits() % SHARDS as u128).unwrap_or(0);
        // In range by the remainder; the fallback is never taken.
        self.users.get(index).unwrap_or(&self.users[0])
    }
}

impl Seat {
    /// Leaves it to the connection to give the place back.
    pub(super) fn pass_on(mut self) {
        self.is_passed_on = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_passed_on {
            self.shared.door.give_back(self.user);
        }
    }
}

/// One who waits, counted until dropped.
struct Waits<'a>(&'a AtomicU64);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lately {
    fn new(now: Instant) -> Self {
        Self { older: 0, newer: 0, at: now }
    }

    /// How many of `total` came within the last one to two seconds, or since this was asked before,
    /// if that is longer ago.
    fn count(&mut self, total: u64, now: Instant) -> u64 {
        if now - self.at >= LATELY {
            self.older = std::mem::replace(&mut self.newer, total);
            self.at = now;
        }
        total.saturating_sub(self.older)
    }
}

impl Allowance {
    /// Takes one if there is one. The unused part of a second may be used at once.
    fn take(&mut self, per_second: u32, now: Instant) -> bool {
        if per_second == 0 {
            return true;
        }
        let rate = f64::from(per_second);
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate).min(rate);
        self.at = now;
        let is_there = self.left >= 1.0;
        if is_there {
            self.left -= 1.0;
        }
        is_there
    }
}

/// A refusal that names another moment to each.
pub(super) fn later(code: Code, detail: &str, entropy: &dyn Entropy) -> Problem {
    let [random, ..] = entropy.bytes16();
    let extra = COME_BACK * SPREAD * u32::from(random) / u32::from(u8::MAX);
    Problem { retry_after: Some(COME_BACK + extra), ..Problem::new(code).detail(detail) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klatch_testkit::SeededEntropy;

    #[test]
    fn a_second_gives_as_many_handshakes_as_it_may_and_no_more() {
        let begun = Instant::now();
        let mut allowance = Allowance { left: 10.0, at: begun };
        let taken = |allowance: &mut Allowance, at_ms: u64| {
            let now = begun + Duration::from_millis(at_ms);
            (0..100).filter(|_| allowance.take(10, now)).count()
        };
        assert_eq!(taken(&mut allowance, 0), 10);
        assert_eq!(taken(&mut allowance, 500), 5);
        assert_eq!(taken(&mut allowance, 10_500), 10, "an idle while is not saved up");
        assert!((0..100).all(|_| allowance.take(0, begun)), "zero is no limit");
    }

    #[test]
    fn everyone_who_is_sent_away_is_told_another_moment() {
        let entropy = SeededEntropy::new(1);
        let waits: Vec<u64> = (0..200)
            .map(|_| later(Code::Busy, "x", &entropy).retry_after_seconds().unwrap())
            .collect();
        for wait in 1..=5 {
            let share = waits.iter().filter(|told| **told == wait).count();
            assert!(wait == 1 || share > 20, "{share} of 200 are told {wait} s");
        }
        assert!(waits.iter().all(|wait| (1..=5).contains(wait)));
    }

    #[tokio::test]
    async fn a_turn_that_does_not_come_in_time_is_refused() {
        let entropy = SeededEntropy::new(1);
        let handshake_wait = Duration::from_millis(20);
        let limits = DoorLimits { handshakes_at_once: 1, handshake_wait, ..DoorLimits::default() };
        let door = Door::new(limits);
        let first = door.turn(&entropy).await.unwrap();
        let refused = door.turn(&entropy).await.unwrap_err();
        assert_eq!((refused.code, refused.status()), (Code::Busy, 503));
        drop(first);
        assert!(door.turn(&entropy).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_to_a_full_server_waits_a_moment_for_a_place() {
        let entropy = SeededEntropy::new(1);
        let limits = DoorLimits { connections: 2, ..DoorLimits::default() };
        let door = Door::new(limits);
        door.place(&entropy).await.unwrap().forget();
        door.give_back(UserId::from_bits(1));
        let first = door.place(&entropy).await.unwrap();
        door.place(&entropy).await.unwrap().forget();
        assert_eq!(door.open(), 2);
        let came = Instant::now();
        let refused = door.place(&entropy).await.unwrap_err();
        assert_eq!((refused.code, refused.status()), (Code::Busy, 503));
        assert_eq!(came.elapsed(), limits.place_wait);
        let go = async {
            tokio::time::sleep(limits.place_wait / 2).await;
            drop(first);
        };
        let (place, ()) = tokio::join!(door.place(&entropy), go);
        assert!(place.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_wait_for_a_place_as_were_given_back_lately_and_others_are_refused_at_once() {
        let entropy = SeededEntropy::new(1);
        let limits = DoorLimits { connections: 10, ..DoorLimits::default() };
        let door = Door::new(limits);
        let refused_at_once = async |come: usize| {
            let began = Instant::now();
            let one = async || {
                let refused = door.place(&entropy).await.is_err();
                refused && began.elapsed() < Duration::from_millis(1)
            };
            let all = futures::future::join_all((0..come).map(|_| one())).await;
            all.into_iter().filter(|at_once| *at_once).count()
        };
        for _ in 0..10 {
            door.place(&entropy).await.unwrap().forget();
        }
        assert_eq!(refused_at_once(20).await, 20, "nobody has left");
        for _ in 0..7 {
            door.give_back(UserId::from_bits(1));
        }
        for _ in 0..7 {
            door.place(&entropy).await.unwrap().forget();
        }
        assert_eq!(refused_at_once(20).await, 13, "seven have left, so seven may wait");
        tokio::time::sleep(LATELY * 3).await;
        refused_at_once(1).await;
        tokio::time::sleep(LATELY).await;
        assert_eq!(refused_at_once(20).await, 20, "they left long ago");
        assert_eq!(door.waiting.load(Ordering::Relaxed), 0);
    }
}
