//! One person acting at random until told to stop, and then putting everything in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use klatch_checker::{Direction, Name, Purpose};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::{Back, Change, Outcome, Pages, Person, Way};
use crate::dice::Dice;

/// How long a person tries to put everything in order.
const TIDY_MOST: Duration = Duration::from_secs(30);
/// Own messages remembered, for edits, deletes and repeated sends.
const OWN_MAX: usize = 200;

/// The rooms of a run.
#[derive(Debug)]
pub(super) struct Places {
    /// Everybody stays here.
    pub(super) steady: Vec<Name>,
    /// People join and leave these.
    pub(super) lobbies: Vec<Name>,
    /// The first person brings others in and puts them out.
    pub(super) guarded: Name,
    /// Rooms of two, with the processes of both.
    pub(super) direct: Vec<(Name, [u32; 2])>,
}

impl Places {
    pub(super) fn all(&self) -> impl Iterator<Item = &Name> {
        let direct = self.direct.iter().map(|(room, _)| room);
        self.steady.iter().chain(&self.lobbies).chain([&self.guarded]).chain(direct)
    }

    /// The rooms of two that a person is in.
    pub(super) fn direct_of(&self, process: u32) -> impl Iterator<Item = &Name> {
        let of = move |pair: &&(Name, [u32; 2])| pair.1.contains(&process);
        self.direct.iter().filter(of).map(|(room, _)| room)
    }
}

/// What people did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Sends by first attempts.
    pub sends: u64,
    /// Attempts after an unknown outcome.
    pub retries: u64,
    /// Sends repeated although they were acknowledged.
    pub repeats: u64,
    /// Edits and deletes.
    pub changes: u64,
    /// Comings and goings.
    pub moves: u64,
    /// Walks through history.
    pub walks: u64,
    /// Connections opened again.
    pub returns: u64,
    /// Refusals of any kind.
    pub refused: u64,
    /// Attempts without an answer.
    pub unknown: u64,
    /// How long the final reads and the check took.
    pub judged_in: Duration,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.sends += other.sends;
        self.retries += other.retries;
        self.repeats += other.repeats;
        self.changes += other.changes;
        self.moves += other.moves;
        self.walks += other.walks;
        self.returns += other.returns;
        self.refused += other.refused;
        self.unknown += other.unknown;
    }
}

/// A message that was to be sent.
#[derive(Clone, Debug)]
struct Letter {
    room: Name,
    key: String,
    text: String,
    /// The month in which it was written: its key means nothing in the next.
    month: u64,
}

#[derive(Debug)]
struct Own {
    letter: Letter,
    message: Name,
}

/// A person with choices to make.
#[derive(Debug)]
pub(super) struct Actor {
    person: Person,
    places: Arc<Places>,
    users: Arc<Vec<Name>>,
    dice: Dice,
    pause_ms: u64,
    written: u64,
    own: VecDeque<Own>,
    /// Of unknown outcome: to be sent again with the same key.
    open: Vec<Letter>,
    tally: Tally,
}

impl Actor {
    pub(super) fn new(
        person: Person,
        places: Arc<Places>,
        users: Arc<Vec<Name>>,
        dice: Dice,
        pause_ms: u64,
    ) -> Self {
        let (own, open, tally) = (VecDeque::new(), Vec::new(), Tally::default());
        Self { person, places, users, dice, pause_ms, written: 0, own, open, tally }
    }

    pub(super) async fn run(mut self, stop: watch::Receiver<bool>) -> (Person, Tally) {
        while !*stop.borrow() {
            if !self.person.is_connected() && self.dice.chance(60) {
                self.come_back().await;
            } else {
                self.act().await;
            }
            tokio::time::sleep(self.dice.millis(1, 1 + self.pause_ms)).await;
        }
        self.tidy().await;
        (self.person, self.tally)
    }

