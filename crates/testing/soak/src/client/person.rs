//! A person: a name, a token, a REST client and at most one connection; all under the recorder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use klatch_checker::{Call, Direction, Name, OpHandle, Purpose, Reply, What, digest};
use serde_json::{Value, json};

use super::live::{Back, Live, Who};
use super::session::{Position, Session};
use super::stage::Stage;
use super::walk::{Pages, walk};
use crate::rest::{Answer, Json, Rest};
use crate::token;

/// After this an answer on a connection counts as never given.
const ANSWER_MOST: Duration = Duration::from_secs(15);
/// Refusals that leave open whether anything happened.
const OPEN_ENDS: [&str; 2] = ["internal", "outcome_unknown"];

/// Which surface an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `POST`, `PATCH`, `DELETE`.
    Rest,
    /// Frames.
    Socket,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: the message, and the seq of the event.
    Done {
        /// The message.
        message: Name,
        /// The event's number in the room.
        seq: u64,
    },
    /// Refused with this code: nothing happened.
    Refused(String),
    /// Nobody knows.
    Unknown,
}

/// A change of a message.
#[derive(Clone, Debug)]
pub enum Change {
    /// New words.
    Edit(String),
    /// Taken back.
    Delete,
}

/// A person and what they know.
#[derive(Debug)]
pub struct Person {
    stage: Arc<Stage>,
    who: Who,
    rest: Rest,
    session: Arc<Mutex<Session>>,
    live: Option<Live>,
    /// Heads of rooms as the last list of them told: what is behind these will not come.
    heads: Mutex<BTreeMap<Name, u64>>,
    /// Newest position of an own acknowledged write.
    wrote: Mutex<Option<Position>>,
}

impl Person {
    /// Makes the person known to the server (by their first request) and to the stage.
    ///
    /// # Errors
    /// The server does not take the token.
    pub async fn arrive(stage: &Arc<Stage>, process: u32, username: &str) -> Result<Self> {
        let token = match stage.token_time {
            Some(seconds) => token::of_at(username, seconds),
            None => token::of(username),
        };
        let rest = Rest::over(Arc::clone(&stage.dial), Some(token.clone()));
        let user = rest.get("/api/v1/users/me").await?.success()?.text("userId")?;
        let who = Who { process, user: user.into(), token };
        let (session, live) = (Arc::default(), None);
        let (heads, wrote) = (Mutex::default(), Mutex::new(None));
        Ok(Self { stage: Arc::clone(stage), who, rest, session, live, heads, wrote })
    }

    /// The person's id.
    pub fn user(&self) -> &Name {
        &self.who.user
    }

    /// The number under which the person stands in the history.
    pub fn process(&self) -> u32 {
        self.who.process
    }

    /// The person's REST client.
    pub fn rest(&self) -> &Rest {
        &self.rest
    }

    /// The shared stage.
    pub fn stage(&self) -> &Arc<Stage> {
        &self.stage
    }

    /// What the person's connections have told up to now.
    pub fn session(&self) -> Session {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest seq of the room that came, or that a list of rooms told of.
    pub fn knows(&self, room: &Name) -> u64 {
        let told = self.heads.lock().unwrap_or_else(PoisonError::into_inner).get(room).copied();
        self.session().seen(room).max(told.unwrap_or(0))
    }

    /// The newest position of an own write.
    pub fn wrote(&self) -> Option<String> {
        let wrote = self.wrote.lock().unwrap_or_else(PoisonError::into_inner);
        wrote.as_ref().map(ToString::to_string)
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.is_gone())
    }

    /// Opens a connection; one that is open is cut first.
    ///
    /// # Errors
    /// It could not be opened, or broke off before it was greeted.
    pub async fn connect(&mut self, back: Back) -> Result<()> {
        if let Some(live) = self.live.take() {
            live.cut().await;
        }
        let live = Live::open(&self.stage, &self.who, &self.session, back).await?;
        let truncated = live.take_truncated();
        self.live = Some(live);
        for room in truncated {
            self.fetch_history(room).await;
        }
        if self.session().is_behind() {
            self.fetch_rooms().await?;
        }
        Ok(())
    }

    /// Ends the connection, with a word or without.
    pub async fn disconnect(&mut self, politely: bool) {
        match self.live.take() {
            Some(live) if politely => live.close().await,
            Some(live) => live.cut().await,
            None => {}
        }
    }

