//! A connection under a recorder: what arrives is noted in arrival order.

mod resumed;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use klatch_checker::{Item, Name, What, digest};
use serde_json::{Value, json};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::session::{Position, Session};
use super::stage::Stage;
use crate::socket::{self, Incoming, Receiver, Sender};

/// How long a server may take to greet or to answer a resume.
const ANSWER_MOST: Duration = Duration::from_secs(20);

/// How a client comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// As if for the first time.
    Fresh,
    /// Goes on from its positions, asked for by a frame.
    Resume,
    /// Goes on from its positions, told in the address.
    ResumeByAddress,
}

/// Who a connection is for.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) process: u32,
    pub(super) user: Name,
    pub(super) token: String,
}

/// Rooms of which a delta told only the newest events.
type Truncated = Arc<Mutex<Vec<Name>>>;
type Pending = Arc<Mutex<HashMap<String, oneshot::Sender<Value>>>>;

/// An open connection.
#[derive(Debug)]
pub struct Live {
    sender: AsyncMutex<Sender>,
    pending: Pending,
    reader: JoinHandle<()>,
    next_request: std::sync::atomic::AtomicU64,
    truncated: Truncated,
}

impl Live {
    /// Connects and waits until live events flow.
    pub(super) async fn open(
        stage: &Arc<Stage>,
        who: &Who,
        session: &Arc<Mutex<Session>>,
        back: Back,
    ) -> Result<Self> {
        let known = session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let positions = known.positions();
        let query = match back {
            Back::ResumeByAddress => format!("?position={}", positions.join("&position=")),
            Back::Fresh | Back::Resume => String::new(),
        };
        let (mut sender, receiver) = socket::connect_over(&*stage.dial, &who.token, &query).await?;
        let connection = stage.next_connection();
        let resumes = back != Back::Fresh;
        let open = What::Open { session: who.process, connection, resumes };
        stage.recorder().note(open);
        let (pending, truncated) = (Pending::default(), Truncated::default());
        let (ready, is_ready) = oneshot::channel();
        let mut greeting = Some(ready);
        if back == Back::Resume {
            sender.send("resume", json!({ "positions": positions }), "resume").await.ok();
        } else {
            sender.send("ping", json!({}), "first").await.ok();
        }
        let mut reader = Reader {
            stage: Arc::clone(stage),
            who: who.clone(),
            shared: Arc::clone(session),
            own: known,
            pending: Arc::clone(&pending),
            connection,
            answered: !resumes,
            greeted: Value::Null,
            held: Vec::new(),
            delta: resumed::Delta::default(),
            truncated: Arc::clone(&truncated),
        };
        let reader = tokio::spawn(async move { reader.run(receiver, &mut greeting).await });
        let next_request = std::sync::atomic::AtomicU64::new(0);
        let sender = AsyncMutex::new(sender);
        let live = Self { sender, pending, reader, next_request, truncated };
        let ready = timeout(ANSWER_MOST, is_ready).await.context("no greeting in time")?;
        ready.context("the connection ended before it was greeted")?;
        Ok(live)
    }

