//! What an event makes of a room's end, its row and its members: one fold for every role, so that
//! the state a command is decided on and the rows that readers see cannot drift apart.
//!
//! All of it gives absolute values and takes events in the order of their seq. Who folds over rows
//! that may be ahead of the event skips it first: [`RoomHead::after`] does so by itself, rows of
//! rooms and members go by [`Room::changed_seq`].

use crate::event::{Change, TimelineEvent};
use crate::id::UserId;
use crate::member::Membership;
use crate::message::Seq;
use crate::room::{Room, RoomHead};

impl RoomHead {
    /// The room's end after `event`; unchanged when the event was taken in before.
    #[must_use]
    pub fn after(self, event: &TimelineEvent) -> Self {
        if event.seq <= self.seq {
            return self;
        }
        let moved = Self { seq: event.seq, time: event.at, ..self };
        match &event.change {
            Change::MessageSent(sent) => {
                Self { ordinal: sent.ordinal.unwrap_or(self.ordinal), active_at: event.at, ..moved }
            }
            Change::RoomCreated(_) => Self { active_at: event.at, ..moved },
            Change::MessageEdited { .. }
            | Change::MessageDeleted { .. }
            | Change::RoomUpdated { .. }
            | Change::RoomArchived { .. }
            | Change::RoomDeleted
            | Change::MemberJoined { .. }
            | Change::MemberLeft { .. }
            | Change::MemberRoleChanged { .. } => moved,
        }
    }
}

impl Room {
    /// The room that `event` begins, and its first members; `None` for any other event.
    ///
    /// A user named twice is a member once, in the greater role.
    pub fn begun_by(event: &TimelineEvent) -> Option<(Self, Vec<Membership>)> {
        let Change::RoomCreated(created) = &event.change else { return None };
        let mut named = created.members.clone();
        named.sort_unstable_by_key(|(user, role)| (*user, std::cmp::Reverse(*role)));
        named.dedup_by_key(|(user, _)| *user);
        let members: Vec<_> = named
            .into_iter()
            .map(|(user, role)| Membership {
                user,
                role,
                joined_at: event.at,
                joined_seq: event.seq,
                left_seq: None,
                read_floor: 0,
            })
            .collect();
        let room = Self {
            id: event.room,
            kind: created.kind,
            visibility: created.visibility,
            texts: created.texts.clone(),
            created_by: event.actor,
            created_at: event.at,
            archived: false,
            deleted: false,
            member_count: members.len() as u64,
            changed_seq: event.seq,
        };
        Some((room, members))
    }

    /// Takes in a room event that came after the room's beginning. Messages change nothing here;
    /// a member event goes through [`Room::take_in_member`].
    pub fn take_in(&mut self, event: &TimelineEvent) {
        match &event.change {
            Change::RoomUpdated { texts, visibility } => {
                self.texts.clone_from(texts);
                self.visibility = *visibility;
            }
            Change::RoomArchived { archived } => self.archived = *archived,
            Change::RoomDeleted => self.deleted = true,
            Change::MessageSent(_)
            | Change::MessageEdited { .. }
            | Change::MessageDeleted { .. }
            | Change::RoomCreated(_)
            | Change::MemberJoined { .. }
            | Change::MemberLeft { .. }
            | Change::MemberRoleChanged { .. } => return,
        }
        self.changed_seq = event.seq;
    }