    /// From here on the person's connection owes every event of the room after `seq`.
    pub fn watch(&self, room: &Name, after: u64) {
        let what = What::Watch { session: self.who.process, room: room.clone(), after };
        self.stage.recorder().note(what);
        self.session.lock().unwrap_or_else(PoisonError::into_inner).enter(room);
    }

    /// What a delta left out of a room: the checker finds holes in it.
    async fn fetch_history(&self, room: Name) {
        let at_least = Some(self.session().positions().join(", "));
        let (direction, purpose) = (Direction::Backward, Purpose::Any);
        let pages = Pages { room, direction, from: None, size: 100, most: 20, purpose, at_least };
        self.read(pages).await;
    }

    async fn fetch_rooms(&self) -> Result<()> {
        let (mut rooms, mut heads) = (BTreeSet::new(), BTreeMap::new());
        let positions = self.session().positions().join(", ");
        let mut path = "/api/v1/rooms?limit=200".to_owned();
        loop {
            let page = self.rest.get_at(&path, Some(&positions)).await?.success()?;
            for item in page.items()? {
                let id = item.get("roomId").and_then(Value::as_str).context("no roomId")?;
                let head = item.get("headSeq").and_then(Value::as_u64).context("no headSeq")?;
                heads.insert(Name::from(id), head);
                rooms.insert(Name::from(id));
            }
            let Ok(cursor) = page.text("nextCursor") else { break };
            path = format!("/api/v1/rooms?limit=200&cursor={cursor}");
        }
        *self.heads.lock().unwrap_or_else(PoisonError::into_inner) = heads;
        self.session.lock().unwrap_or_else(PoisonError::into_inner).set_rooms(rooms);
        Ok(())
    }

    /// Sends a message once. A retry is another call with the same key and text.
    pub async fn send(&self, way: Way, room: &Name, key: &str, content: &str) -> Outcome {
        let (client, body) = (Name::from(key), digest(content.as_bytes()));
        let (room_name, sender) = (room.clone(), self.who.user.clone());
        let call = Call::Send { room: room_name, sender, client, body };
        let op = self.stage.recorder().invoke(self.who.process, call);
        let body = json!({"content": content, "clientMessageId": key});
        let answer = match way {
            Way::Rest => {
                let path = format!("/api/v1/rooms/{room}/messages");
                self.rest.post(&path, &body).await.map(|answer| of_rest(&answer))
            }
            Way::Socket => {
                let mut payload = body;
                if let Some(fields) = payload.as_object_mut() {
                    fields.insert("roomId".to_owned(), room.as_str().into());
                }
                self.ask("message", payload).await
            }
        };
        self.finish(op, answer, |done| {
            let ordinal = done.0.get("ordinal").and_then(Value::as_u64);
            let message = Name::from(done.text("messageId")?);
            Ok(Reply::Sent { message, seq: done.number("seq")?, ordinal })
        })
    }

    /// Edits or deletes a message.
    pub async fn change(&self, way: Way, room: &Name, message: &Name, change: &Change) -> Outcome {
        let (room_name, name) = (room.clone(), message.clone());
        let call = match change {
            Change::Edit(content) => {
                Call::Edit { room: room_name, message: name, body: digest(content.as_bytes()) }
            }
            Change::Delete => Call::Delete { room: room_name, message: name },
        };
        let op = self.stage.recorder().invoke(self.who.process, call);
        let path = format!("/api/v1/rooms/{room}/messages/{message}");
        let mut payload = json!({"roomId": room.as_str(), "messageId": message.as_str()});
        let answer = match (way, change) {
            (Way::Rest, Change::Edit(content)) => {
                let body = json!({ "content": content });
                self.rest.json(Method::PATCH, &path, &body).await.map(|answer| of_rest(&answer))
            }
            (Way::Rest, Change::Delete) => self
                .rest
                .ask(Method::DELETE, &path, &[], bytes::Bytes::new())
                .await
                .map(|answer| of_rest(&answer)),
            (Way::Socket, Change::Edit(content)) => {
                if let Some(fields) = payload.as_object_mut() {
                    fields.insert("content".to_owned(), content.as_str().into());
                }
                self.ask("edit", payload).await
            }
            (Way::Socket, Change::Delete) => self.ask("delete", payload).await,
        };
        self.finish(op, answer, |done| Ok(Reply::Changed { seq: done.number("seq")? }))
    }

