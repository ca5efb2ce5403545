//! People who are watched from here: what their watchers know of them, and when to look again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use klatch_domain::presence::{Presence, Status};
use klatch_domain::{ConnectionId, UserId};
use klatch_ports::api::presence::PresenceView;
use klatch_ports::kv::Revision;
use klatch_protocol::ws::presence::presence;
use tokio::time::Instant;

use super::Asking;
use crate::connection::Passing;
use crate::state::Shared;

/// People looked up at once; the others wait for the next turn.
const LOOKED_UP: usize = 1_000;

/// Everyone who is watched.
pub(super) struct People {
    shared: Arc<Shared>,
    watched: HashMap<UserId, Watched>,
    /// People nobody has looked at yet.
    fresh: Vec<UserId>,
    /// People who may have changed.
    changed: HashSet<UserId>,
    /// When to look again though nothing was heard. An entry that is not the person's own
    /// [`Watched::again_at`] is void.
    again: BinaryHeap<Reverse<(Instant, UserId)>>,
    /// Whom to tell of whom.
    owed: HashMap<ConnectionId, HashSet<UserId>>,
    /// Changes are looked at from here on, so that several become one.
    next_turn: Instant,
}

/// Someone who is watched.
#[derive(Debug)]
struct Watched {
    by: HashSet<ConnectionId>,
    /// What watchers were told, and its frame.
    told: Option<(Presence, Bytes)>,
    /// The change that says they are connected, and since when there is no newer one.
    stamp: Option<(Revision, Instant)>,
    /// Since when they have looked offline without watchers having been told.
    leaving: Option<Instant>,
    again_at: Option<Instant>,
}

