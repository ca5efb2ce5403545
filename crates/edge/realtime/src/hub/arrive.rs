//! Connections come and go.
//!
//! A user who was not here goes live in three steps, so that nothing can fall between: fan-out
//! must know of them; the metadata store must have reached the point from which it does; then
//! everything after what was delivered so far comes to them.

use std::cmp::Reverse;
use std::sync::Arc;

use klatch_ports::kv::Revision;
use klatch_ports::{Offset, Partition, Position};
use klatch_protocol::ws::server::{self, Hello, Limits};
use klatch_protocol::ws::subscribe::SUBSCRIPTIONS_MAX;
use tokio::time::Instant;

use super::users::{Newcomer, UserRef};
use super::{Hub, Message};
use crate::connection::Connection;
use crate::presence::{Here, Wish};

impl Hub {
    pub(super) fn take_message(&mut self, message: Message) {
        match message {
            Message::Connect(newcomer) => self.connect(*newcomer),
            Message::Gone(connection) => self.gone(&connection),
            Message::Restate(user) => {
                let found = self.users.find(user);
                if let Some(user) = found {
                    self.restate(user);
                }
            }
            Message::Placed { user, number, revision } => {
                let found = self.users.find(user);
                if let Some(user) = found {
                    self.placed(user, number, revision);
                }
            }
            Message::Settle(told) => {
                // Whoever asked may have stopped waiting.
                let _ = told.send(());
            }
            Message::Renewed { began, newest } => {
                if self.is_lapsed(Instant::now()) {
                    // Fan-out may have forgotten users meanwhile; it must know of all again.
                    self.required = self.required.max(newest);
                }
                self.renewed_at = began;
            }
        }
    }

    fn connect(&mut self, newcomer: Newcomer) {
        let Some(user) = self.users.find(newcomer.connection.user) else {
            let id = newcomer.connection.user;
            self.wishes += 1;
            let status = newcomer.connection.device_status();
            self.users.arrive(newcomer, self.wishes);
            self.board.want(id, Wish::Online(Here { number: self.wishes, status }));
            return;
        };
        let Some(local) = self.users.get_mut(user) else { return };
        if let Some(arriving) = &mut local.arriving {
            arriving.newcomers.push(newcomer);
        } else {
            local.connections.push(Arc::clone(&newcomer.connection));
            self.audiences.clear();
            // It gets what comes from here on.
            self.outgoing.end_run();
            self.say_hello(&newcomer);
        }
        self.restate(user);
    }

    /// Tells the board if a user's connections come to something else than it was told last.
    fn restate(&mut self, user: UserRef) {
        let Some(local) = self.users.get_mut(user) else { return };
        let status = local.merged_status();
        if status != local.status {
            local.status = status;
            let here = Here { number: local.wish, status };
            self.board.want(local.id, Wish::Online(here));
        }
    }

    fn gone(&mut self, connection: &Arc<Connection>) {
        self.audiences.clear();
        let Some(user) = self.users.find(connection.user) else { return };
        let Some(local) = self.users.get_mut(user) else { return };
        let is_it = |other: &Arc<Connection>| Arc::ptr_eq(other, connection);
        local.connections.retain(|other| !is_it(other));
        if let Some(arriving) = &mut local.arriving {
            arriving.newcomers.retain(|newcomer| !is_it(&newcomer.connection));
        }
        let waiting = local.arriving.as_ref().map_or(0, |arriving| arriving.newcomers.len());
        if local.connections.is_empty()
            && waiting == 0
            && let Some(gone) = self.users.depart(user)
        {
            self.unplaced -= usize::from(gone.is_live() && gone.placed.is_none());
            self.board.want(gone.id, Wish::Offline);
        } else {
            self.restate(user);
        }
    }