    async fn ask(&self, kind: &str, payload: Value) -> Result<Result<Json, String>> {
        let live = self.live.as_ref().context("no connection")?;
        let frame = live.ask(kind, payload, ANSWER_MOST).await?;
        let payload = frame.get("payload").cloned().unwrap_or_default();
        if frame.get("type").and_then(Value::as_str) == Some("ack") {
            return Ok(Ok(Json(payload)));
        }
        Ok(Err(Json(payload).text("code")?))
    }

    /// Records what became of an operation.
    fn finish(
        &self,
        op: OpHandle,
        answer: Result<Result<Json, String>>,
        reply: impl Fn(&Json) -> Result<Reply>,
    ) -> Outcome {
        let recorder = self.stage.recorder();
        let done = match answer {
            Err(_) => {
                recorder.unknown(op);
                return Outcome::Unknown;
            }
            Ok(Err(code)) if OPEN_ENDS.contains(&code.as_str()) => {
                recorder.unknown(op);
                if code == "internal" {
                    self.stage.surprise("an answer with the code internal");
                }
                return Outcome::Unknown;
            }
            Ok(Err(code)) => {
                recorder.fail(op, &code);
                return Outcome::Refused(code);
            }
            Ok(Ok(done)) => done,
        };
        let read = || {
            let position: Position = done.text("position")?.parse()?;
            anyhow::Ok((reply(&done)?, Name::from(done.text("messageId")?), position))
        };
        match read() {
            Ok((reply, message, position)) => {
                let seq = done.number("seq").unwrap_or(0);
                // Before it is on record, so that a read that must show it also asks for it.
                self.note_written(position);
                if matches!(reply, Reply::Sent { .. }) {
                    self.stage.count_acknowledged();
                }
                recorder.ok(op, reply);
                Outcome::Done { message, seq }
            }
            Err(error) => {
                recorder.unknown(op);
                self.stage.surprise(format!("{error:#}"));
                Outcome::Unknown
            }
        }
    }

    fn note_written(&self, position: Position) {
        let mut wrote = self.wrote.lock().unwrap_or_else(PoisonError::into_inner);
        if wrote.as_ref().is_none_or(|known| known.offset < position.offset) {
            *wrote = Some(position);
        }
    }

    /// Joins (true) or leaves a room by oneself. Whether it was done.
    pub async fn come_or_go(&self, room: &Name, comes: bool) -> Outcome {
        let verb = if comes { "join" } else { "leave" };
        let path = format!("/api/v1/rooms/{room}/{verb}");
        let answer = self.rest.post(&path, &json!({})).await;
        self.moved(room, &self.who.user, comes, answer)
    }

    /// Brings somebody into a room (true) or puts them out.
    pub async fn bring_or_remove(&self, room: &Name, user: &Name, brings: bool) -> Outcome {
        let path = format!("/api/v1/rooms/{room}/members");
        let answer = if brings {
            self.rest.post(&path, &json!({ "userId": user.as_str() })).await
        } else {
            let path = format!("{path}/{user}");
            self.rest.ask(Method::DELETE, &path, &[], bytes::Bytes::new()).await
        };
        self.moved(room, user, brings, answer)
    }

    fn moved(&self, room: &Name, user: &Name, came: bool, answer: Result<Answer>) -> Outcome {
        let unknown = || {
            self.stage.stays.unclear(room, user);
            Outcome::Unknown
        };
        let Ok(answer) = answer else { return unknown() };
        match of_rest(&answer) {
            Ok(done) => {
                let Ok(seq) = done.number("seq") else {
                    self.stage.surprise(format!("no seq in {}", done.0));
                    return unknown();
                };
                if let Ok(Ok(position)) = done.text("position").map(|text| text.parse()) {
                    self.note_written(position);
                }
                let stays = &self.stage.stays;
                if came {
                    stays.came(room, user, seq);
                } else {
                    stays.went(room, user, seq);
                }
                Outcome::Done { message: user.clone(), seq }
            }
            Err(code) if OPEN_ENDS.contains(&code.as_str()) => unknown(),
            Err(code) => Outcome::Refused(code),
        }
    }

    /// Walks through a room's history. False: it was refused or broke off.
    pub async fn read(&self, pages: Pages) -> bool {
        walk(&self.stage, &self.who, &self.rest, || self.wrote(), pages).await
    }
}

/// The body of a success, or the code of the refusal. A 5xx without a code leaves everything open.
fn of_rest(answer: &Answer) -> Result<Json, String> {
    answer.success().map_err(|_| match answer.code() {
        code if code.is_empty() => "outcome_unknown".to_owned(),
        code => code,
    })
}