    async fn act(&mut self) {
        match self.dice.below(100) {
            0..45 => self.write_some().await,
            45..52 => self.retry_one().await,
            52..56 => self.repeat().await,
            56..66 => self.change().await,
            66..82 => self.read().await,
            82..91 => self.move_about().await,
            91..97 => self.drop_off(Duration::ZERO).await,
            // Away for long: more is missed than a replay holds.
            97 => {
                let away = self.dice.millis(500, 3_000);
                self.drop_off(away).await;
            }
            _ => {
                // The connection is replaced without an end of the old one being seen.
                self.come_back().await;
            }
        }
    }

    fn way(&mut self) -> Way {
        if self.person.is_connected() && self.dice.chance(75) { Way::Socket } else { Way::Rest }
    }

    fn room(&mut self) -> Option<Name> {
        let places = Arc::clone(&self.places);
        let rooms = if self.dice.chance(70) { &places.steady } else { &places.lobbies };
        if self.dice.chance(6) {
            return Some(places.guarded.clone());
        }
        if self.dice.chance(15) {
            let own: Vec<&Name> = places.direct_of(self.person.process()).collect();
            if let Some(room) = self.dice.choose(&own) {
                return Some((*room).clone());
            }
        }
        self.dice.choose(rooms).cloned()
    }

    /// One to five messages at once.
    async fn write_some(&mut self) {
        let count = if self.dice.chance(20) { 2 + self.dice.below(4) } else { 1 };
        let (mut letters, month) = (Vec::new(), self.person.stage().month());
        for _ in 0..count {
            let Some(room) = self.room() else { return };
            self.written += 1;
            let key = format!("{}-{}", self.person.process(), self.written);
            let filler =
                "lorem ipsum é 漢字 🎈 ".repeat(usize::try_from(self.dice.below(8)).unwrap_or(0));
            letters.push(Letter { room, text: format!("{key} {filler}"), key, month });
        }
        self.tally.sends += count;
        let way = self.way();
        let person = &self.person;
        let sends = letters.iter().map(|l| person.send(way, &l.room, &l.key, &l.text));
        let outcomes = futures::future::join_all(sends).await;
        for (letter, outcome) in letters.into_iter().zip(outcomes) {
            self.settle(letter, outcome);
        }
    }

    fn settle(&mut self, letter: Letter, outcome: Outcome) {
        match outcome {
            Outcome::Done { message, .. } => {
                if self.own.len() >= OWN_MAX {
                    self.own.pop_front();
                }
                self.own.push_back(Own { letter, message });
            }
            Outcome::Refused(code) => {
                self.tally.refused += 1;
                match code.as_str() {
                    // Not a member (any more).
                    "room_not_found" | "forbidden" => {}
                    // Try again later.
                    "busy" | "unavailable" | "still_running" | "rate_limited" | "storage_full" => {
                        self.open.push(letter);
                    }
                    other => self.person.stage().surprise(format!("a send was refused: {other}")),
                }
            }
            Outcome::Unknown => {
                self.tally.unknown += 1;
                self.open.push(letter);
            }
        }
    }

    /// Whether no server remembers its key any more, so that it is not to be sent again.
    fn is_too_old(&self, letter: &Letter) -> bool {
        letter.month != self.person.stage().month()
    }

    async fn retry_one(&mut self) {
        let at = self.dice.below(self.open.len() as u64);
        let Ok(at) = usize::try_from(at) else { return };
        if at >= self.open.len() {
            return;
        }
        let letter = self.open.swap_remove(at);
        if self.is_too_old(&letter) {
            return;
        }
        self.tally.retries += 1;
        let way = self.way();
        let outcome = self.person.send(way, &letter.room, &letter.key, &letter.text).await;
        self.settle(letter, outcome);
    }

    /// Sends again what was acknowledged: the answer must be the same.
    async fn repeat(&mut self) {
        let at = usize::try_from(self.dice.below(self.own.len() as u64)).unwrap_or(0);
        let Some(letter) = self.own.get(at).map(|own| own.letter.clone()) else { return };
        if self.is_too_old(&letter) {
            return;
        }
        self.tally.repeats += 1;
        let way = self.way();
        let outcome = self.person.send(way, &letter.room, &letter.key, &letter.text).await;
        if let Outcome::Refused(code) = outcome
            && !["busy", "unavailable", "rate_limited", "storage_full"].contains(&code.as_str())
        {
            let text = format!("an acknowledged send was refused when repeated: {code}");
            self.person.stage().surprise(text);
        }
    }

