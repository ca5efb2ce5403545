//! When a person's typing was told last, so that it is not told again too soon.

use std::collections::HashMap;
use std::time::Duration;

use klatch_domain::{RoomId, UserId};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Typists remembered before those who stopped long ago are looked for.
const SWEEP_AT: usize = 1_024;
/// Most typists remembered. Typing of more is told to nobody: it is the first thing to go.
const TYPISTS_MAX: usize = 64 * 1_024;
/// Clients show typing for about this long after they were told of it; a stop after that is none.
const SHOWN: Duration = Duration::from_secs(6);

/// Everyone who typed lately.
#[derive(Debug)]
pub(crate) struct Typists {
    interval: Duration,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    typing: HashMap<(RoomId, UserId), Typist>,
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Typist {
    /// When others were told that they type.
    told: Instant,
    /// Whether others were told since that they stopped.
    stopped: bool,
}

impl Typists {
    pub(crate) fn new(interval: Duration) -> Self {
        let known = Known { typing: HashMap::new(), sweep_at: SWEEP_AT };
        Self { interval, known: Mutex::new(known) }
    }

    /// Whether others are to be told. A start counts once per interval, a stop once per start.
    pub(crate) fn is_news(&self, room: RoomId, user: UserId, is_typing: bool) -> bool {
        let now = Instant::now();
        let mut known = self.known.lock();
        known.sweep(now, self.interval.max(SHOWN));
        let has_room = known.typing.len() < TYPISTS_MAX;
        let typist = known.typing.get_mut(&(room, user));
        match (typist, is_typing) {
            (Some(typist), true) => {
                let is_due = now - typist.told >= self.interval;
                if is_due {
                    *typist = Typist { told: now, stopped: false };
                }
                is_due
            }
            (Some(typist), false) => {
                let is_shown = !typist.stopped && now - typist.told < SHOWN;
                typist.stopped = true;
                is_shown
            }
            (None, true) if has_room => {
                known.typing.insert((room, user), Typist { told: now, stopped: false });
                true
            }
            (None, _) => false,
        }
    }
}

impl Known {
    fn sweep(&mut self, now: Instant, life: Duration) {
        if self.typing.len() < self.sweep_at {
            return;
        }
        self.typing.retain(|_, typist| now - typist.told < life);
        self.typing.shrink_to_fit();
        self.sweep_at = (self.typing.len() * 2).clamp(SWEEP_AT, TYPISTS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomId = RoomId::from_bits(1);
    const ANN: UserId = UserId::from_bits(1);
    const INTERVAL: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn a_start_is_news_once_in_the_interval_and_a_stop_once_after_it() {
        let typists = Typists::new(INTERVAL);
        let says = |is_typing| typists.is_news(ROOM, ANN, is_typing);
        assert!(!says(false), "nothing to stop");
        assert!(says(true));
        assert!(!says(true));
        assert!(typists.is_news(RoomId::from_bits(2), ANN, true), "another room");
        assert!(typists.is_news(ROOM, UserId::from_bits(2), true), "another person");
        assert!(says(false));
        assert!(!says(false));
        assert!(!says(true), "still the same three seconds");
        tokio::time::advance(INTERVAL).await;
        assert!(says(true));
        tokio::time::advance(SHOWN).await;
        assert!(!says(false), "nobody shows it any more");
    }

    #[tokio::test(start_paused = true)]
    async fn more_typists_than_are_remembered_are_told_to_nobody_until_others_stop() {
        let typists = Typists::new(INTERVAL);
        let room = |n: usize| RoomId::from_bits(n as u128);
        for n in 0..TYPISTS_MAX {
            assert!(typists.is_news(room(n), ANN, true));
        }
        assert!(!typists.is_news(room(TYPISTS_MAX), ANN, true));
        tokio::time::advance(SHOWN).await;
        assert!(typists.is_news(room(TYPISTS_MAX), ANN, true));
        assert_eq!(typists.known.lock().typing.len(), 1);
    }
}
