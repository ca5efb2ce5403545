//! The metadata store as ordered maps: the oracle other adapters are compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::room::{Room, RoomType, Visibility};
use klatch_domain::user::User;
use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::messages::Applied;
use klatch_ports::metadata::{
    MemberReader, MetadataCommit, MetadataProgress, MetadataWriter, RoomReader, UserNumber,
    UserReader,
};
use klatch_ports::{ErrorKind, Offset, Partition, PortError, PortResult};
use parking_lot::Mutex;

use crate::progress::{Progress, is_repeat};

/// All users, rooms and memberships, in memory. Gone with the process.
#[derive(Debug, Default)]
pub struct MetadataStore {
    rows: Mutex<Rows>,
    progress: Progress,
}

#[derive(Debug, Default)]
struct Rows {
    committed: HashMap<Partition, Applied>,
    users: BTreeMap<UserId, User>,
    numbers: HashMap<UserId, UserNumber>,
    rooms: BTreeMap<RoomId, Room>,
    members: BTreeMap<(RoomId, UserId), Membership>,
    stays: BTreeSet<(UserId, RoomId)>,
    user_externals: HashMap<u128, UserId>,
    room_externals: HashMap<u128, RoomId>,
}

const LAST: u128 = u128::MAX;

impl MetadataStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, positions and numbers included, for a rebuild.
    pub fn wipe(&self) {
        *self.rows.lock() = Rows::default();
        self.progress.clear();
    }
}

impl Rows {
    fn number(&mut self, user: UserId) -> PortResult<()> {
        let next = u32::try_from(self.numbers.len())
            .map_err(|_| PortError::new(ErrorKind::Full, "memory", "giving a number to a user"))?;
        self.numbers.entry(user).or_insert(UserNumber(next));
        Ok(())
    }

    fn members_of(&self, room: RoomId) -> impl Iterator<Item = &Membership> {
        let last = UserId::from_bits(LAST);
        self.members.range((room, UserId::from_bits(0))..=(room, last)).map(|(_, member)| member)
    }
}

#[async_trait]
impl MetadataProgress for MetadataStore {
    async fn applied(&self, partition: Partition) -> PortResult<Applied> {
        Ok(self.progress.get(partition))
    }

    async fn wait_applied(
        &self,
        partition: Partition,
        offset: Offset,
        most: Duration,
    ) -> PortResult<bool> {
        Ok(self.progress.wait(partition, offset, most).await)
    }
}

#[async_trait]
impl UserReader for MetadataStore {
    async fn user(&self, id: UserId) -> PortResult<Option<User>> {
        Ok(self.rows.lock().users.get(&id).cloned())
    }

    async fn users(&self, ids: &[UserId]) -> PortResult<Vec<Option<User>>> {
        let rows = self.rows.lock();
        Ok(ids.iter().map(|id| rows.users.get(id).cloned()).collect())
    }

    async fn number(&self, id: UserId) -> PortResult<Option<UserNumber>> {
        Ok(self.rows.lock().numbers.get(&id).copied())
    }

    async fn list_users(&self, after: Option<UserId>, limit: usize) -> PortResult<Vec<User>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.lock();
        Ok(rows.users.range((from, Bound::Unbounded)).take(limit).map(|(_, u)| u.clone()).collect())
    }

    async fn user_by_external(&self, external: u128) -> PortResult<Option<UserId>> {
        Ok(self.rows.lock().user_externals.get(&external).copied())
    }
}

#[async_trait]
impl RoomReader for MetadataStore {
    async fn room(&self, id: RoomId) -> PortResult<Option<Room>> {
        Ok(self.rows.lock().rooms.get(&id).cloned())
    }

    async fn rooms(&self, ids: &[RoomId]) -> PortResult<Vec<Option<Room>>> {
        let rows = self.rows.lock();
        Ok(ids.iter().map(|id| rows.rooms.get(id).cloned()).collect())
    }

