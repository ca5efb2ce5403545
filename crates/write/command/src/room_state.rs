//! What the sequencer remembers of a room: its state at the head of the log.

use std::collections::HashMap;

use klatch_domain::event::{Change, TimelineEvent};
use klatch_domain::member::Membership;
use klatch_domain::room::{Room, RoomHead};
use klatch_domain::{Seq, UserId};
use klatch_ports::Offset;

use crate::wish::stay;

/// Memberships read from the store that a room keeps in memory, at most.
const READ_MEMBERS_MAX: usize = 4096;

/// A room at the head of the log. All changes of the room pass through its holder, so it stays
/// exact until an append fails; then it is thrown away.
#[derive(Debug)]
pub(crate) struct RoomState {
    pub(crate) room: Room,
    pub(crate) head: RoomHead,
    /// Offset of the newest event; what the next append expects.
    pub(crate) head_offset: Option<Offset>,
    /// Stays as the store had them, when no change here is newer.
    read: HashMap<UserId, Option<Membership>>,
    /// Stays changed since the room was loaded, with the event that changed them. Newer than the
    /// store's until its room row has that seq.
    changed: HashMap<UserId, (Membership, Seq)>,
}

impl RoomState {
    pub(crate) fn new(room: Room, head: RoomHead, head_offset: Option<Offset>) -> Self {
        Self { room, head, head_offset, read: HashMap::new(), changed: HashMap::new() }
    }

    /// The user's latest stay; the outer `None` when it must be read first.
    #[expect(clippy::option_option, reason = "not read yet, and read but never a member, differ")]
    pub(crate) fn member(&self, user: UserId) -> Option<Option<&Membership>> {
        if let Some((membership, _)) = self.changed.get(&user) {
            return Some(Some(membership));
        }
        self.read.get(&user).map(Option::as_ref)
    }

    /// Remembers what the store says. A change made here meanwhile stands above it.
    pub(crate) fn remember(&mut self, user: UserId, membership: Option<Membership>) {
        if self.read.len() >= READ_MEMBERS_MAX {
            self.read.clear();
        }
        self.read.insert(user, membership);
    }

    /// Forgets changes that the store has by now: its room row carries `changed_seq`.
    pub(crate) fn settle(&mut self, changed_seq: Seq) {
        self.changed.retain(|_, (_, seq)| *seq > changed_seq);
    }

    /// How many changed stays are remembered.
    pub(crate) fn unsettled(&self) -> usize {
        self.changed.len()
    }

    /// Takes in an event that was decided on this state.
    pub(crate) fn apply(&mut self, event: &TimelineEvent) {
        let (seq, at) = (event.seq, event.at);
        self.head.seq = seq;
        self.head.time = at;
        match &event.change {
            Change::MessageSent(sent) => {
                self.head.ordinal = sent.ordinal.unwrap_or(self.head.ordinal);
                self.head.active_at = at;
            }
            Change::RoomUpdated { texts, visibility } => {
                self.room.texts = texts.clone();
                self.room.visibility = *visibility;
            }
            Change::RoomArchived { archived } => self.room.archived = *archived,
            Change::RoomDeleted => self.room.deleted = true,
            Change::MemberJoined { user, role, read_floor } => {
                self.room.member_count += 1;
                self.set(stay(*user, *role, at, seq, *read_floor), seq);
            }
            Change::MemberLeft { user } => {
                self.room.member_count = self.room.member_count.saturating_sub(1);
                if let Some(mut membership) = self.current(*user) {
                    membership.left_seq = Some(seq);
                    self.set(membership, seq);
                }
            }
            Change::MemberRoleChanged { user, role } => {
                if let Some(mut membership) = self.current(*user) {
                    membership.role = *role;
                    self.set(membership, seq);
                }
            }
            Change::MessageEdited { .. }
            | Change::MessageDeleted { .. }
            | Change::RoomCreated(_) => {}
        }
    }

    fn current(&self, user: UserId) -> Option<Membership> {
        self.member(user).flatten().cloned()
    }

    fn set(&mut self, membership: Membership, seq: Seq) {
        self.changed.insert(membership.user, (membership, seq));
    }
}
