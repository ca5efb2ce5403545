//! Letters to people, written and sent behind the answer to whoever caused them: neither an answer
//! nor its time tells whether there is an account, and a mail server that is slow or away holds
//! nobody up.
//!
//! What waits is in memory, bounded, and gone with the process: who waits in vain asks again.

mod queue;
mod words;

use std::time::Duration;

use klatch_domain::{Timestamp, UserId};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::mail::{Handover, Letter};
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::Instant;

use crate::Auth;
use crate::credentials::RESET_LIFE_MS;
use queue::{Draft, Queue, Waiting};

pub use queue::LetterStats;

/// Requests that may wait to be looked up; more lead to nothing.
const ASKED_MAX: usize = 256;
/// Pauses between attempts: the first, and the longest after doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A link that is shorter lived than this when it could be sent is not sent any more.
const LINK_LEFT_MS: u64 = 10 * 60_000;

/// Why somebody gets a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They asked for a link that sets a new password.
    Reset,
    /// Their password was changed.
    PasswordChanged,
}

/// Everything on its way to people.
pub(crate) struct Letters {
    /// Names and addresses that a link was asked for, not looked at yet.
    ask: Sender<String>,
    asked: Mutex<Option<Receiver<String>>>,
    queue: Queue,
}

impl Default for Letters {
    fn default() -> Self {
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        Self { ask, asked: Mutex::new(Some(asked)), queue: Queue::default() }
    }
}

impl Letters {
    /// Somebody who signs in as `login` wants a link. Costs the same whoever that is.
    pub(crate) fn ask(&self, login: String) {
        if self.ask.try_send(login).is_err() {
            self.queue.drop_one();
        }
    }

    /// What waits for `user` is not sent any more.
    pub(crate) fn forget(&self, user: UserId) {
        self.queue.forget(user);
    }
}

impl Auth {
    /// Writes and sends letters until the future is dropped. Run it once; without it, and without
    /// a mailer, nobody gets any.
    ///
    /// One letter is handed over at a time. While the mail server cannot be reached all of them
    /// wait, with pauses that grow to a minute; one that is refused for now waits alone.
    pub async fn run_letters(&self) {
        let Some(asked) = self.letters.asked.lock().take() else { return };
        tokio::join!(self.look_up(asked), self.hand_over());
    }

    /// What became of letters so far.
    pub fn letter_stats(&self) -> LetterStats {
        self.letters.queue.stats()
    }

    /// A letter for `user`, if letters are sent at all.
    pub(crate) fn write_to(&self, user: UserId, kind: Kind) {
        if self.parts.mailer.is_some() {
            self.letters.queue.add(user, kind, self.parts.clock.now());
        }
    }

    async fn look_up(&self, mut asked: Receiver<String>) {
        while let Some(login) = asked.recv().await {
            match self.find(&login).await {
                Ok(Some(account)) if !account.bot => self.write_to(account.user, Kind::Reset),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a name could not be looked up for a letter"),
            }
        }
    }

    async fn hand_over(&self) {
        let mut troubles = 0;
        loop {
            let mut waiting = self.letters.queue.next().await;
            match self.attempt(&mut waiting).await {
                Ok(outcome) => {
                    if troubles > 0 {
                        tracing::info!(troubles, "the mail server takes letters again");
                    }
                    troubles = 0;
                    self.settle(waiting, outcome);
                }
                Err(error) => {
                    if troubles == 0 {
                        tracing::warn!(%error, "letters wait until the mail server takes them");
                    }
                    // Behind the others: it may be this letter by which a mail server breaks off.
                    self.letters.queue.put_back(waiting, Duration::ZERO);
                    tokio::time::sleep(pause(troubles)).await;
                    troubles += 1;
                }
            }
        }
    }

    fn settle(&self, mut waiting: Waiting, outcome: Option<Handover>) {
        let queue = &self.letters.queue;
        let (user, kind) = (waiting.user, waiting.kind);
        match outcome {
            // Nobody is there any more to get it.
            None => queue.drop_one(),
            Some(Handover::Taken) => {
                tracing::info!(user.id = %user, ?kind, "sent a letter");
                queue.count_sent();
            }
            Some(Handover::Never(code)) => {
                tracing::warn!(user.id = %user, ?kind, code, "the mail server refused a letter");
                queue.count_refused();
            }
            Some(Handover::Later(code)) => {
                tracing::debug!(user.id = %user, ?kind, code, "the mail server puts a letter off");
                let again = pause(waiting.put_off);
                waiting.put_off += 1;
                queue.put_back(waiting, again);
            }
        }
    }

    /// Hands one letter over; `None` when nobody is to get it any more.
    async fn attempt(&self, waiting: &mut Waiting) -> Result<Option<Handover>, ServiceError> {
        let Some(mailer) = &self.parts.mailer else { return Ok(None) };
        let Some(letter) = self.compose(waiting).await? else { return Ok(None) };
        Ok(Some(mailer.send(&letter).await?))
    }

    /// The letter as it is to be sent now. Addresses and words are not kept while it waits; its id
    /// and its link are, so that it is the same letter whenever it is tried.
    async fn compose(&self, waiting: &mut Waiting) -> ServiceResult<Option<Letter>> {
        let Some(account) = self.parts.stores.accounts.get(waiting.user).await? else {
            return Ok(None);
        };
        if account.banned {
            return Ok(None);
        }
        let profile = self.profile(&account).await?;
        let Some((to, name)) = profile.and_then(|it| Some((it.email?, it.username))) else {
            return Ok(None);
        };
        let draft = match &waiting.draft {
            Some(draft) => draft.clone(),
            None => self.draft(waiting).await?,
        };
        let place = self.config.public_url.trim_end_matches('/');
        let (subject, text) = match &draft.token {
            Some(token) => words::reset(&name, place, token, draft.until),
            None => words::password_changed(&name, place, waiting.at),
        };
        let id = draft.id.clone();
        waiting.draft = Some(draft);
        Ok(Some(Letter { id, to, subject, text }))
    }

    async fn draft(&self, waiting: &mut Waiting) -> ServiceResult<Draft> {
        let id = format!("{:032x}", u128::from_be_bytes(self.parts.entropy.bytes16()));
        let (token, until) = match waiting.kind {
            Kind::PasswordChanged => (None, Timestamp::MAX),
            Kind::Reset => {
                let until = self.parts.clock.now().plus_ms(RESET_LIFE_MS);
                waiting.ends_at =
                    Instant::now() + Duration::from_millis(RESET_LIFE_MS - LINK_LEFT_MS);
                (Some(self.make_reset(waiting.user).await?.0), until)
            }
        };
        Ok(Draft { id, token, until })
    }
}

/// The pause after so many failures in a row before.
fn pause(before: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << before.min(10)).min(LONGEST_PAUSE)
}
