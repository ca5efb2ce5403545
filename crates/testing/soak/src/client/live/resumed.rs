//! The answer to a resume, in each of its tiers.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};
use klatch_checker::{Name, Stays, What};
use serde_json::Value;

use super::{Reader, text};

/// What the parts of a delta have said of rooms so far.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// Of these only the newest events came.
    truncated: Vec<Name>,
    /// One is still in these.
    inside: Vec<Name>,
    /// One went out of these.
    left: Vec<Name>,
}

impl Reader {
    /// Takes an answer, or a part of one. Whether live events follow.
    pub(super) fn resumed(&mut self, tier: &str, payload: &Value) -> Result<bool> {
        let connection = self.connection;
        match tier {
            "replay" => {
                let told = payload.get("replayed").and_then(Value::as_u64);
                let came = self.held.len() as u64;
                anyhow::ensure!(told == Some(came), "{came} events came before {payload}");
                self.stage.tiers.replay.fetch_add(1, Ordering::Relaxed);
                self.stage.tiers.replayed.fetch_add(came, Ordering::Relaxed);
                self.stage.recorder().note(What::Resumed { connection });
            }
            "delta" => {
                self.take_rooms(payload)?;
                if payload.get("more").and_then(Value::as_bool) == Some(true) {
                    return Ok(false);
                }
                self.stage.tiers.delta.fetch_add(1, Ordering::Relaxed);
                self.end_delta();
            }
            "snapshot" => {
                self.stage.tiers.snapshot.fetch_add(1, Ordering::Relaxed);
                self.stage.recorder().note(What::Gap { connection, room: None });
                self.own.fall_behind();
            }
            other => anyhow::bail!("an unknown tier {other:?}"),
        }
        self.answered = true;
        for event in std::mem::take(&mut self.held) {
            self.note(event);
        }
        for room in std::mem::take(&mut self.delta.left) {
            if self.own.rooms().contains(&room) {
                self.own.leave(&room);
                let session = self.who.process;
                self.stage.recorder().note(What::Unwatch { session, room });
            }
        }
        self.own.set_positions(payload.get("positions").context("no positions")?)?;
        self.share();
        Ok(true)
    }

    /// The positions of a resume mean nothing any more: live events follow those of the greeting,
    /// and what was before them is to be fetched.
    pub(super) fn begin_anew(&mut self) -> Result<()> {
        anyhow::ensure!(self.held.is_empty(), "events before positions were called invalid");
        let connection = self.connection;
        self.stage.recorder().note(What::Gap { connection, room: None });
        self.own.fall_behind();
        self.answered = true;
        self.own.set_positions(&self.greeted)?;
        self.share();
        Ok(())
    }

    fn take_rooms(&mut self, payload: &Value) -> Result<()> {
        for told in payload.get("rooms").and_then(Value::as_array).context("no rooms")? {
            let room = text(told, "roomId")?;
            let flag = |key| told.get(key).and_then(Value::as_bool) == Some(true);
            if flag("truncated") {
                self.delta.truncated.push(room.clone());
            }
            let list = if flag("left") { &mut self.delta.left } else { &mut self.delta.inside };
            list.push(room.clone());
            for frame in told.get("events").and_then(Value::as_array).context("no events")? {
                let payload = frame.get("payload").context("no payload")?;
                let mut event = self.event_of(text(frame, "type")?.as_str(), payload)?;
                anyhow::ensure!(event.room == room, "an event of another room in {told}");
                // Rooms come one after the other: over all of them this is no order of the log.
                event.position = None;
                self.held.push(event);
            }
        }
        Ok(())
    }

    /// All parts are there: nothing is missing but in the rooms that say so.
    fn end_delta(&mut self) {
        let connection = self.connection;
        let Delta { truncated, inside, .. } = &mut self.delta;
        let truncated = std::mem::take(truncated);
        for room in std::mem::take(inside) {
            self.own.enter(&room);
        }
        // Told before the answer counts, so that what was held is judged with it.
        for room in &truncated {
            let room = Some(room.clone());
            self.stage.recorder().note(What::Gap { connection, room });
        }
        self.stage.recorder().note(What::Resumed { connection });
        self.truncated.lock().unwrap_or_else(PoisonError::into_inner).extend(truncated);
    }

    /// A resume without an answer: what came is checked among itself, as far as that is possible
    /// without knowing when its reader came and went.
    pub(super) fn forget_held(&mut self) {
        let mut broken = std::collections::BTreeSet::new();
        for event in std::mem::take(&mut self.held) {
            self.stage.stays.got(&event.room, &self.who.user, event.seq);
            if let Some((user, is_in)) = &event.member {
                let stays = &self.stage.stays;
                let tell = if *is_in { Stays::came } else { Stays::went };
                tell(stays, &event.room, user, event.seq);
                if *user == self.who.user {
                    broken.insert(event.room.clone());
                }
            }
            if !broken.contains(&event.room) {
                self.stage.recorder().note(event.what);
            }
        }
    }
}
