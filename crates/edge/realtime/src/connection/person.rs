//! What a connection says of the person behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use klatch_domain::RoomId;
use klatch_domain::presence::Status;
use klatch_ports::api::presence::StatusWords;
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_protocol::problem::Problem;
use klatch_protocol::ws::close::CloseCode;
use klatch_protocol::ws::server;
use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;

use super::strikes::Strikes;
use super::talk::refusal;
use super::{Connection, Waiting};
use crate::hub::Message;
use crate::signals::Ask;

/// Set while the person has done nothing for a while.
const IDLE: u8 = 0x80;
/// Set once the connection asked for presence or typing.
const ASKED: u8 = 0x40;
const STATUS: u8 = 0x0f;

/// Kept small: every connection has one, most never change it.
#[derive(Debug)]
pub(super) struct Person {
    /// [`Status`] as the client said it, [`IDLE`] and [`ASKED`].
    bits: AtomicU8,
    /// Tick of the sweep at which the person did something last.
    active: AtomicU32,
    /// Words that came too often.
    excess: Mutex<Strikes>,
}

impl Person {
    pub(super) fn new(tick: u32) -> Self {
        let bits = AtomicU8::new(Status::Online as u8);
        Self { bits, active: AtomicU32::new(tick), excess: Mutex::default() }
    }

    /// Whether the device's person is there. Who is idle is away, unless they said otherwise.
    pub(super) fn status(&self) -> Status {
        let bits = self.bits.load(Ordering::Acquire);
        let said = Status::ALL.into_iter().find(|it| *it as u8 == bits & STATUS);
        match said.unwrap_or_default() {
            Status::Online if bits & IDLE != 0 => Status::Away,
            said => said,
        }
    }

    /// The client says how it is.
    pub(super) fn say(&self, status: Status, tick: u32) {
        self.active.store(tick, Ordering::Relaxed);
        let change = |bits: u8| Some(bits & ASKED | status as u8);
        // Always changes, so it cannot fail.
        let _ = self.bits.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// The person did something. Whether they had been idle.
    pub(super) fn act(&self, tick: u32) -> bool {
        self.active.store(tick, Ordering::Relaxed);
        self.bits.load(Ordering::Relaxed) & IDLE != 0
            && self.bits.fetch_and(!IDLE, Ordering::AcqRel) & IDLE != 0
    }

    /// Whether the person has become idle, having done nothing for `ticks`.
    pub(super) fn idles(&self, tick: u32, ticks: u32) -> bool {
        let idle = tick.saturating_sub(self.active.load(Ordering::Relaxed)) >= ticks;
        idle && self.bits.load(Ordering::Relaxed) & IDLE == 0
            && self.bits.fetch_or(IDLE, Ordering::AcqRel) & IDLE == 0
    }

    /// The other way round, when nobody could be told.
    pub(super) fn not_told(&self) {
        self.bits.fetch_xor(IDLE, Ordering::AcqRel);
    }

    /// The connection asks for presence or typing, now or before.
    pub(super) fn ask(&self) {
        self.bits.fetch_or(ASKED, Ordering::AcqRel);
    }

    pub(super) fn has_asked(&self) -> bool {
        self.bits.load(Ordering::Acquire) & ASKED != 0
    }

    /// One more word that came too often. Whether that makes `max` within a minute.
    pub(super) fn exceeds(&self, tick: u32, max: u8) -> bool {
        self.excess.lock().one_more(tick, max)
    }
}

impl Connection {
    /// What this device says of its person.
    pub(crate) fn device_status(&self) -> Status {
        self.person.status()
    }

    /// The person did something just now.
    pub(super) fn act(&self) {
        if self.person.act(self.shared.tick()) {
            self.restate_soon();
        }
    }

    /// Is away from here on if the person did nothing for `ticks`.
    pub(crate) fn idle_when_due(&self, tick: u32, ticks: u32) {
        if self.person.idles(tick, ticks) {
            self.restate_soon();
        }
    }

    /// Tells the hub that the device says something else, or remembers that it was not told.
    fn restate_soon(&self) {
        if self.shared.hub.try_send(Message::Restate(self.user)).is_err() {
            self.person.not_told();
        }
    }

