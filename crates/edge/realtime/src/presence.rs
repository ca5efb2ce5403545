//! Tells fan-out, and those who watch, who is connected here: one key per user, renewed while they
//! are, whose value says what their devices come to.
//!
//! The hub says what it wants and never waits; the newest wish for a user is the one carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use klatch_domain::UserId;
use klatch_domain::presence::Status;
use klatch_ports::PortResult;
use klatch_ports::kv::Revision;
use klatch_protocol::presence::{device_key, device_value, presence_subject};
use klatch_recent::shrink;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::hub::Message;
use crate::state::Shared;

/// Keys written at the same time.
const AT_ONCE: usize = 32;
/// Wishes taken at once; the next ones wait until all of these are carried out, so that the order
/// for one user is kept.
const BATCH: usize = 256;

/// A user's presence as the hub wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Connected; the number is given back when the key is written.
    Online(Here),
    /// Not connected any more.
    Offline,
}

/// A user who is connected here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Here {
    /// Of the wish that began this stay.
    pub(crate) number: u64,
    /// What their devices here come to.
    pub(crate) status: Status,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    wishes: HashMap<UserId, Wish>,
    online: HashMap<UserId, Here>,
    closed: bool,
}

impl Board {
    /// Wants a user's presence to be so; replaces an earlier wish that was not carried out yet.
    pub(crate) fn want(&self, user: UserId, wish: Wish) {
        let mut state = self.state.lock();
        match wish {
            Wish::Online(here) => state.online.insert(user, here),
            Wish::Offline => state.online.remove(&user),
        };
        shrink(&mut state.online);
        state.wishes.insert(user, wish);
        drop(state);
        self.changed.notify_one();
    }

    /// No wishes will come; the worker ends when those that are there are carried out.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    fn take(&self) -> (Vec<(UserId, Wish)>, bool) {
        let mut state = self.state.lock();
        let users: Vec<UserId> = state.wishes.keys().take(BATCH).copied().collect();
        let wishes = users.into_iter().filter_map(|user| state.wishes.remove_entry(&user));
        let wishes: Vec<_> = wishes.collect();
        if state.wishes.is_empty() {
            state.wishes = HashMap::new();
        }
        (wishes, state.closed)
    }

    fn online(&self) -> Vec<UserId> {
        self.state.lock().online.keys().copied().collect()
    }

    fn here(&self, user: UserId) -> Option<Here> {
        self.state.lock().online.get(&user).copied()
    }
}

/// Carries wishes out and renews keys, until the board is closed and empty.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    board: Arc<Board>,
    round: Round,
}

/// A renewal of all keys.
struct Round {
    began: Instant,
    left: Vec<UserId>,
    /// Whether every key so far was written.
    whole: bool,
    newest: Revision,
}

impl Round {
    fn of(users: Vec<UserId>) -> Self {
        Self { began: Instant::now(), left: users, whole: true, newest: Revision::default() }
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, board: Arc<Board>) -> Self {
        Self { shared, board, round: Round::of(Vec::new()) }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let (wishes, closed) = self.board.take();
            if closed && wishes.is_empty() {
                return;
            }
            let idle = wishes.is_empty();
            self.carry_out(wishes).await;
            if self.round.left.is_empty() {
                let due = self.round.began + self.shared.config.presence_ttl / 4;
                if Instant::now() >= due {
                    self.round = Round::of(self.board.online());
                    self.renew().await;
                } else if idle {
                    let wait = tokio::time::timeout_at(due, self.board.changed.notified());
                    // Either way there is something to look at.
                    let _ = wait.await;
                }
            } else {
                self.renew().await;
            }
        }
    }

    async fn carry_out(&self, wishes: Vec<(UserId, Wish)>) {
        let done = futures::stream::iter(wishes)
            .map(|(user, wish)| async move { (user, wish, self.carry_out_one(user, wish).await) })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for (user, wish, outcome) in done {
            match (wish, outcome) {
                (Wish::Online(Here { number, .. }), Ok(revision)) => {
                    self.tell_watchers(user).await;
                    self.tell(Message::Placed { user, number, revision }).await;
                }
                (Wish::Offline, Ok(_)) => {
                    self.note_last_seen(user).await;
                    self.tell_watchers(user).await;
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "presence is not written");
                    self.wish_again(user, wish);
                }
            }
        }
    }

    /// Puts a wish back that failed, unless a newer one has come.
    fn wish_again(&self, user: UserId, wish: Wish) {
        let mut state = self.board.state.lock();
        if state.closed {
            // The key ends by itself.
            return;
        }
        state.wishes.entry(user).or_insert(wish);
    }

    async fn carry_out_one(&self, user: UserId, wish: Wish) -> PortResult<Revision> {
        let key = device_key(user, self.shared.instance);
        let kv = &self.shared.deps.presence;
        let outcome = match wish {
            Wish::Online(Here { status, .. }) => {
                let ttl = Some(self.shared.config.presence_ttl);
                kv.put(&key, device_value(status), ttl).await
            }
            Wish::Offline => kv.delete(&key).await,
        };
        if outcome.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        outcome
    }

    /// Nothing depends on these two: what they say is found out later without them.
    async fn tell_watchers(&self, user: UserId) {
        let told = self.shared.deps.signals.publish(&presence_subject(user), Bytes::new()).await;
        if let Err(error) = told {
            tracing::debug!(%error, "a change of presence is not told");
        }
    }

    async fn note_last_seen(&self, user: UserId) {
        if let Err(error) = self.shared.deps.people.left(user).await {
            tracing::debug!(%error, "when someone was seen last is not written");
        }
    }

    /// Renews the next keys of the round; tells the hub when it is through.
    async fn renew(&mut self) {
        let from = self.round.left.len().saturating_sub(BATCH);
        let users = self.round.left.split_off(from);
        // Whoever left since must not be brought back.
        let still = users.into_iter().filter_map(|user| Some((user, self.board.here(user)?)));
        let still: Vec<_> = still.collect();
        let this = &*self;
        let outcomes = futures::stream::iter(still)
            .map(|(user, here)| this.carry_out_one(user, Wish::Online(here)))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for outcome in outcomes {
            match outcome {
                Ok(revision) => self.round.newest = self.round.newest.max(revision),
                Err(error) => {
                    tracing::warn!(%error, "presence is not renewed");
                    self.round.whole = false;
                }
            }
        }
        if self.round.left.is_empty() && self.round.whole {
            let (began, newest) = (self.round.began, self.round.newest);
            self.tell(Message::Renewed { began, newest }).await;
        } else if self.round.left.is_empty() {
            // Try again soon rather than a quarter of the keys' life later.
            let all = self.board.online();
            self.round = Round::of(all);
        }
    }

    async fn tell(&self, message: Message) {
        // The hub is gone only when the role stops.
        let _ = self.shared.hub.send(message).await;
    }
}
