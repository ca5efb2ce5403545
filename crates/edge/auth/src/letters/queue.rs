//! Letters that wait: who is to get one and why, not what it says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use klatch_domain::{Timestamp, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Kind;

/// Letters that may wait; more are dropped.
const WAITING_MAX: usize = 256;
/// What could not be handed over for so long is given up.
const PATIENCE: Duration = Duration::from_hours(24);

/// A letter that waits.
pub(super) struct Waiting {
    pub(super) user: UserId,
    pub(super) kind: Kind,
    /// When it was caused.
    pub(super) at: Timestamp,
    /// How often the mail server has put this one off.
    pub(super) put_off: u32,
    not_before: Instant,
    /// When it is given up.
    pub(super) ends_at: Instant,
    /// Made at the first attempt.
    pub(super) draft: Option<Draft>,
}

/// What stays the same over all attempts.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) id: String,
    /// The secret of its link, if there is one in it, and when the link ends.
    pub(super) token: Option<String>,
    pub(super) until: Timestamp,
}

/// What became of letters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetterStats {
    /// Letters that wait now.
    pub waiting: u64,
    /// The mail server took them.
    pub sent: u64,
    /// The mail server would never take them.
    pub refused: u64,
    /// They could not be handed over in time.
    pub given_up: u64,
    /// Too many waited, or nobody was there any more to get them.
    pub dropped: u64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Whom the letter is for that is being handed over.
    sending: Option<(UserId, Kind)>,
}

impl State {
    /// Whether a letter that is on its way will do. A notice that is going out tells of an earlier
    /// change.
    fn has(&self, user: UserId, kind: Kind) -> bool {
        let waits = self.waiting.iter().any(|it| it.user == user && it.kind == kind);
        waits || kind == Kind::Reset && self.sending == Some((user, kind))
    }
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    sent: AtomicU64,
    refused: AtomicU64,
    given_up: AtomicU64,
    dropped: AtomicU64,
}

/// What is to be done next.
enum Next {
    Send(Waiting),
    WaitUntil(Instant),
    Nothing,
}

impl Queue {
    /// Somebody is to get a letter. One of the same kind that is on its way to them is enough.
    pub(super) fn add(&self, user: UserId, kind: Kind, at: Timestamp) {
        let mut state = self.state.lock();
        if state.has(user, kind) {
            return;
        }
        if state.waiting.len() >= WAITING_MAX {
            drop(state);
            tracing::warn!(user.id = %user, ?kind, "too many letters wait: one is dropped");
            return self.drop_one();
        }
        let now = Instant::now();
        let ends_at = now + PATIENCE;
        let fresh = Waiting { user, kind, at, put_off: 0, not_before: now, ends_at, draft: None };
        state.waiting.push_back(fresh);
        drop(state);
        self.changed.notify_one();
    }

    /// A letter that was not handed over waits again, behind the others.
    pub(super) fn put_back(&self, mut letter: Waiting, pause: Duration) {
        letter.not_before = Instant::now() + pause;
        let mut state = self.state.lock();
        state.sending = None;
        state.waiting.push_back(letter);
    }

    pub(super) fn forget(&self, user: UserId) {
        self.state.lock().waiting.retain(|waiting| waiting.user != user);
    }

    /// Waits for the next letter that may be tried, and takes it out.
    pub(super) async fn next(&self) -> Waiting {
        loop {
            match self.look() {
                Next::Send(letter) => return letter,
                // A note that came since the look is kept.
                Next::Nothing => self.changed.notified().await,
                Next::WaitUntil(then) => tokio::select! {
                    () = sleep_until(then) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    fn look(&self) -> Next {
        let now = Instant::now();
        let mut state = self.state.lock();
        let State { waiting, sending } = &mut *state;
        *sending = None;
        let before = waiting.len();
        waiting.retain(|letter| letter.ends_at > now);
        let ended = before - waiting.len();
        if ended > 0 {
            tracing::warn!(letters = ended, "letters were given up: no mail server took them");
            self.given_up.fetch_add(ended as u64, Ordering::Relaxed);
        }
        let due = waiting.iter().position(|letter| letter.not_before <= now);
        if let Some(letter) = due.and_then(|at| waiting.remove(at)) {
            *sending = Some((letter.user, letter.kind));
            return Next::Send(letter);
        }
        let then = waiting.iter().map(|letter| letter.not_before.min(letter.ends_at)).min();
        then.map_or(Next::Nothing, Next::WaitUntil)
    }

    pub(super) fn count_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> LetterStats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LetterStats {
            waiting: self.state.lock().waiting.len() as u64,
            sent: load(&self.sent),
            refused: load(&self.refused),
            given_up: load(&self.given_up),
            dropped: load(&self.dropped),
        }
    }
}
