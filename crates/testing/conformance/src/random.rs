//! Random commits, and comparison of every read of two stores.

use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::room::{Room, RoomType, Visibility};
use klatch_domain::{Message, RoomId, Seq, UserId};
use klatch_ports::Offset;
use klatch_ports::activity::{ActivityPlace, ActivityReader};
use klatch_ports::messages::{MessageCommit, Range, StayChange};
use klatch_ports::metadata::MetadataCommit;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sample::{P0, at, head, member, message, room, room_id, sealed, time, user, user_id};
use crate::{messages, metadata};

/// Rooms and users of random commits have numbers below this.
pub const IDS: u64 = 4;
/// Seqs of random commits are 1 up to this.
pub const SEQS: u64 = 24;
const EXTERNALS: u128 = 6;

/// Something a writer does.
#[derive(Clone, Debug)]
pub enum Step<C> {
    /// Commits.
    Commit(C),
    /// Moves the mark.
    Advance(u64),
    /// Closes the store and opens it again, where the adapter can.
    Reopen,
}

fn steps<C: Clone + std::fmt::Debug>(
    commit: impl Strategy<Value = C>,
    number: fn(&mut C, u64),
) -> impl Strategy<Value = Vec<Step<C>>> {
    let step = prop_oneof![
        8 => commit.prop_map(Step::Commit),
        1 => Just(Step::Advance(0)),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..12).prop_map(move |mut steps| {
        for (offset, step) in (1..).zip(&mut steps) {
            match step {
                Step::Commit(commit) => number(commit, offset),
                Step::Advance(mark) => *mark = offset,
                Step::Reopen => {}
            }
        }
        steps
    })
}

/// What a message-writer may do.
pub fn message_steps() -> impl Strategy<Value = Vec<Step<MessageCommit>>> {
    let place = || (0..IDS, 1..=SEQS);
    let messages = vec((place(), any::<[bool; 3]>()), 0..12);
    let heads = vec(place(), 0..4);
    let externals = vec((0..EXTERNALS, place()), 0..3);
    let stays = vec((0..IDS, 0..IDS, any::<bool>()), 0..4);
    let commit =
        (messages, heads, externals, stays).prop_map(|(messages, heads, externals, stays)| {
            let messages = messages.into_iter().map(|((n, seq), how)| any_message(n, seq, how));
            let heads = heads.into_iter().map(|(n, seq)| (room_id(n), head(seq, seq / 2, seq)));
            let externals =
                externals.into_iter().map(|(hash, (n, seq))| (hash, room_id(n), Seq(seq)));
            MessageCommit {
                partition: P0,
                messages: messages.collect(),
                heads: heads.collect(),
                externals: externals.collect(),
                stays: stays
                    .into_iter()
                    .map(|(n, user, inside)| any_stay(n, user, inside))
                    .collect(),
                ..MessageCommit::default()
            }
        });
    steps(commit, |commit, offset| {
        commit.applied = at(offset);
        let active = commit.heads.iter().map(|(_, stored)| stored.head.active_at).max();
        let told = |(room, _): &(RoomId, _)| (Offset(offset), *room, active.unwrap_or_default());
        commit.events = commit.heads.last().map(told).into_iter().collect();
        commit.stays.iter_mut().for_each(|stay| stay.offset = Offset(offset));
    })
}

fn any_stay(n: u64, user: u64, inside: bool) -> StayChange {
    StayChange { room: room_id(n), user: user_id(user), offset: Offset::ZERO, inside }
}

fn any_message(n: u64, seq: u64, [edited, deleted, reply]: [bool; 3]) -> Message {
    // What a message is never changes: every third is of a thread.
    let main = !(n + seq).is_multiple_of(3);
    let mut row = message(room_id(n), seq, main.then_some(seq));
    row.reply_to = reply.then_some(row.id);
    if edited {
        row.edit(&sealed(row.sender, seq * 31), time(seq + 1), Seq(seq + 1));
    }
    if deleted {
        row.delete(time(seq + 2), Seq(seq + 2));
    }
    row
}

/// What a meta-writer may do.
pub fn metadata_steps() -> impl Strategy<Value = Vec<Step<MetadataCommit>>> {
    let hash = || proptest::option::of(0..EXTERNALS);
    let users = vec((0..IDS, hash()), 0..4);
    let rooms = vec((0..IDS, any::<[bool; 4]>(), hash()), 0..4);
    let members = vec((0..IDS, 0..IDS, 1..=SEQS, any::<[bool; 3]>()), 0..8);
    let commit = (users, rooms, members).prop_map(|(users, rooms, members)| MetadataCommit {
        partition: P0,
        users: users.into_iter().map(|(n, hash)| (user(n), hash)).collect(),
        rooms: rooms.into_iter().map(|(n, how, hash)| (any_room(n, how), hash)).collect(),
        members: members
            .into_iter()
            .map(|(n, user, seq, how)| (room_id(n), any_member(user, seq, how)))
            .collect(),
        ..MetadataCommit::default()
    });
    steps(commit, |commit, offset| commit.applied = at(offset))
}