impl People {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            watched: HashMap::new(),
            fresh: Vec::new(),
            changed: HashSet::new(),
            again: BinaryHeap::new(),
            owed: HashMap::new(),
            next_turn: Instant::now(),
        }
    }

    /// A connection watches `now` instead of `before`. It is told of everyone it did not watch.
    pub(super) fn replace(
        &mut self,
        id: ConnectionId,
        before: &HashSet<UserId>,
        now: &HashSet<UserId>,
    ) {
        for user in before.difference(now) {
            self.unwatch(id, *user);
        }
        for user in now.difference(before) {
            self.watch(id, *user);
        }
        self.shared.stats.watched(self.watched.len());
    }

    fn watch(&mut self, id: ConnectionId, user: UserId) {
        let fresh = &mut self.fresh;
        let watched = self.watched.entry(user).or_insert_with(|| {
            fresh.push(user);
            let by = HashSet::new();
            Watched { by, told: None, stamp: None, leaving: None, again_at: None }
        });
        watched.by.insert(id);
        if watched.told.is_some() {
            self.owed.entry(id).or_default().insert(user);
        }
    }

    fn unwatch(&mut self, id: ConnectionId, user: UserId) {
        if let Some(owed) = self.owed.get_mut(&id) {
            owed.remove(&user);
            if owed.is_empty() {
                self.owed.remove(&id);
            }
        }
        let Some(watched) = self.watched.get_mut(&user) else { return };
        watched.by.remove(&id);
        if watched.by.is_empty() {
            self.watched.remove(&user);
            self.changed.remove(&user);
        }
    }

    /// Something about a user changed. Costs a look-up in a table if nobody here watches them.
    pub(super) fn changed(&mut self, user: UserId) {
        if self.watched.contains_key(&user) {
            self.changed.insert(user);
        }
    }

    /// Nothing was heard for a while.
    pub(super) fn all_may_have_changed(&mut self) {
        self.changed.extend(self.watched.keys().copied());
    }

    /// When there is something to do without being told.
    pub(super) fn due(&self) -> Option<Instant> {
        if !self.fresh.is_empty() {
            return Some(Instant::now());
        }
        if !self.changed.is_empty() || !self.owed.is_empty() {
            return Some(self.next_turn);
        }
        self.again.peek().map(|Reverse((at, _))| (*at).max(self.next_turn))
    }

    /// Looks at whoever is due, and tells those who watch them what is new.
    pub(super) async fn look(&mut self, asking: &HashMap<ConnectionId, Asking>) {
        let now = Instant::now();
        let mut users = self.take_fresh();
        let is_turn = now >= self.next_turn;
        if is_turn {
            self.next_turn = now + self.shared.config.presence_pause;
            self.take_due(now, &mut users);
        }
        if !users.is_empty() {
            self.shared.stats.looked_up(users.len());
            match self.shared.deps.people.presence(&users).await {
                Ok(views) => views.into_iter().for_each(|view| self.learn(view)),
                Err(error) => {
                    tracing::warn!(%error, "presence cannot be read");
                    self.changed.extend(users);
                    self.next_turn = now + Duration::from_secs(1);
                }
            }
            self.pay(asking).await;
        } else if is_turn || !self.owed.is_empty() {
            self.pay(asking).await;
        }
    }

    fn take_fresh(&mut self) -> Vec<UserId> {
        let from = self.fresh.len().saturating_sub(LOOKED_UP);
        let mut users = self.fresh.split_off(from);
        if self.fresh.is_empty() {
            self.fresh = Vec::new();
        }
        // Someone may have been let go of, and watched again, in between.
        users.retain(|user| self.watched.get(user).is_some_and(|it| it.told.is_none()));
        users
    }

    fn take_due(&mut self, now: Instant, users: &mut Vec<UserId>) {
        while let Some(Reverse((at, user))) = self.again.peek().copied() {
            if at > now || users.len() >= LOOKED_UP {
                break;
            }
            self.again.pop();
            if self.watched.get(&user).is_some_and(|it| it.again_at == Some(at)) {
                self.changed.remove(&user);
                users.push(user);
            }
        }
        let room = LOOKED_UP.saturating_sub(users.len());
        let some: Vec<UserId> = self.changed.iter().take(room).copied().collect();
        for user in some {
            self.changed.remove(&user);
            users.push(user);
        }
    }

    fn learn(&mut self, view: PresenceView) {
        let PresenceView { user, presence: seen, oldest } = view;
        let now = Instant::now();
        let config = &self.shared.config;
        let Some(watched) = self.watched.get_mut(&user) else { return };
        watched.stamp = match (oldest, watched.stamp) {
            (Some(newer), Some((known, since))) if newer == known => Some((known, since)),
            (newer, _) => newer.map(|newer| (newer, now)),
        };
        // A key is renewed four times in its life. One that was not for half of it may be of an
        // instance that is no more: its end must not be missed.
        let quiet = watched.stamp.map_or(Duration::ZERO, |(_, since)| now - since);
        let half = config.presence_ttl / 2;
        let mut again = if quiet >= half { config.presence_ttl / 60 } else { half };
        if let Some(until) = seen.until {
            let left = until.ms_since(self.shared.deps.clock.now());
            again = again.min(Duration::from_millis(left.max(100)));
        }
        let was_there =
            watched.told.as_ref().is_some_and(|(told, _)| told.status != Status::Offline);
        if was_there && oldest.is_none() {
            // Whoever reloads a page is back in a moment.
            let since = *watched.leaving.get_or_insert(now);
            let left = (since + config.offline_grace).saturating_duration_since(now);
            if left > Duration::ZERO {
                return self.look_again(user, now + left.min(again));
            }
        }
        watched.leaving = None;
        if watched.told.as_ref().is_none_or(|(told, _)| *told != seen) {
            let frame = presence(user, &seen);
            watched.told = Some((seen, frame));
            for id in &watched.by {
                self.owed.entry(*id).or_default().insert(user);
            }
        }
        self.look_again(user, now + again);
    }

    fn look_again(&mut self, user: UserId, at: Instant) {
        if let Some(watched) = self.watched.get_mut(&user) {
            watched.again_at = Some(at);
            self.again.push(Reverse((at, user)));
        }
        // Entries that became void must not outnumber those that count.
        if self.again.len() > 1_024 && self.again.len() / 4 > self.watched.len() {
            let watched = &self.watched;
            self.again.retain(|Reverse((at, user))| {
                watched.get(user).is_some_and(|it| it.again_at == Some(*at))
            });
        }
    }

    /// Tells everyone of what is new. Whoever does not read is told the newest when they do.
    async fn pay(&mut self, asking: &HashMap<ConnectionId, Asking>) {
        let (watched, mut told) = (&self.watched, 0);
        for (id, users) in std::mem::take(&mut self.owed) {
            let Some(Asking { connection, .. }) = asking.get(&id) else { continue };
            // Asked each time: who is in a room with whom changes.
            let users: Vec<UserId> = users.into_iter().collect();
            let seen = self.shared.deps.people.seen_by(connection.actor(), &users).await;
            let seen = seen.unwrap_or_else(|error| {
                tracing::warn!(%error, "who may see whom cannot be read");
                HashSet::new()
            });
            for user in seen {
                let Some((_, frame)) = watched.get(&user).and_then(|it| it.told.as_ref()) else {
                    continue;
                };
                connection.pass(Passing::Presence(user), frame.clone());
                told += 1;
            }
        }
        self.shared.stats.presence_told(told);
    }
}