    async fn public_rooms(&self, after: Option<RoomId>, limit: usize) -> PortResult<Vec<Room>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.lock();
        let public = |room: &&Room| {
            room.kind == RoomType::Channel && room.visibility == Visibility::Public && !room.deleted
        };
        let all = rows.rooms.range((from, Bound::Unbounded)).map(|(_, room)| room);
        Ok(all.filter(public).take(limit).cloned().collect())
    }

    async fn room_by_external(&self, external: u128) -> PortResult<Option<RoomId>> {
        Ok(self.rows.lock().room_externals.get(&external).copied())
    }
}

#[async_trait]
impl MemberReader for MetadataStore {
    async fn membership(&self, room: RoomId, user: UserId) -> PortResult<Option<Membership>> {
        Ok(self.rows.lock().members.get(&(room, user)).cloned())
    }

    async fn members(
        &self,
        room: RoomId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortResult<Vec<Membership>> {
        let rows = self.rows.lock();
        let current = rows.members_of(room).filter(|m| m.is_current());
        Ok(current.filter(|m| after.is_none_or(|a| m.user > a)).take(limit).cloned().collect())
    }

    async fn numbers_at(&self, room: RoomId, seq: Seq) -> PortResult<Vec<UserNumber>> {
        let rows = self.rows.lock();
        let there = rows.members_of(room).filter(|member| member.covers(seq));
        Ok(there.filter_map(|member| rows.numbers.get(&member.user).copied()).collect())
    }

    async fn rooms_of(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> PortResult<Vec<(RoomId, Membership)>> {
        let rows = self.rows.lock();
        let from = after
            .map_or(Bound::Included((user, RoomId::from_bits(0))), |a| Bound::Excluded((user, a)));
        let to = Bound::Included((user, RoomId::from_bits(LAST)));
        let stays = rows.stays.range((from, to)).filter_map(|(_, room)| {
            rows.members.get(&(*room, user)).map(|member| (*room, member.clone()))
        });
        Ok(stays.take(limit).collect())
    }

    async fn owners(&self, room: RoomId) -> PortResult<usize> {
        let rows = self.rows.lock();
        let owner = |m: &&Membership| m.is_current() && m.role == MemberRole::Owner;
        Ok(rows.members_of(room).filter(owner).take(2).count())
    }
}

#[async_trait]
impl MetadataWriter for MetadataStore {
    async fn load_user(&self, id: UserId) -> PortResult<Option<User>> {
        self.user(id).await
    }

    async fn load_room(&self, id: RoomId) -> PortResult<Option<Room>> {
        self.room(id).await
    }

    async fn load_member(&self, room: RoomId, user: UserId) -> PortResult<Option<Membership>> {
        self.membership(room, user).await
    }

    async fn commit(&self, commit: MetadataCommit) -> PortResult<()> {
        let mut rows = self.rows.lock();
        if is_repeat(rows.committed.get(&commit.partition), commit.applied) {
            return Ok(());
        }
        for user in commit.named {
            rows.number(user)?;
        }
        for (user, external) in commit.users {
            rows.number(user.id)?;
            rows.user_externals.extend(external.map(|hash| (hash, user.id)));
            rows.users.insert(user.id, user);
        }
        for (room, external) in commit.rooms {
            rows.room_externals.extend(external.map(|hash| (hash, room.id)));
            rows.rooms.insert(room.id, room);
        }
        for (room, member) in commit.members {
            rows.number(member.user)?;
            if member.is_current() {
                rows.stays.insert((member.user, room));
            } else {
                rows.stays.remove(&(member.user, room));
            }
            rows.members.insert((room, member.user), member);
        }
        rows.committed.insert(commit.partition, commit.applied);
        self.progress.set(commit.partition, commit.applied);
        Ok(())
    }

    async fn advance(&self, partition: Partition, applied: Applied) -> PortResult<()> {
        self.progress.set(partition, applied);
        Ok(())
    }
}
