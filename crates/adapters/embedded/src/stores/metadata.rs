//! The metadata store: its reads.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::member::Membership;
use klatch_domain::room::Room;
use klatch_domain::user::User;
use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::messages::Applied;
use klatch_ports::metadata::{
    MemberReader, MetadataCommit, MetadataProgress, MetadataWriter, RoomReader, UserNumber,
    UserReader,
};
use klatch_ports::{Offset, Partition, PortResult};

use super::layout::{
    MEMBER, NUMBER, OWNER, PUBLIC, ROOM, ROOM_EXTERNAL, STAY, USER, USER_EXTERNAL,
};
use super::{Rows, View, layout, metadata_write, row};
use crate::engine::failed;

/// Users, rooms and members on disk.
#[derive(Debug)]
pub struct MetadataStore {
    rows: Arc<Rows>,
}

impl MetadataStore {
    pub(super) fn new(rows: Rows) -> Self {
        Self { rows: Arc::new(rows) }
    }

    pub(super) fn rows(&self) -> Arc<Rows> {
        Arc::clone(&self.rows)
    }

    /// Forgets everything, positions and numbers included, for a rebuild. Durable when it returns;
    /// after a crash in between either everything is still there or nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn wipe(&self) -> PortResult<()> {
        let rows = Arc::clone(&self.rows);
        self.rows.blocking("wiping metadata", move || rows.wipe()).await
    }

    /// How often readers asked since the start, for metrics.
    pub fn reads(&self) -> u64 {
        self.rows.reads()
    }
}

pub(super) fn user(view: &View, id: UserId) -> PortResult<Option<User>> {
    let bytes = view.get(&layout::one(USER, id.bits()))?;
    bytes.map(|bytes| row::decode_user(id, &bytes)).transpose()
}

pub(super) fn number(view: &View, id: UserId) -> PortResult<Option<UserNumber>> {
    let bytes = view.get(&layout::one(NUMBER, id.bits()))?;
    bytes.map(|bytes| row::decode_number(&bytes).map(UserNumber)).transpose()
}

fn room(view: &View, id: RoomId) -> PortResult<Option<Room>> {
    let bytes = view.get(&layout::one(ROOM, id.bits()))?;
    bytes.map(|bytes| row::decode_room(id, &bytes)).transpose()
}

/// Rows of `kind` with one id, those after `after`.
fn after_one(view: &View, kind: u8, after: Option<u128>) -> fjall::Iter {
    let key = |id| layout::one(kind, id).to_vec();
    let from = after.map_or(Bound::Included(key(0)), |id| Bound::Excluded(key(id)));
    view.range((from, Bound::Included(key(u128::MAX))))
}

/// Rows of `kind` whose first id is `first`, those whose second comes after `after`.
fn after_two(view: &View, kind: u8, first: u128, after: Option<u128>) -> fjall::Iter {
    let key = |second| layout::two(kind, first, second).to_vec();
    let from = after.map_or(Bound::Included(key(0)), |id| Bound::Excluded(key(id)));
    view.range((from, Bound::Included(key(u128::MAX))))
}

#[async_trait]
impl MetadataProgress for MetadataStore {
    async fn applied(&self, partition: Partition) -> PortResult<Applied> {
        Ok(self.rows.progress.get(partition))
    }

    async fn wait_applied(
        &self,
        partition: Partition,
        offset: Offset,
        most: Duration,
    ) -> PortResult<bool> {
        Ok(self.rows.progress.wait(partition, offset, most).await)
    }
}

#[async_trait]
impl UserReader for MetadataStore {
    async fn user(&self, id: UserId) -> PortResult<Option<User>> {
        user(&self.rows.view(), id)
    }

    async fn users(&self, ids: &[UserId]) -> PortResult<Vec<Option<User>>> {
        let view = self.rows.view();
        ids.iter().map(|id| user(&view, *id)).collect()
    }

    async fn number(&self, id: UserId) -> PortResult<Option<UserNumber>> {
        number(&self.rows.view(), id)
    }

    async fn list_users(&self, after: Option<UserId>, limit: usize) -> PortResult<Vec<User>> {
        let rows = after_one(&self.rows.view(), USER, after.map(UserId::bits));
        let read = |guard| {
            let (key, bytes) = View::pair(guard)?;
            row::decode_user(layout::last_user(&key)?, &bytes)
        };
        rows.take(limit).map(read).collect()
    }

