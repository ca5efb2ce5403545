//! The query role as other roles call it.

use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::permission::Actor;
use klatch_domain::{MessageId, Rejection, RoomId, UserId, limits};
use klatch_ports::activity::ActivityReader;
use klatch_ports::api::queries::{
    HistoryFrom, MemberView, MessageView, Page, PageRequest, QueryApi, RoomScope, RoomView, Shown,
    UserView,
};
use klatch_ports::api::sync::SyncView;
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::log::LogReader;
use klatch_ports::messages::MessageReader;
use klatch_ports::metadata::MetadataReader;
use klatch_ports::{Position, StreamId};
use klatch_protocol::sealed::KeyRing;
use klatch_sync::Sync;

use crate::access;
use crate::catch_up::{CatchUp, Reads};
use crate::config::QueryConfig;
use crate::directory::Directory;
use crate::history;
use crate::members;
use crate::missed;
use crate::rooms::Stores;
use crate::tail::Tails;
use crate::users;

/// Everything this role may touch. No writer is among it.
pub struct Deps {
    /// History and the ends of rooms.
    pub messages: Arc<dyn MessageReader>,
    /// Which of a user's rooms spoke: of the same store.
    pub activity: Arc<dyn ActivityReader>,
    /// Users, rooms and members.
    pub metadata: Arc<dyn MetadataReader>,
    /// The end and the epoch of the log, to judge positions.
    pub log: Arc<dyn LogReader>,
    /// Opens words and profiles.
    pub keys: Arc<KeyRing>,
    /// Users by name; someone has to run it.
    pub directory: Arc<Directory>,
}

/// Answers reads.
pub struct Query {
    deps: Deps,
    catch_up: CatchUp,
    tails: Tails,
    sync: Sync,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").finish_non_exhaustive()
    }
}

impl Query {
    /// Reads from `deps`.
    pub fn new(deps: Deps, config: QueryConfig) -> Self {
        let catch_up = CatchUp {
            log: Arc::clone(&deps.log),
            messages: Arc::clone(&deps.messages),
            metadata: Arc::clone(&deps.metadata),
            most: config.wait_most,
        };
        let tails = Tails::new(
            Arc::clone(&deps.messages),
            Arc::clone(&deps.log),
            Arc::clone(&deps.keys),
            config.tail_bytes,
        );
        let sync = Sync {
            log: Arc::clone(&deps.log),
            metadata: Arc::clone(&deps.metadata),
            messages: Arc::clone(&deps.messages),
            activity: Arc::clone(&deps.activity),
        };
        Self { deps, catch_up, tails, sync }
    }

    /// Forgets what was opened with the key of `person`, which was destroyed.
    pub fn forget(&self, person: UserId) {
        self.deps.keys.forget(person);
    }

    fn stores(&self) -> Stores<'_> {
        Stores {
            messages: self.deps.messages.as_ref(),
            activity: self.deps.activity.as_ref(),
            metadata: self.deps.metadata.as_ref(),
        }
    }

    async fn reach(&self, at_least: &[Position], reads: Reads) -> ServiceResult<()> {
        if at_least.is_empty() {
            return Ok(());
        }
        self.catch_up.reach(at_least, reads, self.catch_up.deadline()).await
    }
}

fn checked(limit: usize) -> Result<usize, Rejection> {
    let fits = (1..=limits::PAGE_ITEMS_MAX).contains(&limit);
    if fits { Ok(limit) } else { Err(Rejection::InvalidField("limit")) }
}

#[async_trait]
impl QueryApi for Query {
    async fn history(
        &self,
        actor: Actor,
        room: RoomId,
        from: HistoryFrom,
        limit: usize,
        at_least: &[Position],
    ) -> ServiceResult<Page<Arc<Shown>>> {
        let (range, limit) = (history::range(&from)?, checked(limit)?);
        self.reach(at_least, Reads::Both).await?;
        access::readable(self.deps.metadata.as_ref(), actor, room).await?;
        let rows = (self.deps.messages.as_ref(), self.deps.keys.as_ref());
        Ok(history::page(&self.tails, rows, room, range, limit).await?)
    }

    async fn message(
        &self,
        actor: Actor,
        room: RoomId,
        message: MessageId,
        at_least: &[Position],
    ) -> ServiceResult<MessageView> {
        self.reach(at_least, Reads::Both).await?;
        access::readable(self.deps.metadata.as_ref(), actor, room).await?;
        let found = self.deps.messages.message(room, message.seq()).await?;
        let found = found.filter(|found| found.id == message).ok_or(Rejection::MessageNotFound)?;
        Ok(history::open(&self.deps.keys, found).await?)
    }

    async fn room(
        &self,
        actor: Actor,
        room: RoomId,
        at_least: &[Position],
    ) -> ServiceResult<RoomView> {
        self.reach(at_least, Reads::Both).await?;
        self.stores().room(actor, room).await
    }

    async fn rooms(
        &self,
        actor: Actor,
        scope: RoomScope,
        page: PageRequest,
        at_least: &[Position],
    ) -> ServiceResult<Page<RoomView>> {
        let (limit, cursor) = (checked(page.limit)?, page.cursor.as_deref());
        self.reach(at_least, Reads::Both).await?;
        match scope {
            RoomScope::Joined => self.stores().joined(actor, cursor, limit).await,
            RoomScope::Public => self.stores().public(actor, cursor, limit).await,
        }
    }

    async fn members(
        &self,
        actor: Actor,
        room: RoomId,
        page: PageRequest,
        at_least: &[Position],
    ) -> ServiceResult<Page<MemberView>> {
        let (limit, cursor) = (checked(page.limit)?, page.cursor.as_deref());
        self.reach(at_least, Reads::Metadata).await?;
        let metadata = self.deps.metadata.as_ref();
        members::page(metadata, &self.deps.keys, (actor, room), cursor, limit).await
    }

    async fn user(
        &self,
        actor: Actor,
        user: UserId,
        at_least: &[Position],
    ) -> ServiceResult<UserView> {
        self.reach(at_least, Reads::Metadata).await?;
        let read = || users::user(self.deps.metadata.as_ref(), &self.deps.keys, actor, user);
        let found = read().await;
        let is_unknown = matches!(found, Err(ServiceError::Rejected(Rejection::UserNotFound)));
        if user != actor.user || !is_unknown {
            return found;
        }
        // Whoever has a token has an account: the read model is behind, as after registering.
        let ends = self.catch_up.ends(StreamId::Meta).await?;
        self.reach(&ends, Reads::Metadata).await?;
        read().await
    }

    async fn users(
        &self,
        actor: Actor,
        prefix: &str,
        page: PageRequest,
        at_least: &[Position],
    ) -> ServiceResult<Page<UserView>> {
        let (limit, cursor) = (checked(page.limit)?, page.cursor.as_deref());
        let deadline = self.catch_up.deadline();
        self.catch_up.reach(at_least, Reads::Metadata, deadline).await?;
        let offsets = at_least.iter().map(|position| (position.partition, position.offset));
        let directory = self.deps.directory.as_ref();
        if !directory.reach(offsets, deadline).await {
            return Err(ServiceError::Behind);
        }
        let stores = (self.deps.metadata.as_ref(), directory);
        users::page(stores, &self.deps.keys, (actor, prefix), cursor, limit).await
    }

    async fn sync(&self, actor: Actor, known: &[Position]) -> ServiceResult<SyncView> {
        missed::missed(&self.sync, &self.deps.keys, actor, known).await
    }
}
