//! The metadata store: its commits, which keep the indexes.

use std::collections::HashMap;

use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::room::{Room, RoomType, Visibility};
use klatch_domain::{RoomId, UserId};
use klatch_ports::metadata::{MetadataCommit, UserNumber};
use klatch_ports::{ErrorKind, PortError, PortResult};

use super::layout::{
    MEMBER, NEXT_NUMBER, NUMBER, OWNER, PUBLIC, ROOM, ROOM_EXTERNAL, STAY, USER, USER_EXTERNAL,
};
use super::staged::{Staged, mark};
use super::{Rows, View, layout, metadata, row};

/// Commits all rows and the position, or nothing.
pub(super) fn write(rows: &Rows, commit: &MetadataCommit) -> PortResult<()> {
    let _writing = rows.writing.lock();
    if rows.progress.is_repeat(commit.partition, commit.applied) {
        return Ok(());
    }
    let mut writer = Writer {
        view: rows.own_view(),
        staged: Staged::with_capacity(3 * commit.members.len() + 2 * commit.users.len()),
        bytes: Vec::new(),
        numbers: HashMap::new(),
        next: None,
    };
    for user in &commit.named {
        writer.number(*user)?;
    }
    // Of several rows about one thing the last is the newest; the indexes follow it alone.
    for (user, external) in &commit.users {
        writer.number(user.id)?;
        row::encode_user(user, &mut writer.bytes);
        writer.staged.put(&layout::one(USER, user.id.bits()), &writer.bytes);
        writer.external(USER_EXTERNAL, *external, user.id.bits());
    }
    for (room, external) in &commit.rooms {
        writer.external(ROOM_EXTERNAL, *external, room.id.bits());
    }
    let rooms: HashMap<RoomId, &Room> =
        commit.rooms.iter().map(|(room, _)| (room.id, room)).collect();
    for room in rooms.into_values() {
        writer.room(room)?;
    }
    let mut stays: HashMap<(RoomId, UserId), &Membership> = HashMap::new();
    for (room, stay) in &commit.members {
        writer.number(stay.user)?;
        stays.insert((*room, stay.user), stay);
    }
    for ((room, _), stay) in stays {
        writer.member(room, stay)?;
    }
    if let Some(next) = writer.next {
        writer.staged.put(&[NEXT_NUMBER], &row::encode_number(next));
    }
    writer.staged.commit(rows, commit.partition, commit.applied)
}

struct Writer {
    view: View,
    staged: Staged,
    bytes: Vec<u8>,
    /// Numbers looked up or given during this commit.
    numbers: HashMap<UserId, UserNumber>,
    /// The next number, once one was given.
    next: Option<u32>,
}

impl Writer {
    /// The user's number, given now if there was none.
    fn number(&mut self, user: UserId) -> PortResult<UserNumber> {
        if let Some(number) = self.numbers.get(&user) {
            return Ok(*number);
        }
        let number = match metadata::number(&self.view, user)? {
            Some(number) => number,
            None => self.new_number(user)?,
        };
        self.numbers.insert(user, number);
        Ok(number)
    }

    fn new_number(&mut self, user: UserId) -> PortResult<UserNumber> {
        let next = match (self.next, self.view.get(&[NEXT_NUMBER])?) {
            (Some(next), _) => next,
            (None, Some(bytes)) => row::decode_number(&bytes)?,
            (None, None) => 0,
        };
        let full = || PortError::new(ErrorKind::Full, "fjall", "giving a number to a user");
        self.next = Some(next.checked_add(1).ok_or_else(full)?);
        self.staged.put(&layout::one(NUMBER, user.bits()), &row::encode_number(next));
        Ok(UserNumber(next))
    }

    fn external(&mut self, kind: u8, external: Option<u128>, id: u128) {
        if let Some(external) = external {
            self.staged.put(&layout::one(kind, external), &id.to_be_bytes());
        }
    }

    fn room(&mut self, room: &Room) -> PortResult<()> {
        row::encode_room(room, &mut self.bytes);
        self.staged.put(&layout::one(ROOM, room.id.bits()), &self.bytes);
        let public = room.kind == RoomType::Channel
            && room.visibility == Visibility::Public
            && !room.deleted;
        let key = layout::one(PUBLIC, room.id.bits());
        mark(&mut self.staged, &key, public, self.view.has(&key)?);
        Ok(())
    }

    fn member(&mut self, room: RoomId, stay: &Membership) -> PortResult<()> {
        let number = self.number(stay.user)?;
        row::encode_member(stay, number, &mut self.bytes);
        let (room, user) = (room.bits(), stay.user.bits());
        self.staged.put(&layout::two(MEMBER, room, user), &self.bytes);
        let of_user = layout::two(STAY, user, room);
        if stay.is_current() {
            self.staged.put(&of_user, &self.bytes);
        } else {
            self.staged.remove(&of_user);
        }
        let owner = stay.is_current() && stay.role == MemberRole::Owner;
        let key = layout::two(OWNER, room, user);
        mark(&mut self.staged, &key, owner, self.view.has(&key)?);
        Ok(())
    }
}