    async fn user_by_external(&self, external: u128) -> PortResult<Option<UserId>> {
        let bytes = self.rows.view().get(&layout::one(USER_EXTERNAL, external))?;
        bytes.map(|bytes| layout::last_user(&bytes)).transpose()
    }
}

#[async_trait]
impl RoomReader for MetadataStore {
    async fn room(&self, id: RoomId) -> PortResult<Option<Room>> {
        room(&self.rows.view(), id)
    }

    async fn rooms(&self, ids: &[RoomId]) -> PortResult<Vec<Option<Room>>> {
        let view = self.rows.view();
        ids.iter().map(|id| room(&view, *id)).collect()
    }

    async fn public_rooms(&self, after: Option<RoomId>, limit: usize) -> PortResult<Vec<Room>> {
        let view = self.rows.view();
        let mut found = Vec::new();
        for guard in after_one(&view, PUBLIC, after.map(RoomId::bits)).take(limit) {
            let key = guard.key().map_err(failed("reading"))?;
            found.extend(room(&view, layout::last_room(&key)?)?);
        }
        Ok(found)
    }

    async fn room_by_external(&self, external: u128) -> PortResult<Option<RoomId>> {
        let bytes = self.rows.view().get(&layout::one(ROOM_EXTERNAL, external))?;
        bytes.map(|bytes| layout::last_room(&bytes)).transpose()
    }
}

pub(super) fn membership(
    view: &View,
    room: RoomId,
    user: UserId,
) -> PortResult<Option<Membership>> {
    let bytes = view.get(&layout::two(MEMBER, room.bits(), user.bits()))?;
    bytes.map(|bytes| row::decode_member(user, &bytes).map(|(stay, _)| stay)).transpose()
}

fn numbers_at(view: &View, room: RoomId, seq: Seq) -> PortResult<Vec<UserNumber>> {
    let mut numbers = Vec::new();
    for guard in after_two(view, MEMBER, room.bits(), None) {
        let bytes = guard.value().map_err(failed("reading"))?;
        // Whose stay it is does not matter here.
        let (stay, number) = row::decode_member(UserId::from_bits(0), &bytes)?;
        if stay.covers(seq) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

#[async_trait]
impl MemberReader for MetadataStore {
    async fn membership(&self, room: RoomId, user: UserId) -> PortResult<Option<Membership>> {
        membership(&self.rows.view(), room, user)
    }

    async fn members(
        &self,
        room: RoomId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortResult<Vec<Membership>> {
        let mut found = Vec::new();
        for guard in after_two(&self.rows.view(), MEMBER, room.bits(), after.map(UserId::bits)) {
            if found.len() >= limit {
                break;
            }
            let (key, bytes) = View::pair(guard)?;
            let (stay, _) = row::decode_member(layout::last_user(&key)?, &bytes)?;
            if stay.is_current() {
                found.push(stay);
            }
        }
        Ok(found)
    }

    async fn numbers_at(&self, room: RoomId, seq: Seq) -> PortResult<Vec<UserNumber>> {
        let rows = Arc::clone(&self.rows);
        let read = move || numbers_at(&rows.view(), room, seq);
        self.rows.blocking("reading members", read).await
    }

    async fn rooms_of(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> PortResult<Vec<(RoomId, Membership)>> {
        let rows = after_two(&self.rows.view(), STAY, user.bits(), after.map(RoomId::bits));
        let read = |guard| {
            let (key, bytes) = View::pair(guard)?;
            let (stay, _) = row::decode_member(user, &bytes)?;
            Ok((layout::last_room(&key)?, stay))
        };
        rows.take(limit).map(read).collect()
    }

    async fn owners(&self, room: RoomId) -> PortResult<usize> {
        let owners = after_two(&self.rows.view(), OWNER, room.bits(), None).take(2);
        owners
            .map(|guard| guard.key().map_err(failed("reading")))
            .try_fold(0, |count, key| key.map(|_| count + 1))
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
        let rows = Arc::clone(&self.rows);
        let write = move || metadata_write::write(&rows, &commit);
        self.rows.blocking("committing metadata", write).await
    }

    async fn advance(&self, partition: Partition, applied: Applied) -> PortResult<()> {
        self.rows.progress.advance(partition, applied);
        Ok(())
    }
}