    async fn change(&mut self) {
        let at = usize::try_from(self.dice.below(self.own.len() as u64)).unwrap_or(0);
        let deletes = self.dice.chance(25);
        let Some(own) = self.own.get(at) else { return };
        let (room, message) = (own.letter.room.clone(), own.message.clone());
        self.written += 1;
        let change = if deletes {
            Change::Delete
        } else {
            Change::Edit(format!("{}-{} edited", self.person.process(), self.written))
        };
        self.tally.changes += 1;
        let way = self.way();
        match self.person.change(way, &room, &message, &change).await {
            Outcome::Unknown => self.tally.unknown += 1,
            Outcome::Refused(code) => {
                self.tally.refused += 1;
                let may_be = [
                    "message_deleted",
                    "room_not_found",
                    "forbidden",
                    "busy",
                    "unavailable",
                    "storage_full",
                ];
                if !may_be.contains(&code.as_str()) {
                    self.person.stage().surprise(format!("a change was refused: {code}"));
                }
            }
            Outcome::Done { .. } => {}
        }
    }

    async fn read(&mut self) {
        let Some(room) = self.room() else { return };
        self.tally.walks += 1;
        let seen = self.person.session().seen(&room);
        let direction = if self.dice.chance(50) { Direction::Backward } else { Direction::Forward };
        let from = match (direction, self.dice.chance(40)) {
            (Direction::Backward, true) => None,
            (Direction::Forward, true) => Some(0),
            _ => Some(self.dice.below(seen + 20)),
        };
        let size = u32::try_from(1 + self.dice.below(60)).unwrap_or(50);
        let most = 1 + usize::try_from(self.dice.below(5)).unwrap_or(0);
        let own = self.dice.chance(50);
        let purpose = if own { Purpose::OwnWrites } else { Purpose::Any };
        let pages = Pages { room, direction, from, size, most, purpose, at_least: None };
        self.person.read(pages).await;
    }

    async fn move_about(&mut self) {
        self.tally.moves += 1;
        let is_first = self.person.process() == 0;
        let outcome = if is_first {
            let others = self.users.get(1..).unwrap_or_default();
            let Some(user) = self.dice.choose(others).cloned() else { return };
            let brings = self.dice.chance(60);
            self.person.bring_or_remove(&self.places.guarded, &user, brings).await
        } else {
            let Some(room) = self.dice.choose(&self.places.lobbies).cloned() else { return };
            let is_in = self.person.session().rooms().contains(&room);
            self.person.come_or_go(&room, !is_in).await
        };
        match outcome {
            Outcome::Unknown => self.tally.unknown += 1,
            Outcome::Refused(_) => self.tally.refused += 1,
            Outcome::Done { .. } => {}
        }
    }

    async fn drop_off(&mut self, away: Duration) {
        let politely = self.dice.chance(30);
        self.person.disconnect(politely).await;
        tokio::time::sleep(away).await;
        self.come_back().await;
    }

    async fn come_back(&mut self) {
        let back = if self.dice.chance(70) { Back::Resume } else { Back::ResumeByAddress };
        if self.person.connect(back).await.is_ok() {
            self.tally.returns += 1;
        } else {
            tokio::time::sleep(self.dice.millis(20, 200)).await;
        }
    }

    /// Comes back, and sends again what is open until each send has an answer.
    async fn tidy(&mut self) {
        let deadline = Instant::now() + TIDY_MOST;
        while Instant::now() < deadline && !self.person.is_connected() {
            self.come_back().await;
        }
        while Instant::now() < deadline && !self.open.is_empty() {
            self.retry_one().await;
            if !self.person.is_connected() {
                self.come_back().await;
            }
        }
        if !self.person.is_connected() || !self.open.is_empty() {
            let (process, open) = (self.person.process(), self.open.len());
            let text = format!("person {process} could not put {open} sends in order");
            self.person.stage().surprise(text);
        }
    }
}
