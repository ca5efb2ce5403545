//! User, room and member events folded into metadata rows. Pure.

use std::collections::BTreeSet;

use klatch_domain::event::{Change, TimelineEvent, UserChange, UserEvent};
use klatch_domain::fold::member_of;
use klatch_domain::member::Membership;
use klatch_domain::room::Room;
use klatch_domain::user::User;
use klatch_domain::{Event, RoomId, UserId};
use klatch_pump::ApplyError;

use crate::decode::Located;
use crate::rows::Rows;

/// Rows a batch has to know before it can be folded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) users: BTreeSet<UserId>,
    pub(crate) rooms: BTreeSet<RoomId>,
    pub(crate) members: BTreeSet<(RoomId, UserId)>,
}

/// Rows while a batch is folded over them. Users and rooms carry the hash of their external id
/// when this batch brings it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetaRows {
    pub(crate) users: Rows<UserId, (User, Option<u128>)>,
    pub(crate) rooms: Rows<RoomId, (Room, Option<u128>)>,
    pub(crate) members: Rows<(RoomId, UserId), Membership>,
    /// Users and members in the order of the log.
    pub(crate) named: Vec<UserId>,
}

/// The rows that `events` are about.
pub(crate) fn needs(events: &[Located]) -> Needs {
    let mut needs = Needs::default();
    for Located { event, .. } in events {
        match event {
            Event::User(event) => {
                needs.users.insert(event.user);
            }
            Event::Timeline(event) => {
                needs.rooms.insert(event.room);
                needs.members.extend(member_of(&event.change).map(|user| (event.room, user)));
            }
        }
    }
    needs
}

/// Folds `events` over rows that hold what [`needs`] named.
pub(crate) fn fold(mut rows: MetaRows, events: &[Located]) -> Result<MetaRows, ApplyError> {
    for located in events {
        let taken_in = match &located.event {
            Event::User(event) => rows.take_in_user(event),
            Event::Timeline(event) => rows.take_in_timeline(event),
        };
        taken_in.map_err(|reason| located.refuse(reason))?;
    }
    Ok(rows)
}

impl MetaRows {
    fn take_in_user(&mut self, event: &UserEvent) -> Result<(), &'static str> {
        let known = self.users.get(&event.user);
        let row = match (&event.change, known) {
            // Registering is appended again when a crash came between claim and append: what
            // happened since must not be undone.
            (UserChange::Registered { .. }, Some(_)) => return Ok(()),
            (UserChange::Registered { profile, bot, role, external }, None) => {
                let (id, created_at) = (event.user, event.at);
                let profile = profile.clone();
                (User { id, bot: *bot, role: *role, created_at, profile }, *external)
            }
            (
                UserChange::ProfileChanged { .. }
                | UserChange::RoleChanged { .. }
                | UserChange::Erased,
                None,
            ) => return Err("it changes a user who is not there"),
            // Nothing that was appended at the same moment brings anything back.
            (_, Some((user, _))) if user.is_erased() => return Ok(()),
            (UserChange::ProfileChanged { profile }, Some((user, external))) => {
                (User { profile: profile.clone(), ..user.clone() }, *external)
            }
            (UserChange::RoleChanged { role }, Some((user, external))) => {
                (User { role: *role, ..user.clone() }, *external)
            }
            (UserChange::Erased, Some((user, external))) => (user.clone().erased(), *external),
        };
        self.named.push(event.user);
        self.users.put(event.user, row);
        Ok(())
    }

    fn take_in_timeline(&mut self, event: &TimelineEvent) -> Result<(), &'static str> {
        let known = self.rooms.get(&event.room);
        if known.is_some_and(|(room, _)| event.seq <= room.changed_seq) {
            return Ok(());
        }
        if let Change::RoomCreated(created) = &event.change {
            if known.is_some() {
                return Err("it begins a room that is there already");
            }
            let (room, members) = Room::begun_by(event).ok_or("it does not begin a room")?;
            for member in members {
                self.named.push(member.user);
                self.members.put((room.id, member.user), member);
            }
            self.rooms.put(room.id, (room, created.external));
            return Ok(());
        }
        let (mut room, external) = known.cloned().ok_or("it changes a room that is not there")?;
        match member_of(&event.change) {
            None => room.take_in(event),
            Some(user) => {
                let key = (event.room, user);
                if let Some(stay) = room.take_in_member(self.members.get(&key), event) {
                    self.named.push(user);
                    self.members.put(key, stay);
                }
            }
        }
        self.rooms.put(event.room, (room, external));
        Ok(())
    }
}
