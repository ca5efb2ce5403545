//! Rooms, members and messages of an import: from a line to a wish in a room's queue.

use std::collections::HashMap;

use klatch_domain::member::MemberRole;
use klatch_domain::room::RoomTexts;
use klatch_domain::seen::seen;
use klatch_domain::{Rejection, Timestamp, message};
use klatch_ports::api::ServiceResult;
use klatch_ports::api::import::{ImportError, ImportItem, ImportOutcome};
use klatch_protocol::hash;
use tokio::sync::oneshot;

use super::{ImportedRoom, Line, Running, Session, WaitingRoom, unknown};
use crate::wish::{Answer, ImportWish, Job, Wish};

impl Session {
    pub(super) async fn start(
        &mut self,
        item: ImportItem,
        on_the_way: &mut HashMap<u128, usize>,
        index: usize,
    ) -> ServiceResult<Result<Running, ImportError>> {
        match item {
            ImportItem::User { .. } => Ok(Ok(Running::Done(ImportOutcome::Skipped))),
            ImportItem::Room { id, kind, visibility, texts, created_by, created_at } => {
                let external = hash::external_id("room", &id);
                if self.room(external).await?.is_some() {
                    return Ok(Ok(Running::Done(ImportOutcome::Skipped)));
                }
                let owner = match created_by {
                    None => self.actor.user,
                    Some(user) => match self.known_user(&user).await? {
                        Ok(user) => user,
                        Err(error) => return Ok(Err(error)),
                    },
                };
                // Other systems were not as strict.
                let name = texts.name.map(|name| seen(&name));
                let texts = match (RoomTexts { name, ..texts }).checked(kind) {
                    Ok(texts) => texts,
                    Err(rejection) => return Ok(Err(rejection.into())),
                };
                let members = Vec::new();
                let waiting = WaitingRoom { kind, visibility, texts, owner, external, members };
                let waiting = ImportedRoom::Waiting(Box::new(waiting));
                self.rooms.insert(external, waiting);
                match created_at {
                    Some(at) => self
                        .begun(external, at)
                        .await
                        .map(|begun| begun.map(|_| Running::Done(ImportOutcome::Added))),
                    None => Ok(Ok(Running::Done(ImportOutcome::Added))),
                }
            }
            ImportItem::Member { room, user, role, created_at } => {
                self.start_member(&room, &user, role, created_at).await
            }
            ImportItem::Message {
                id,
                room,
                sender,
                content,
                content_type,
                metadata,
                reply_to,
                thread,
                created_at,
            } => {
                if thread.is_some() {
                    return Ok(Err(Rejection::InvalidField("threadId").into()));
                }
                let line = Line { id, room, sender, content, content_type, metadata, reply_to };
                self.start_message(line, created_at, on_the_way, index).await
            }
        }
    }

    pub(super) async fn start_member(
        &mut self,
        room: &str,
        user: &str,
        role: MemberRole,
        at: Option<Timestamp>,
    ) -> ServiceResult<Result<Running, ImportError>> {
        let external = hash::external_id("room", room);
        let member = match self.known_user(user).await? {
            Ok(member) => member,
            Err(error) => return Ok(Err(error)),
        };
        let id = match (self.room(external).await?, at) {
            (None, _) => return Ok(Err(unknown("room", room))),
            (Some(ImportedRoom::Begun(id)), _) => id,
            (Some(ImportedRoom::Waiting(_)), Some(at)) => match self.begun(external, at).await? {
                Ok(id) => id,
                Err(error) => return Ok(Err(error)),
            },
            (Some(ImportedRoom::Waiting(mut waiting)), None) => {
                let known = waiting.owner == member
                    || waiting.members.iter().any(|(user, _)| *user == member);
                if !known {
                    waiting.members.push((member, role));
                    self.rooms.insert(external, ImportedRoom::Waiting(waiting));
                }
                let outcome = if known { ImportOutcome::Skipped } else { ImportOutcome::Added };
                return Ok(Ok(Running::Done(outcome)));
            }
        };
        // Without a time of its own the stay begins at the room's newest event.
        let wish = Wish::ImportMember { user: member, role, at: at.unwrap_or_default() };
        let (sender, receiver) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        self.sequencer().submit(id, Job::new(self.actor, wish, Answer::Changed(reply)));
        Ok(Ok(Running::Member(receiver)))
    }

    pub(super) async fn start_message(
        &mut self,
        line: Line,
        at: Timestamp,
        on_the_way: &mut HashMap<u128, usize>,
        index: usize,
    ) -> ServiceResult<Result<Running, ImportError>> {
        let external = hash::external_id("message", &line.id);
        if on_the_way.contains_key(&external) || self.message(external).await?.is_some() {
            return Ok(Ok(Running::Done(ImportOutcome::Skipped)));
        }
        let sender = match self.known_user(&line.sender).await? {
            Ok(sender) => sender,
            Err(error) => return Ok(Err(error)),
        };
        let room_external = hash::external_id("room", &line.room);
        if self.room(room_external).await?.is_none() {
            return Ok(Err(unknown("room", &line.room)));
        }
        let reply_to = match &line.reply_to {
            None => None,
            Some(target) => match self.message(hash::external_id("message", target)).await? {
                Some(target) => Some(target),
                None => return Ok(Err(unknown("message", target))),
            },
        };
        if let Err(rejection) = message::content(&line.content, false) {
            return Ok(Err(rejection.into()));
        }
        let room = match self.begun(room_external, at).await? {
            Ok(room) => room,
            Err(error) => return Ok(Err(error)),
        };
        if reply_to.is_some_and(|target| !target.may_be_of(room)) {
            return Ok(Err(Rejection::InvalidField("replyTo").into()));
        }
        let Line { content, content_type, metadata, .. } = line;
        let wish = ImportWish { sender, content, content_type, metadata, reply_to, external, at };
        let (sender, receiver) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        let job = Job::new(self.actor, Wish::Import(Box::new(wish)), Answer::Sent(reply));
        self.sequencer().submit(room, job);
        on_the_way.insert(external, index);
        Ok(Ok(Running::Message(receiver)))
    }
}
