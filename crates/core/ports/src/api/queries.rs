//! Reads. Each may name a position that its read model must have reached first.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use klatch_domain::member::Membership;
use klatch_domain::message::MessageBody;
use klatch_domain::permission::Actor;
use klatch_domain::room::{Room, RoomHead};
use klatch_domain::user::{Profile, User};
use klatch_domain::{Message, MessageId, RoomId, UserId};

use super::ServiceResult;
use super::sync::SyncView;
use crate::messages::Range;
use crate::position::Position;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Goes on in the same direction; `None` at the end.
    pub next: Option<String>,
}

/// A message with its words opened; `None` when deleted or when its person's key is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// The row.
    pub message: Message,
    /// The words.
    pub body: Option<MessageBody>,
}

/// A message as everyone who may read it is shown it, and what it becomes on the way to them, so
/// that it is made once for all.
#[derive(Debug)]
pub struct Shown {
    /// The message.
    pub view: MessageView,
    encoded: OnceLock<Bytes>,
}

impl Shown {
    /// A message that nobody was shown yet.
    pub fn new(view: MessageView) -> Self {
        Self { view, encoded: OnceLock::new() }
    }

    /// The message as `encode` makes it; made by the first who asks, so all must ask for the same.
    pub fn encoded(&self, encode: impl FnOnce(&MessageView) -> Bytes) -> &Bytes {
        self.encoded.get_or_init(|| encode(&self.view))
    }
}

/// A room as its asker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// The row.
    pub room: Room,
    /// Its end.
    pub head: RoomHead,
    /// The asker's stay, if they are in it now.
    pub membership: Option<Membership>,
}

/// A user with their profile opened; a destroyed key leaves an empty profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    /// The row.
    pub user: User,
    /// What they tell about themselves.
    pub profile: Profile,
}

/// A member with their profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The stay.
    pub membership: Membership,
    /// Who it is.
    pub user: Option<UserView>,
}

/// Where in a history to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryFrom {
    /// A range by seq.
    Range(Range),
    /// Where an earlier page ended, going on in its direction.
    Cursor(String),
}

/// Which rooms to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomScope {
    /// Those the asker is in, latest activity first.
    Joined,
    /// Public channels, whoever is in them.
    Public,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Most items, 1–200.
    pub limit: usize,
}

/// Reads. `at_least` lists positions of earlier answers: the read waits for them, up to a
/// configured time, or fails with [`super::ServiceError::Behind`].
#[async_trait]
pub trait QueryApi: Send + Sync {
    /// A page of a room's main history, always newest first.
    async fn history(
        &self,
        actor: Actor,
        room: RoomId,
        from: HistoryFrom,
        limit: usize,
        at_least: &[Position],
    ) -> ServiceResult<Page<Arc<Shown>>>;

    /// One message.
    async fn message(
        &self,
        actor: Actor,
        room: RoomId,
        message: MessageId,
        at_least: &[Position],
    ) -> ServiceResult<MessageView>;

    /// One room.
    async fn room(
        &self,
        actor: Actor,
        room: RoomId,
        at_least: &[Position],
    ) -> ServiceResult<RoomView>;

    /// Rooms.
    async fn rooms(
        &self,
        actor: Actor,
        scope: RoomScope,
        page: PageRequest,
        at_least: &[Position],
    ) -> ServiceResult<Page<RoomView>>;

    /// Members of a room.
    async fn members(
        &self,
        actor: Actor,
        room: RoomId,
        page: PageRequest,
        at_least: &[Position],
    ) -> ServiceResult<Page<MemberView>>;

    /// One user.
    async fn user(
        &self,
        actor: Actor,
        user: UserId,
        at_least: &[Position],
    ) -> ServiceResult<UserView>;

    /// Users whose names begin with `prefix` (all when empty).
    async fn users(
        &self,
        actor: Actor,
        prefix: &str,
        page: PageRequest,
        at_least: &[Position],
    ) -> ServiceResult<Page<UserView>>;

    /// What the asker missed in their rooms after `known`, up to the end of the log now.
    async fn sync(&self, actor: Actor, known: &[Position]) -> ServiceResult<SyncView>;
}
