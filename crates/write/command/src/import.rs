//! Bringing in conversations: the same queues and the same log as every other command, with
//! original times and without the sender's permission.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::event::RoomCreated;
use klatch_domain::member::MemberRole;
use klatch_domain::permission::Actor;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{ContentType, MessageId, Rejection, RoomId, Timestamp, UserId, message};
use klatch_ports::api::auth::NewUser;
use klatch_ports::api::commands::{Changed, Sent};
use klatch_ports::api::import::{ImportApi, ImportError, ImportItem, ImportOutcome, ImportSession};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::{Partition, Position, StreamId};
use klatch_protocol::hash;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::create_room::Beginning;
use crate::sequencer::Sequencer;
use crate::service::{CommandService, gone};
use crate::wish::{Answer, ImportWish, Job, Wish};

/// External ids remembered before the store is waited for and asked instead.
const REMEMBERED_MAX: usize = 500_000;

/// An import under way.
struct Session {
    service: Arc<CommandService>,
    actor: Actor,
    users: HashMap<u128, UserId>,
    rooms: HashMap<u128, ImportedRoom>,
    messages: HashMap<u128, MessageId>,
    newest: Option<Position>,
    _only: OwnedSemaphorePermit,
}

/// A room of the import: on the log, or waiting for a time to begin at.
#[derive(Clone)]
enum ImportedRoom {
    Begun(RoomId),
    Waiting(Box<WaitingRoom>),
}

#[derive(Clone)]
struct WaitingRoom {
    kind: RoomType,
    visibility: Visibility,
    texts: RoomTexts,
    owner: UserId,
    external: u128,
    /// Members without a time of their own.
    members: Vec<(UserId, MemberRole)>,
}

/// A line on its way through a room's queue.
enum Running {
    Done(ImportOutcome),
    Message(oneshot::Receiver<ServiceResult<Sent>>),
    Member(oneshot::Receiver<ServiceResult<Changed>>),
}

#[async_trait]
impl ImportApi for Importer {
    async fn begin(&self, actor: Actor) -> ServiceResult<Box<dyn ImportSession>> {
        if actor.role != ServerRole::Admin {
            return Err(Rejection::AdminOnly.into());
        }
        let service = Arc::clone(&self.0);
        let only = Arc::clone(&service.importing).try_acquire_owned();
        let only = only.map_err(|_| ServiceError::Busy)?;
        let session = Session {
            service,
            actor,
            users: HashMap::new(),
            rooms: HashMap::new(),
            messages: HashMap::new(),
            newest: None,
            _only: only,
        };
        session.wait_for_stores().await?;
        Ok(Box::new(session))
    }
}

/// Starts imports on a command service.
#[derive(Clone, Debug)]
pub struct Importer(pub Arc<CommandService>);

#[async_trait]
impl ImportSession for Session {
    async fn push(&mut self, items: Vec<ImportItem>) -> ServiceResult<Vec<ImportOutcome>> {
        if self.messages.len() > REMEMBERED_MAX {
            self.wait_for_stores().await?;
            self.messages.clear();
        }
        let mut outcomes = Vec::with_capacity(items.len());
        let mut items = items.into_iter().peekable();
        while let Some(item) = items.next() {
            // Neighbouring users share their syncs.
            if matches!(item, ImportItem::User { .. }) {
                let mut users = vec![item];
                while let Some(next) = items.next_if(|i| matches!(i, ImportItem::User { .. })) {
                    users.push(next);
                }
                self.users(users, &mut outcomes).await?;
                continue;
            }
            let mut run = vec![item];
            while let Some(next) = items.next_if(|i| !matches!(i, ImportItem::User { .. })) {
                run.push(next);
            }
            self.others(run, &mut outcomes).await?;
        }
        Ok(outcomes)
    }

    fn position(&self) -> Option<Position> {
        self.newest
    }
}