    /// Asks for the presence and typing that the client chose, or for none any more. It is asked
    /// when this returns, so before the client can know that its choice counts; what is returned
    /// found no room and must be sent.
    pub(super) fn ask(self: &Arc<Self>) -> Option<Ask> {
        let wants = self.subscription().unwrap_or_default();
        let wants_any = wants.typing || !wants.presence.is_empty();
        if !wants_any && !self.person.has_asked() {
            return None;
        }
        self.person.ask();
        match self.shared.asks.try_send(Ask::Subscribe(Arc::clone(self), wants)) {
            Err(TrySendError::Full(ask)) => Some(ask),
            // Without the task the role stops, and the connection with it.
            Ok(()) | Err(TrySendError::Closed(_)) => None,
        }
    }

    /// Asks when there is room to.
    pub(super) async fn ask_later(&self, ask: Ask) {
        let _ = self.shared.asks.send(ask).await;
    }

    /// The connection is over: nothing is asked for any more.
    pub(crate) async fn ask_no_more(&self) {
        if self.person.has_asked() {
            let _ = self.shared.asks.send(Ask::Gone(self.id)).await;
        }
    }

    /// The person types, or has stopped.
    pub(super) async fn type_word(&self, request_id: Option<&str>, room: RoomId, is_typing: bool) {
        let people = Arc::clone(&self.shared.deps.people);
        let outcome = people.typing(self.actor(), room, is_typing).await;
        self.answer_word(request_id, outcome);
    }

    /// What this device says of its person, and what they say of themselves.
    pub(super) async fn presence_word(
        &self,
        request_id: Option<&str>,
        status: Option<Status>,
        words: Option<StatusWords>,
    ) {
        let outcome = self.take_presence(status, words).await;
        self.answer_word(request_id, outcome);
    }

    async fn take_presence(
        &self,
        status: Option<Status>,
        words: Option<StatusWords>,
    ) -> ServiceResult<()> {
        let people = Arc::clone(&self.shared.deps.people);
        match words {
            Some(words) => people.say_status(self.actor(), words).await?,
            None => people.admit_status(self.actor())?,
        }
        if let Some(status) = status {
            self.person.say(status, self.shared.tick());
            // Without a hub the role stops, and the connection with it.
            let _ = self.shared.hub.send(Message::Restate(self.user)).await;
        }
        Ok(())
    }

    /// Answers a word that nobody has to wait for: what is taken, only if the client wants to know.
    fn answer_word(&self, request_id: Option<&str>, outcome: ServiceResult<()>) {
        match outcome {
            Ok(()) if request_id.is_some() => self.answer(server::taken(request_id)),
            Ok(()) => {}
            Err(ServiceError::TooOften(wait)) => self.refuse_for_now(request_id, wait),
            Err(error) => self.answer(refusal(request_id, &Problem::from(&error))),
        }
    }

    /// Tells the client to wait, and closes when it does not listen.
    pub(super) fn refuse_for_now(&self, request_id: Option<&str>, wait: Duration) {
        self.answer(refusal(request_id, &Problem::from(&ServiceError::TooOften(wait))));
        let shared = &self.shared;
        if self.person.exceeds(shared.tick(), shared.config.excess_max) {
            self.close(CloseCode::RateLimited, "limits were ignored", Waiting::Keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_nothing_is_away_until_they_do_something() {
        let person = Person::new(5);
        assert_eq!(person.status(), Status::Online);
        assert!(!person.idles(14, 10));
        assert!(person.idles(15, 10));
        assert!(!person.idles(16, 10), "told once");
        assert_eq!(person.status(), Status::Away);
        person.ask();
        assert!(person.act(20));
        assert!(!person.act(20));
        assert_eq!((person.status(), person.has_asked()), (Status::Online, true));
        assert!(!person.idles(29, 10));
    }

    #[test]
    fn what_a_client_says_counts_more_than_that_nothing_is_done() {
        for said in [Status::Away, Status::Dnd, Status::Offline] {
            let person = Person::new(0);
            person.say(said, 0);
            person.idles(100, 10);
            assert_eq!(person.status(), said);
            person.act(101);
            assert_eq!(person.status(), said);
        }
        let person = Person::new(0);
        person.idles(10, 10);
        person.say(Status::Online, 11);
        assert_eq!(person.status(), Status::Online);
    }

    #[test]
    fn what_nobody_could_be_told_is_tried_again() {
        let person = Person::new(0);
        assert!(person.idles(10, 10));
        person.not_told();
        assert!(person.idles(11, 10));
        assert!(person.act(12));
        person.not_told();
        assert!(person.act(13));
    }
}