    fn placed(&mut self, user: UserRef, number: u64, revision: Revision) {
        let Some(local) = self.users.get_mut(user) else { return };
        // An answer to an earlier stay says nothing about this one.
        if local.wish != number || local.placed.is_some() {
            return;
        }
        local.placed = Some(revision);
        if local.is_live() {
            self.unplaced -= 1;
            self.required = self.required.max(revision);
        } else {
            self.waiting.push(Reverse((revision, user)));
        }
    }

    /// Moves everyone on who has what they waited for.
    pub(super) async fn advance_arrivals(&mut self) {
        let known = self.places.iter().map(|place| place.chain.presence).min().unwrap_or_default();
        while let Some(Reverse((revision, user))) = self.waiting.peek().copied() {
            if revision > known {
                break;
            }
            self.waiting.pop();
            let from: Vec<Offset> = self.places.iter().map(|place| place.chain.last).collect();
            let local = self.users.get_mut(user);
            if let Some(arriving) = local.and_then(|local| local.arriving.as_mut()) {
                arriving.known_from = Some(from.clone());
                self.settling.push_back((from, user));
            }
        }
        if self.settling.is_empty() {
            return;
        }
        let mut reached = Vec::with_capacity(self.places.len());
        for index in 0..self.places.len() {
            let partition = Partition(u16::try_from(index).unwrap_or(u16::MAX));
            // Cannot be asked now: the store has not reached anything.
            let applied = self.shared.deps.metadata.applied(partition).await;
            reached.push(applied.map_or(Offset::ZERO, |applied| applied.offset));
        }
        while let Some((from, user)) = self.settling.front() {
            if from.iter().zip(&reached).any(|(from, reached)| reached < from) {
                break;
            }
            let user = *user;
            self.settling.pop_front();
            self.go_live(user);
        }
    }

    /// Whoever has waited for too long goes live all the same; until fan-out knows of them, the
    /// log is read instead of its frames.
    pub(super) fn hurry_late_arrivals(&mut self, now: Instant) {
        if self.users.live() == self.users.len() {
            return;
        }
        let wait = self.shared.config.presence_wait;
        let late = self.users.iter().filter_map(|(user, local)| {
            let arriving = local.arriving.as_ref()?;
            (now - arriving.since >= wait).then(|| (user, arriving.known_from.clone()))
        });
        for (user, known_from) in late.collect::<Vec<_>>() {
            tracing::debug!("fan-out or the store lags: a user goes live without them");
            for (index, place) in self.places.iter_mut().enumerate() {
                let from = known_from.as_ref().and_then(|from| from.get(index).copied());
                place.settled = place.settled.max(from.unwrap_or(place.chain.last));
            }
            self.go_live(user);
        }
    }

    fn go_live(&mut self, user: UserRef) {
        let Some(arriving) = self.users.go_live(user) else { return };
        self.outgoing.end_run();
        let Some(local) = self.users.get_mut(user) else { return };
        for newcomer in &arriving.newcomers {
            local.connections.push(Arc::clone(&newcomer.connection));
        }
        match local.placed {
            Some(revision) => self.required = self.required.max(revision),
            None => self.unplaced += 1,
        }
        self.rooms.newcomer(user);
        for newcomer in &arriving.newcomers {
            self.say_hello(newcomer);
        }
    }

    fn say_hello(&self, newcomer: &Newcomer) {
        let connection = &newcomer.connection;
        let positions: Vec<Position> = (0u16..)
            .zip(&self.places)
            .map(|(index, place)| self.position(Partition(index), place.chain.last))
            .collect();
        let hello = Hello {
            connection: connection.id,
            user: connection.user,
            profile: newcomer.profile.as_ref(),
            heartbeat_ms: connection.heartbeat_ms(),
            positions: &positions,
            limits: Limits {
                max_frame_bytes: self.shared.config.frames.message_bytes as usize,
                max_content_chars: klatch_domain::limits::CONTENT_CHARS_MAX,
                max_subscriptions: SUBSCRIPTIONS_MAX,
            },
        };
        connection.open(server::hello(&hello), positions);
    }
}