impl Session {
    /// Waits until the read models hold all that is on the log, so that what was imported before
    /// is known.
    async fn wait_for_stores(&self) -> ServiceResult<()> {
        let deps = &self.service.deps;
        for partition in (0..deps.reader.partitions(StreamId::Messages)).map(Partition) {
            let end = deps.reader.end(StreamId::Messages, partition).await?;
            deps.wait_messages(partition, end).await?;
            deps.wait_metadata(partition, end).await?;
        }
        Ok(())
    }

    async fn users(
        &mut self,
        items: Vec<ImportItem>,
        outcomes: &mut Vec<ImportOutcome>,
    ) -> ServiceResult<()> {
        let mut wanted = Vec::new();
        let mut places = Vec::new();
        for item in items {
            let ImportItem::User { id, username, display_name, email, bot, created_at } = item
            else {
                continue;
            };
            let external = hash::external_id("user", &id);
            let repeated = wanted.iter().any(|user: &NewUser| user.external == Some(external));
            if repeated || self.user(external).await?.is_some() {
                outcomes.push(ImportOutcome::Skipped);
                continue;
            }
            places.push(outcomes.len());
            outcomes.push(ImportOutcome::Added);
            wanted.push(NewUser {
                display_name: display_name.or_else(|| username.clone()).unwrap_or(id.clone()),
                username: username.unwrap_or(id),
                email,
                bot,
                created_at: created_at.unwrap_or_else(|| self.service.deps.clock.now()),
                external: Some(external),
            });
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let externals: Vec<_> = wanted.iter().filter_map(|user| user.external).collect();
        let made = self.service.deps.provisioner.provision(wanted).await?;
        for ((made, place), external) in made.into_iter().zip(places).zip(externals) {
            match made {
                Ok((user, position)) => {
                    self.users.insert(external, user);
                    self.note(position);
                }
                Err(rejection) => {
                    if let Some(outcome) = outcomes.get_mut(place) {
                        *outcome = ImportOutcome::Refused(rejection.into());
                    }
                }
            }
        }
        Ok(())
    }

    async fn others(
        &mut self,
        items: Vec<ImportItem>,
        outcomes: &mut Vec<ImportOutcome>,
    ) -> ServiceResult<()> {
        let mut running = Vec::with_capacity(items.len());
        // A reply may point at a line of the same run, whose id is known only when it is durable.
        let mut ids_on_the_way = HashMap::new();
        for item in items {
            if let ImportItem::Message { reply_to: Some(target), .. } = &item {
                let target = hash::external_id("message", target);
                if ids_on_the_way.contains_key(&target) {
                    self.collect(&mut running, &mut ids_on_the_way, outcomes).await?;
                }
            }
            match self.start(item, &mut ids_on_the_way, running.len()).await? {
                Ok(line) => running.push(line),
                Err(error) => running.push(Running::Done(ImportOutcome::Refused(error))),
            }
        }
        self.collect(&mut running, &mut ids_on_the_way, outcomes).await
    }

    async fn start(
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
                let texts = match texts.checked(kind) {
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

    async fn start_member(
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

    async fn start_message(
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

    /// Waits for the lines under way and notes what became of them.
    async fn collect(
        &mut self,
        running: &mut Vec<Running>,
        on_the_way: &mut HashMap<u128, usize>,
        outcomes: &mut Vec<ImportOutcome>,
    ) -> ServiceResult<()> {
        let externals: HashMap<usize, u128> =
            on_the_way.drain().map(|(external, index)| (index, external)).collect();
        for (index, line) in running.drain(..).enumerate() {
            let outcome = match line {
                Running::Done(outcome) => outcome,
                Running::Message(receiver) => {
                    let sent = receiver.await.unwrap_or_else(|_| Err(gone()));
                    if let (Ok(sent), Some(external)) = (&sent, externals.get(&index)) {
                        self.messages.insert(*external, sent.message);
                        self.note(sent.position);
                    }
                    outcome(sent)?
                }
                Running::Member(receiver) => {
                    let changed = receiver.await.unwrap_or_else(|_| Err(gone()));
                    if let Ok(changed) = &changed {
                        self.note(changed.position);
                    }
                    match outcome(changed)? {
                        ImportOutcome::Refused(ImportError::Rejected(Rejection::AlreadyMember)) => {
                            ImportOutcome::Skipped
                        }
                        other => other,
                    }
                }
            };
            outcomes.push(outcome);
        }
        Ok(())
    }

    /// The room's id; if it waited for a time to begin at, it begins at `at`.
    async fn begun(
        &mut self,
        external: u128,
        at: Timestamp,
    ) -> ServiceResult<Result<RoomId, ImportError>> {
        let waiting = match self.room(external).await? {
            Some(ImportedRoom::Begun(id)) => return Ok(Ok(id)),
            Some(ImportedRoom::Waiting(waiting)) => waiting,
            None => return Ok(Err(unknown("room", ""))),
        };
        let WaitingRoom { kind, visibility, texts, owner, external, members } = *waiting;
        let name = texts.name.clone();
        let members = std::iter::once((owner, MemberRole::Owner)).chain(members).collect();
        let external_id = Some(external);
        let created = RoomCreated { kind, visibility, texts, members, external: external_id };
        let actor = Actor { user: owner, ..self.actor };
        let id = RoomId::at(at, &*self.service.deps.entropy);
        if let (RoomType::Channel, Some(name)) = (kind, &name) {
            match self.service.claim_name(id, name).await {
                Ok(()) => {}
                Err(ServiceError::Rejected(rejection)) => return Ok(Err(rejection.into())),
                Err(error) => return Err(error),
            }
        }
        let made = self.service.begin(id, Beginning { actor, at, created }).await?;
        if let Some(position) = made.position {
            self.note(position);
        }
        self.rooms.insert(external, ImportedRoom::Begun(id));
        Ok(Ok(id))
    }

    async fn known_user(&mut self, id: &str) -> ServiceResult<Result<UserId, ImportError>> {
        let user = self.user(hash::external_id("user", id)).await?;
        Ok(user.ok_or_else(|| unknown("user", id)))
    }

    async fn user(&mut self, external: u128) -> ServiceResult<Option<UserId>> {
        if let Some(user) = self.users.get(&external) {
            return Ok(Some(*user));
        }
        let user = self.service.deps.metadata.user_by_external(external).await?;
        if let Some(user) = user {
            self.users.insert(external, user);
        }
        Ok(user)
    }

    async fn room(&mut self, external: u128) -> ServiceResult<Option<ImportedRoom>> {
        if let Some(room) = self.rooms.get(&external) {
            return Ok(Some(room.clone()));
        }
        let room = self.service.deps.metadata.room_by_external(external).await?;
        let room = room.map(ImportedRoom::Begun);
        if let Some(room) = &room {
            self.rooms.insert(external, room.clone());
        }
        Ok(room)
    }

    async fn message(&mut self, external: u128) -> ServiceResult<Option<MessageId>> {
        if let Some(message) = self.messages.get(&external) {
            return Ok(Some(*message));
        }
        let deps = &self.service.deps;
        let Some((room, seq)) = deps.messages.by_external(external).await? else {
            return Ok(None);
        };
        Ok(deps.messages.message(room, seq).await?.map(|message| message.id))
    }

    fn sequencer(&self) -> &Arc<Sequencer> {
        &self.service.sequencer
    }

    fn note(&mut self, position: Position) {
        if self.newest.is_none_or(|newest| position.offset > newest.offset) {
            self.newest = Some(position);
        }
    }
}

/// A message line.
struct Line {
    id: String,
    room: String,
    sender: String,
    content: String,
    content_type: ContentType,
    metadata: String,
    reply_to: Option<String>,
}

fn unknown(kind: &'static str, id: &str) -> ImportError {
    ImportError::UnknownReference { kind, id: id.chars().take(100).collect() }
}

/// Refusals concern one line; anything else ends the import.
fn outcome<T>(answer: ServiceResult<T>) -> ServiceResult<ImportOutcome> {
    match answer {
        Ok(_) => Ok(ImportOutcome::Added),
        Err(ServiceError::Rejected(rejection)) => Ok(ImportOutcome::Refused(rejection.into())),
        Err(error) => Err(error),
    }
}
