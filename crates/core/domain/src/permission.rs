//! Who may do what, in which room and on the server: one table, used by every role.

use crate::id::UserId;
use crate::member::{MemberRole, Membership};
use crate::rejection::Rejection;
use crate::room::{Room, RoomType, Visibility};
use crate::user::ServerRole;

/// Who asks: identity from a verified token, server role from the server's own data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// Role on this server; never taken from a token.
    pub role: ServerRole,
}

/// Everything that can be done in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// See the room, its members and its history.
    Read,
    /// Get its events live.
    Receive,
    /// Send messages and replies.
    Send,
    /// Change one's own message.
    EditOwn,
    /// Take back one's own message.
    DeleteOwn,
    /// Take back another's message.
    DeleteAny,
    /// Change name, texts, visibility.
    Update,
    /// Close or open for writing.
    Archive,
    /// Remove the room.
    DeleteRoom,
    /// Come in by oneself.
    Join,
    /// Go.
    Leave,
    /// Bring others in as plain members.
    Invite,
    /// Make a link that brings others in, see those there are, and take them back.
    InviteByLink,
    /// Take out a member of this role.
    Remove(MemberRole),
    /// Change a member from the first role to the second.
    ChangeRole(MemberRole, MemberRole),
}

/// Decides. `membership` is the actor's latest stay, current or past.
///
/// A room that may not be seen answers like one that does not exist; this is checked first, so no
/// other refusal can give it away.
///
/// # Errors
/// [`Rejection::RoomNotFound`], [`Rejection::Forbidden`], [`Rejection::RoomArchived`],
/// [`Rejection::WrongRoomType`] or [`Rejection::AlreadyMember`].
pub fn check(
    actor: Actor,
    room: &Room,
    membership: Option<&Membership>,
    action: Action,
) -> Result<(), Rejection> {
    let role = membership.filter(|m| m.is_current()).map(|m| m.role);
    let public = room.kind == RoomType::Channel && room.visibility == Visibility::Public;
    let sees = role.is_some() || (public && actor.role != ServerRole::Guest);
    if room.deleted || !sees {
        return Err(Rejection::RoomNotFound);
    }
    if room.archived && !allowed_in_archive(action) {
        return Err(Rejection::RoomArchived);
    }
    if room.kind == RoomType::Direct && changes_membership(action) {
        return Err(Rejection::WrongRoomType);
    }
    match (action, role) {
        (Action::Read, _) | (Action::Join, None) => Ok(()),
        (Action::Join, Some(_)) => Err(Rejection::AlreadyMember),
        (action, Some(role)) if member_may(room.kind, role, action) => Ok(()),
        (_, None | Some(_)) => Err(Rejection::Forbidden),
    }
}

/// Everything that can be done on the server, outside of any room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerAction {
    /// Make a room.
    CreateRoom,
    /// Find people one shares no room with.
    BrowsePeople,
    /// Make invitations to a room one runs.
    InviteToRoom,
    /// Make invitations to the server, see all invitations and take them back.
    InviteToServer,
    /// See accounts; change roles, lock people out, print links that set a new password.
    ManageAccounts,
    /// Make bots, and tokens for others.
    ManageBots,
    /// Bring in rooms and messages with their own authors and times.
    Import,
    /// Read what administrators did.
    ReadAudit,
    /// Change the keys that sign tokens.
    RotateKeys,
}

/// Decides what needs no room.
///
/// # Errors
/// [`Rejection::AdminOnly`], or [`Rejection::Forbidden`] to guests.
pub fn check_server(actor: Actor, action: ServerAction) -> Result<(), Rejection> {
    let (least, refusal) = match action {
        ServerAction::CreateRoom | ServerAction::BrowsePeople | ServerAction::InviteToRoom => {
            (ServerRole::Member, Rejection::Forbidden)
        }
        ServerAction::InviteToServer
        | ServerAction::ManageAccounts
        | ServerAction::ManageBots
        | ServerAction::Import
        | ServerAction::ReadAudit
        | ServerAction::RotateKeys => (ServerRole::Admin, Rejection::AdminOnly),
    };
    if actor.role >= least { Ok(()) } else { Err(refusal) }
}