    /// Takes in a member event, given the user's latest stay before it. The stay after it, if that
    /// is another one. No effect for events of other kinds.
    pub fn take_in_member(
        &mut self,
        before: Option<&Membership>,
        event: &TimelineEvent,
    ) -> Option<Membership> {
        member_of(&event.change)?;
        self.changed_seq = event.seq;
        let after = stay_after(before, event)?;
        match (before.is_some_and(Membership::is_current), after.is_current()) {
            (false, true) => self.member_count += 1,
            (true, false) => self.member_count = self.member_count.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        Some(after)
    }
}

/// Whose membership a change is about, if it is about one. [`Change::RoomCreated`] names many and
/// is not one of them.
pub fn member_of(change: &Change) -> Option<UserId> {
    match change {
        Change::MemberJoined { user, .. }
        | Change::MemberLeft { user }
        | Change::MemberRoleChanged { user, .. } => Some(*user),
        Change::MessageSent(_)
        | Change::MessageEdited { .. }
        | Change::MessageDeleted { .. }
        | Change::RoomCreated(_)
        | Change::RoomUpdated { .. }
        | Change::RoomArchived { .. }
        | Change::RoomDeleted => None,
    }
}

/// The stay a member event leaves its user with; `None` when it changes nothing. Joining while in
/// the room changes the role alone; coming back begins a new stay.
fn stay_after(before: Option<&Membership>, event: &TimelineEvent) -> Option<Membership> {
    let current = before.filter(|stay| stay.is_current());
    let left = |seq: Seq| current.map(|stay| Membership { left_seq: Some(seq), ..stay.clone() });
    match (&event.change, current) {
        (Change::MemberJoined { user, role, read_floor }, None) => Some(Membership {
            user: *user,
            role: *role,
            joined_at: event.at,
            joined_seq: event.seq,
            left_seq: None,
            read_floor: read_floor.0,
        }),
        (
            Change::MemberJoined { role, .. } | Change::MemberRoleChanged { role, .. },
            Some(stay),
        ) => Some(Membership { role: *role, ..stay.clone() }),
        (Change::MemberLeft { .. }, _) => left(event.seq),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::RoomCreated;
    use crate::id::RoomId;
    use crate::member::MemberRole;
    use crate::message::Ordinal;
    use crate::room::{RoomTexts, RoomType, Visibility};

    const ANN: UserId = UserId::from_bits(1);
    const BEN: UserId = UserId::from_bits(2);

    fn event(seq: u64, change: Change) -> TimelineEvent {
        let (room, at) = (RoomId::from_bits(7), Timestamp(1_000 + seq));
        TimelineEvent { room, seq: Seq(seq), at, actor: ANN, change }
    }

    fn begin(members: Vec<(UserId, MemberRole)>) -> (Room, Vec<Membership>) {
        let created = RoomCreated {
            kind: RoomType::Channel,
            visibility: Visibility::Public,
            texts: RoomTexts::default(),
            members,
            external: None,
        };
        Room::begun_by(&event(1, Change::RoomCreated(created))).unwrap()
    }

    fn joined(user: UserId) -> Change {
        Change::MemberJoined { user, role: MemberRole::Member, read_floor: Ordinal(3) }
    }

    #[test]
    fn a_user_named_twice_at_the_beginning_is_one_member_in_the_greater_role() {
        let (room, members) = begin(vec![
            (ANN, MemberRole::Member),
            (BEN, MemberRole::Member),
            (ANN, MemberRole::Owner),
        ]);
        assert_eq!(room.member_count, 2);
        let roles: Vec<_> = members.iter().map(|m| (m.user, m.role)).collect();
        assert_eq!(roles, [(ANN, MemberRole::Owner), (BEN, MemberRole::Member)]);
    }

    #[test]
    fn coming_back_begins_a_new_stay_and_leaving_twice_counts_once() {
        let (mut room, _) = begin(vec![(ANN, MemberRole::Owner)]);
        let first = room.take_in_member(None, &event(2, joined(BEN))).unwrap();
        assert_eq!((room.member_count, first.joined_seq), (2, Seq(2)));
        let gone = event(3, Change::MemberLeft { user: BEN });
        let left = room.take_in_member(Some(&first), &gone).unwrap();
        assert_eq!((room.member_count, left.left_seq), (1, Some(Seq(3))));
        let again = event(4, Change::MemberLeft { user: BEN });
        assert_eq!(room.take_in_member(Some(&left), &again), None);
        assert_eq!((room.member_count, room.changed_seq), (1, Seq(4)));
        let back = room.take_in_member(Some(&left), &event(5, joined(BEN))).unwrap();
        assert_eq!((back.joined_seq, back.left_seq, room.member_count), (Seq(5), None, 2));
    }

    #[test]
    fn joining_while_in_the_room_changes_the_role_alone() {
        let (mut room, members) = begin(vec![(ANN, MemberRole::Owner)]);
        let stay = room.take_in_member(members.first(), &event(2, joined(ANN))).unwrap();
        assert_eq!((stay.role, stay.joined_seq), (MemberRole::Member, Seq(1)));
        assert_eq!(room.member_count, 1);
    }

    #[test]
    fn a_head_does_not_go_back() {
        let head = RoomHead { seq: Seq(9), time: Timestamp(2_000), ..RoomHead::default() };
        assert_eq!(head.after(&event(9, Change::RoomDeleted)), head);
        let next = head.after(&event(10, Change::RoomDeleted));
        assert_eq!((next.seq, next.time), (Seq(10), Timestamp(1_010)));
    }
}