fn any_room(n: u64, [group, private, deleted, archived]: [bool; 4]) -> Room {
    Room {
        kind: if group { RoomType::Group } else { RoomType::Channel },
        visibility: if private { Visibility::Private } else { Visibility::Public },
        deleted,
        archived,
        ..room(n)
    }
}

fn any_member(n: u64, seq: u64, [gone, admin, owner]: [bool; 3]) -> Membership {
    let role = match (admin, owner) {
        (_, true) => MemberRole::Owner,
        (true, false) => MemberRole::Admin,
        (false, false) => MemberRole::Member,
    };
    Membership { role, left_seq: gone.then_some(Seq(seq + 3)), ..member(user_id(n), seq) }
}

/// Asserts that every read of both answers alike, over all ids random commits use.
pub async fn same_messages(
    left: &(impl messages::Store + ActivityReader),
    right: &(impl messages::Store + ActivityReader),
) {
    macro_rules! same {
        ($method:ident($($argument:expr),*)) => {
            assert_eq!(
                left.$method($($argument),*).await.expect("left"),
                right.$method($($argument),*).await.expect("right"),
                concat!(stringify!($method), " {:?}"), ($(&$argument),*,)
            )
        };
    }
    let rooms: Vec<RoomId> = (0..=IDS).map(room_id).collect();
    same!(heads(&rooms));
    for user in (0..=IDS).map(user_id) {
        same!(latest(user, None::<ActivityPlace>, 2));
        same!(latest(user, None::<ActivityPlace>, 50));
        for after in (0..=SEQS).map(Offset) {
            same_changes(left, right, user, after).await;
        }
    }
    for external in 0..EXTERNALS {
        same!(by_external(external));
    }
    for room in rooms {
        same!(head(room));
        same!(load_head(room));
        for seq in (0..=SEQS + 1).map(Seq) {
            same!(message(room, seq));
            same!(load(room, seq));
            for limit in [1, 3, 50] {
                same!(history(room, Range::Before(seq), limit));
                same!(history(room, Range::After(seq), limit));
            }
        }
        for limit in [0, 1, 5, 50] {
            same!(history(room, Range::Latest, limit));
        }
    }
}

/// Two rooms may have their newest event at one offset here; their order is open.
async fn same_changes(
    left: &impl ActivityReader,
    right: &impl ActivityReader,
    user: UserId,
    after: Offset,
) {
    let mut found = left.changed(user, P0, after, 50).await.expect("left");
    let mut others = right.changed(user, P0, after, 50).await.expect("right");
    for found in [&mut found, &mut others].into_iter().flatten() {
        found.sort_by_key(|changed| changed.room);
    }
    assert_eq!(found, others, "changed {user} {after}");
}

/// Asserts that every read of both answers alike, over all ids random commits use. Numbers are
/// compared too: both give them in the order users come.
pub async fn same_metadata(left: &impl metadata::Store, right: &impl metadata::Store) {
    macro_rules! same {
        ($method:ident($($argument:expr),*)) => {
            assert_eq!(
                left.$method($($argument),*).await.expect("left"),
                right.$method($($argument),*).await.expect("right"),
                concat!(stringify!($method), " {:?}"), ($(&$argument),*,)
            )
        };
    }
    let (rooms, users): (Vec<_>, Vec<_>) = (0..=IDS).map(|n| (room_id(n), user_id(n))).unzip();
    same!(rooms(&rooms));
    same!(users(&users));
    for external in 0..EXTERNALS {
        same!(user_by_external(external));
        same!(room_by_external(external));
    }
    for limit in [0, 1, 2, 50] {
        same!(list_users(None::<UserId>, limit));
        same!(public_rooms(None::<RoomId>, limit));
        for (room, user) in rooms.iter().zip(&users) {
            same!(list_users(Some(*user), limit));
            same!(public_rooms(Some(*room), limit));
            same!(members(*room, None::<UserId>, limit));
            same!(rooms_of(*user, None::<RoomId>, limit));
            for (other_room, other_user) in rooms.iter().zip(&users) {
                same!(members(*room, Some(*other_user), limit));
                same!(rooms_of(*user, Some(*other_room), limit));
            }
        }
    }
    for (room, user) in rooms.iter().zip(&users) {
        same!(user(*user));
        same!(load_user(*user));
        same!(number(*user));
        same!(room(*room));
        same!(load_room(*room));
        same!(owners(*room));
        for other in &users {
            same!(membership(*room, *other));
            same!(load_member(*room, *other));
        }
        for seq in (0..=SEQS + 4).map(Seq) {
            let mut numbers = left.numbers_at(*room, seq).await.expect("left");
            let mut others = right.numbers_at(*room, seq).await.expect("right");
            numbers.sort_unstable();
            others.sort_unstable();
            assert_eq!(numbers, others, "numbers_at {room} {seq}");
        }
    }
}