/// Whether the asker may know whether `other` is there. Guests know those in whose rooms they are
/// now, and themselves; everyone else knows everyone, as with profiles.
pub fn sees_presence(actor: Actor, other: UserId, share_a_room: bool) -> bool {
    let anyone = check_server(actor, ServerAction::BrowsePeople).is_ok();
    anyone || share_a_room || actor.user == other
}

fn allowed_in_archive(action: Action) -> bool {
    matches!(
        action,
        Action::Read | Action::Receive | Action::Leave | Action::Archive | Action::DeleteRoom
    )
}

fn changes_membership(action: Action) -> bool {
    matches!(
        action,
        Action::Join
            | Action::Leave
            | Action::Invite
            | Action::InviteByLink
            | Action::Remove(_)
            | Action::ChangeRole(..)
            | Action::DeleteRoom
            | Action::Archive
    )
}

fn member_may(kind: RoomType, role: MemberRole, action: Action) -> bool {
    let at_least = |least: MemberRole| role >= least;
    match action {
        // A group belongs to all in it; a channel to those who run it, but anyone may bring people.
        Action::Read
        | Action::Receive
        | Action::Send
        | Action::EditOwn
        | Action::DeleteOwn
        | Action::Join
        | Action::Leave
        | Action::Invite => true,
        Action::Update => kind != RoomType::Channel || at_least(MemberRole::Admin),
        Action::DeleteAny | Action::Archive | Action::InviteByLink => at_least(MemberRole::Admin),
        Action::DeleteRoom => at_least(MemberRole::Owner),
        Action::Remove(target) => {
            at_least(MemberRole::Admin) && role > target || at_least(MemberRole::Owner)
        }
        Action::ChangeRole(from, to) => {
            at_least(MemberRole::Owner) || (at_least(MemberRole::Admin) && from < role && to < role)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::RoomId;
    use crate::message::Seq;
    use crate::room::RoomTexts;

    fn room(kind: RoomType, visibility: Visibility) -> Room {
        Room {
            id: RoomId::from_bits(1),
            kind,
            visibility,
            texts: RoomTexts::default(),
            created_by: UserId::from_bits(1),
            created_at: Timestamp(0),
            archived: false,
            deleted: false,
            member_count: 1,
            changed_seq: Seq(1),
        }
    }

    fn stay(role: MemberRole, left: Option<u64>) -> Membership {
        Membership {
            user: UserId::from_bits(2),
            role,
            joined_at: Timestamp(0),
            joined_seq: Seq(1),
            left_seq: left.map(Seq),
            read_floor: 0,
        }
    }

    const PERSON: Actor = Actor { user: UserId::from_bits(2), role: ServerRole::Member };
    const ACTIONS: [Action; 14] = [
        Action::Read,
        Action::Receive,
        Action::Send,
        Action::EditOwn,
        Action::DeleteOwn,
        Action::DeleteAny,
        Action::Update,
        Action::Archive,
        Action::DeleteRoom,
        Action::Leave,
        Action::Invite,
        Action::InviteByLink,
        Action::Remove(MemberRole::Member),
        Action::ChangeRole(MemberRole::Member, MemberRole::Admin),
    ];

    #[test]
    fn a_private_room_gives_nothing_away_to_strangers_or_to_those_who_left() {
        let private = room(RoomType::Channel, Visibility::Private);
        let left = stay(MemberRole::Owner, Some(9));
        for action in ACTIONS.into_iter().chain([Action::Join]) {
            for membership in [None, Some(&left)] {
                let answer = check(PERSON, &private, membership, action);
                assert_eq!(answer, Err(Rejection::RoomNotFound), "{action:?}");
            }
        }
    }

    #[test]
    fn a_deleted_room_gives_nothing_away_even_to_its_owner() {
        let mut gone = room(RoomType::Channel, Visibility::Public);
        gone.deleted = true;
        gone.archived = true;
        let owner = stay(MemberRole::Owner, None);
        for action in ACTIONS {
            let answer = check(PERSON, &gone, Some(&owner), action);
            assert_eq!(answer, Err(Rejection::RoomNotFound));
        }
    }

    #[test]
    fn guests_see_the_presence_of_those_around_them_and_others_that_of_everyone() {
        let other = UserId::from_bits(3);
        let guest = Actor { role: ServerRole::Guest, ..PERSON };
        let seen = |actor| {
            [(other, false), (other, true), (PERSON.user, false)]
                .map(|(whom, together)| sees_presence(actor, whom, together))
        };
        assert_eq!(seen(guest), [false, true, true]);
        assert_eq!(seen(PERSON), [true; 3]);
        assert_eq!(seen(Actor { role: ServerRole::Admin, ..PERSON }), [true; 3]);
    }

    #[test]
    fn a_public_channel_may_be_read_and_joined_but_not_written_by_strangers() {
        let public = room(RoomType::Channel, Visibility::Public);
        assert_eq!(check(PERSON, &public, None, Action::Read), Ok(()));
        assert_eq!(check(PERSON, &public, None, Action::Join), Ok(()));
        for action in ACTIONS.into_iter().filter(|a| *a != Action::Read) {
            assert_eq!(check(PERSON, &public, None, action), Err(Rejection::Forbidden));
        }
        let guest = Actor { role: ServerRole::Guest, ..PERSON };
        assert_eq!(check(guest, &public, None, Action::Read), Err(Rejection::RoomNotFound));
    }

    #[test]
    fn more_role_never_means_less_right() {
        for kind in [RoomType::Direct, RoomType::Group, RoomType::Channel] {
            for action in ACTIONS {
                let may = |role| {
                    let stay = stay(role, None);
                    check(PERSON, &room(kind, Visibility::Private), Some(&stay), action).is_ok()
                };
                let ladder =
                    [may(MemberRole::Member), may(MemberRole::Admin), may(MemberRole::Owner)];
                assert!(ladder.is_sorted(), "{kind:?} {action:?} {ladder:?}");
            }
        }
    }

    #[test]
    fn admins_cannot_touch_owners_or_make_them() {
        let channel = room(RoomType::Channel, Visibility::Private);
        let admin = stay(MemberRole::Admin, None);
        for action in [
            Action::Remove(MemberRole::Owner),
            Action::Remove(MemberRole::Admin),
            Action::ChangeRole(MemberRole::Owner, MemberRole::Member),
            Action::ChangeRole(MemberRole::Member, MemberRole::Owner),
            Action::DeleteRoom,
        ] {
            let answer = check(PERSON, &channel, Some(&admin), action);
            assert_eq!(answer, Err(Rejection::Forbidden), "{action:?}");
        }
    }

    #[test]
    fn the_server_is_run_by_administrators_and_guests_only_go_where_they_are_brought() {
        let may = |role, action| check_server(Actor { role, ..PERSON }, action);
        for action in
            [ServerAction::CreateRoom, ServerAction::BrowsePeople, ServerAction::InviteToRoom]
        {
            assert_eq!(may(ServerRole::Guest, action), Err(Rejection::Forbidden), "{action:?}");
            assert_eq!(may(ServerRole::Member, action), Ok(()), "{action:?}");
            assert_eq!(may(ServerRole::Admin, action), Ok(()), "{action:?}");
        }
        for action in [
            ServerAction::InviteToServer,
            ServerAction::ManageAccounts,
            ServerAction::ManageBots,
            ServerAction::Import,
            ServerAction::ReadAudit,
            ServerAction::RotateKeys,
        ] {
            for role in [ServerRole::Guest, ServerRole::Member] {
                assert_eq!(may(role, action), Err(Rejection::AdminOnly), "{action:?}");
            }
            assert_eq!(may(ServerRole::Admin, action), Ok(()), "{action:?}");
        }
    }

    #[test]
    fn an_archived_room_is_read_only() {
        let mut archived = room(RoomType::Channel, Visibility::Private);
        archived.archived = true;
        let owner = stay(MemberRole::Owner, None);
        let answer = |action| check(PERSON, &archived, Some(&owner), action);
        assert_eq!(answer(Action::Send), Err(Rejection::RoomArchived));
        assert_eq!(answer(Action::Invite), Err(Rejection::RoomArchived));
        assert_eq!(answer(Action::Read), Ok(()));
        assert_eq!(answer(Action::Archive), Ok(()));
        assert_eq!(answer(Action::Leave), Ok(()));
    }
}
