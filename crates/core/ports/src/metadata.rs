//! The read model of users, rooms and members.
//!
//! Commits carry absolute rows and the position they speak of, as in [`crate::messages`].

use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::member::Membership;
use klatch_domain::room::Room;
use klatch_domain::user::User;
use klatch_domain::{RoomId, Seq, UserId};

use crate::error::PortResult;
use crate::messages::Applied;
use crate::position::{Offset, Partition};

/// A small number for a user, given in the order users were stored, for compressed sets. Local to
/// one store: never shown to anyone, never on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserNumber(pub u32);

/// How far a store has come with its partitions, and a way to wait for more.
#[async_trait]
pub trait MetadataProgress: Send + Sync {
    /// How far the rows go.
    async fn applied(&self, partition: Partition) -> PortResult<Applied>;

    /// Returns true once the rows go at least to `offset`, false when `most` has passed before.
    async fn wait_applied(
        &self,
        partition: Partition,
        offset: Offset,
        most: Duration,
    ) -> PortResult<bool>;
}

/// Reads users.
#[async_trait]
pub trait UserReader: Send + Sync {
    /// One user.
    async fn user(&self, id: UserId) -> PortResult<Option<User>>;

    /// Many users, in the order asked.
    async fn users(&self, ids: &[UserId]) -> PortResult<Vec<Option<User>>>;

    /// The user's number.
    async fn number(&self, id: UserId) -> PortResult<Option<UserNumber>>;

    /// All users after `after` by id, up to `limit`.
    async fn list_users(&self, after: Option<UserId>, limit: usize) -> PortResult<Vec<User>>;

    /// The user imported under the external id with this hash.
    async fn user_by_external(&self, external: u128) -> PortResult<Option<UserId>>;
}

/// Reads rooms.
#[async_trait]
pub trait RoomReader: Send + Sync {
    /// One room, deleted ones included.
    async fn room(&self, id: RoomId) -> PortResult<Option<Room>>;

    /// Many rooms, in the order asked.
    async fn rooms(&self, ids: &[RoomId]) -> PortResult<Vec<Option<Room>>>;

    /// Public channels that are not deleted, after `after` by id, up to `limit`.
    async fn public_rooms(&self, after: Option<RoomId>, limit: usize) -> PortResult<Vec<Room>>;

    /// The room imported under the external id with this hash.
    async fn room_by_external(&self, external: u128) -> PortResult<Option<RoomId>>;
}

/// Reads memberships, current and past.
#[async_trait]
pub trait MemberReader: Send + Sync {
    /// The user's latest stay in the room, also when it has ended.
    async fn membership(&self, room: RoomId, user: UserId) -> PortResult<Option<Membership>>;

    /// Current members after `after` by user id, up to `limit`.
    async fn members(
        &self,
        room: RoomId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortResult<Vec<Membership>>;

    /// Numbers of all whose latest stay covers the event `seq`, in no order. One range read.
    async fn numbers_at(&self, room: RoomId, seq: Seq) -> PortResult<Vec<UserNumber>>;

    /// Rooms the user is in, after `after` by room id, up to `limit`.
    async fn rooms_of(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> PortResult<Vec<(RoomId, Membership)>>;

    /// How many members with [`klatch_domain::member::MemberRole::Owner`] the room has now, counted
    /// up to 2.
    async fn owners(&self, room: RoomId) -> PortResult<usize>;
}

/// Rooms read at once by [`RoomsOf`].
const ROOMS_CHUNK: usize = 500;

/// The rooms a user is in, one after the other in the order of their ids. Whoever stops early has
/// read no more than the next 500. A room joined or left meanwhile may be there or not.
#[derive(Debug)]
pub struct RoomsOf {
    user: UserId,
    read: std::vec::IntoIter<(RoomId, Membership)>,
    after: Option<RoomId>,
    whole: bool,
}

impl RoomsOf {
    /// Nothing is read yet.
    pub fn new(user: UserId) -> Self {
        Self { user, read: Vec::new().into_iter(), after: None, whole: false }
    }

    /// The next one, and the user's stay in it; `None` after the last.
    ///
    /// # Errors
    /// As the port reports; asking again goes on where it was.
    pub async fn next(
        &mut self,
        members: &dyn MemberReader,
    ) -> PortResult<Option<(RoomId, Membership)>> {
        if self.read.len() == 0 && !self.whole {
            let rooms = members.rooms_of(self.user, self.after, ROOMS_CHUNK).await?;
            self.whole = rooms.len() < ROOMS_CHUNK;
            self.after = rooms.last().map(|(room, _)| *room);
            self.read = rooms.into_iter();
        }
        Ok(self.read.next())
    }
}

/// All metadata reads together, for roles that need them all.
pub trait MetadataReader: MetadataProgress + UserReader + RoomReader + MemberReader {}

impl<T: MetadataProgress + UserReader + RoomReader + MemberReader> MetadataReader for T {}

/// Rows to commit together.
#[derive(Clone, Debug, Default)]
pub struct MetadataCommit {
    /// Which partition they speak of.
    pub partition: Partition,
    /// How far they bring it.
    pub applied: Applied,
    /// The users and members of this commit in the order in which the log names them first: those
    /// without a number get theirs in it, so that numbers follow from the log alone. Whoever is
    /// left out gets one after them.
    pub named: Vec<UserId>,
    /// New or changed users, with the hash of the external id if imported.
    pub users: Vec<(User, Option<u128>)>,
    /// New or changed rooms, with the hash of the external id if imported.
    pub rooms: Vec<(Room, Option<u128>)>,
    /// New or changed memberships.
    pub members: Vec<(RoomId, Membership)>,
}

/// Writes metadata. Held by the meta-writer alone.
#[async_trait]
pub trait MetadataWriter: Send + Sync {
    /// The user as stored.
    async fn load_user(&self, id: UserId) -> PortResult<Option<User>>;

    /// The room as stored.
    async fn load_room(&self, id: RoomId) -> PortResult<Option<Room>>;

    /// The membership as stored.
    async fn load_member(&self, room: RoomId, user: UserId) -> PortResult<Option<Membership>>;

    /// Commits all rows and the position, or nothing. A commit of the stored epoch whose offset is
    /// not above the stored one was made before and changes nothing. Of several rows about one
    /// thing the last counts. Gives new users their numbers, members without a user row too.
    /// Readers see it when this returns; a power cut may take it back, and the position with it.
    async fn commit(&self, commit: MetadataCommit) -> PortResult<()>;

    /// Nothing to store, but everything up to `applied` was looked at: waiting readers may go on.
    async fn advance(&self, partition: Partition, applied: Applied) -> PortResult<()>;
}