    /// Sends a frame and waits for its answer.
    ///
    /// # Errors
    /// No answer came: it may have been done or not.
    pub async fn ask(&self, kind: &str, payload: Value, most: Duration) -> Result<Value> {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed).to_string();
        let (answer, answered) = oneshot::channel();
        let lock = || self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        lock().insert(id.clone(), answer);
        let sent = self.sender.lock().await.send(kind, payload, &id).await;
        let outcome = match sent {
            Ok(()) if !self.reader.is_finished() => timeout(most, answered).await,
            Ok(()) => {
                lock().remove(&id);
                anyhow::bail!("the connection is gone");
            }
            Err(error) => {
                lock().remove(&id);
                return Err(error);
            }
        };
        lock().remove(&id);
        outcome.context("no answer in time")?.context("the connection ended")
    }

    /// The rooms whose history is to be fetched, since the last time this was asked.
    pub(super) fn take_truncated(&self) -> Vec<Name> {
        std::mem::take(&mut self.truncated.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the connection is gone.
    pub fn is_gone(&self) -> bool {
        self.reader.is_finished()
    }

    /// Says goodbye and waits until all that came is noted.
    pub async fn close(self) {
        self.sender.lock().await.close().await;
        let mut this = self;
        let _ = timeout(Duration::from_secs(5), &mut this.reader).await;
    }

    /// Breaks off without a word. What came up to here is noted before it returns.
    pub async fn cut(self) {
        let mut this = self;
        this.reader.abort();
        let _ = (&mut this.reader).await;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

struct Reader {
    stage: Arc<Stage>,
    who: Who,
    shared: Arc<Mutex<Session>>,
    /// The session as this connection sees it; shared once a resume was answered.
    own: Session,
    pending: Pending,
    connection: u64,
    answered: bool,
    /// The positions of the greeting.
    greeted: Value,
    /// Events before the answer to a resume, or in its parts.
    held: Vec<Event>,
    delta: resumed::Delta,
    truncated: Truncated,
}

/// An event of a room's timeline.
struct Event {
    room: Name,
    seq: u64,
    position: Option<Position>,
    what: What,
    /// Who came (true) or went.
    member: Option<(Name, bool)>,
}

/// Notes the end of a connection whatever ends its reader.
struct Closing {
    stage: Arc<Stage>,
    connection: u64,
    pending: Pending,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.stage.recorder().note(What::Close { connection: self.connection });
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Reader {
    async fn run(&mut self, mut receiver: Receiver, ready: &mut Option<oneshot::Sender<()>>) {
        let (stage, pending) = (Arc::clone(&self.stage), Arc::clone(&self.pending));
        let _closing = Closing { stage, connection: self.connection, pending };
        loop {
            let (kind, frame) = match receiver.next().await {
                Incoming::Frame(kind, frame) => (kind, frame),
                Incoming::Closed(..) | Incoming::Lost => break,
            };
            if let Err(error) = self.frame(&kind, &frame, ready) {
                self.stage.surprise(format!("{error:#}: {frame}"));
            }
        }
        self.forget_held();
    }

    fn frame(
        &mut self,
        kind: &str,
        frame: &Value,
        ready: &mut Option<oneshot::Sender<()>>,
    ) -> Result<()> {
        let payload = frame.get("payload").context("no payload")?;
        match kind {
            "message" | "edit" | "delete" | "member" => self.event(kind, payload)?,
            "room" if payload.get("seq").is_some() => self.event(kind, payload)?,
            "room" => {
                let room = Some(text(payload, "roomId")?);
                let connection = self.connection;
                self.stage.recorder().note(What::Gap { connection, room });
                // What the room's history holds is judged when it is read.
                self.own.fall_behind();
                self.share();
            }
            "hello" => {
                let user = payload.pointer("/user/userId").and_then(Value::as_str);
                anyhow::ensure!(user == Some(self.who.user.as_str()), "a hello to somebody else");
                self.greeted = payload.get("positions").context("no positions")?.clone();
                if self.answered {
                    self.own.set_positions(&self.greeted)?;
                    self.share();
                }
            }
            "resumed" => {
                let tier = text(payload, "tier")?;
                if self.resumed(tier.as_str(), payload)? {
                    ready.take().map(|ready| ready.send(()));
                }
            }
            "invalid" => {
                self.stage.tiers.invalid.fetch_add(1, Ordering::Relaxed);
                let reason = text(payload, "reason")?;
                let may_be = self.stage.forgets && reason.as_str() == "forgotten";
                anyhow::ensure!(may_be, "positions that the server gave are invalid");
                self.begin_anew()?;
                ready.take().map(|ready| ready.send(()));
            }
            "ack" | "error" | "pong" => {
                self.answer(frame);
                if self.answered {
                    ready.take().map(|ready| ready.send(()));
                }
            }
            "typing" | "presence" | "read" | "receipt" | "notification" => {}
            other => anyhow::bail!("a frame of an unknown type {other:?}"),
        }
        Ok(())
    }

    fn answer(&self, frame: &Value) {
        let id = frame.get("requestId").and_then(Value::as_str).unwrap_or_default();
        let waiting = self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        match waiting {
            Some(waiting) => {
                let _ = waiting.send(frame.clone());
            }
            // Its sender gave up, or it is the first ping.
            None if frame.get("type").and_then(Value::as_str) == Some("pong") => {}
            None if id.is_empty() => self.stage.surprise(format!("an answer to nothing: {frame}")),
            None => {}
        }
    }

    fn event(&mut self, kind: &str, payload: &Value) -> Result<()> {
        let event = self.event_of(kind, payload)?;
        if self.answered {
            self.note(event);
            self.share();
        } else {
            self.held.push(event);
        }
        Ok(())
    }

    fn event_of(&self, kind: &str, payload: &Value) -> Result<Event> {
        let room = text(payload, "roomId")?;
        let seq = payload.get("seq").and_then(Value::as_u64).context("no seq")?;
        let position: Position = text(payload, "position")?.as_str().parse()?;
        let connection = self.connection;
        let what = if kind == "message" {
            let item = item_of(payload, seq)?;
            What::Receive { connection, room: room.clone(), item }
        } else {
            What::Other { connection, room: room.clone(), seq }
        };
        let member = if kind == "member" { moved(payload)? } else { None };
        Ok(Event { room, seq, position: Some(position), what, member })
    }

    fn note(&mut self, event: Event) {
        let Event { room, seq, position, what, member } = event;
        if let Some(position) = position
            && !self.own.advance(position)
        {
            let connection = self.connection;
            self.stage
                .surprise(format!("positions go back on connection {connection} at {what:?}"));
        }
        self.own.see(&room, seq);
        self.stage.count_frame();
        let (recorder, session) = (self.stage.recorder(), self.who.process);
        self.stage.stays.got(&room, &self.who.user, seq);
        let own_move = member.as_ref().filter(|(user, _)| *user == self.who.user);
        let is_in = own_move.map(|(_, is_in)| *is_in);
        if is_in == Some(true) {
            self.own.enter(&room);
            recorder.note(What::Watch { session, room: room.clone(), after: seq - 1 });
        }
        recorder.note(what);
        if is_in == Some(false) {
            self.own.leave(&room);
            recorder.note(What::Unwatch { session, room: room.clone() });
        }
        match member {
            Some((user, true)) => self.stage.stays.came(&room, &user, seq),
            Some((user, false)) => self.stage.stays.went(&room, &user, seq),
            None => {}
        }
    }

    fn share(&mut self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        self.own.catch_up_with(&shared);
        shared.clone_from(&self.own);
    }
}

fn item_of(payload: &Value, seq: u64) -> Result<Item> {
    let content = text(payload, "content")?;
    let client = payload.get("clientMessageId").and_then(Value::as_str).map(Name::from);
    Ok(Item {
        seq,
        message: text(payload, "messageId")?,
        sender: text(payload, "senderId")?,
        ordinal: payload.get("ordinal").and_then(Value::as_u64),
        client,
        body: Some(digest(content.as_str().as_bytes())),
        deleted: false,
    })
}

/// Who came or went; `None` when only a role changed.
fn moved(payload: &Value) -> Result<Option<(Name, bool)>> {
    let user = text(payload, "userId")?;
    Ok(match text(payload, "change")?.as_str() {
        "joined" => Some((user, true)),
        "left" | "removed" => Some((user, false)),
        _ => None,
    })
}

fn text(payload: &Value, key: &str) -> Result<Name> {
    let text = payload.get(key).and_then(Value::as_str);
    text.map(Name::from).with_context(|| format!("no text {key}"))
}
