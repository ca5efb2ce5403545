//! Bringing in conversations: the same queues and the same log as every other command, with
//! original times and without the sender's permission.

mod lines;
mod lookup;
mod users;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::member::MemberRole;
use klatch_domain::permission::{self, Actor, ServerAction};
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::{ContentType, MessageId, Rejection, RoomId, UserId};
use klatch_ports::api::commands::{Changed, Sent};
use klatch_ports::api::import::{ImportApi, ImportError, ImportItem, ImportOutcome, ImportSession};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::{Partition, Position, StreamId};
use klatch_protocol::hash;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::service::{CommandService, gone};

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
        permission::check_server(actor, ServerAction::Import)?;
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
