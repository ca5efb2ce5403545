//! The message store as ordered maps: the oracle other adapters are compared with.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::room::RoomHead;
use klatch_domain::{Message, RoomId, Seq, Timestamp, UserId};
use klatch_ports::activity::{ActivityPlace, ActivityReader, ChangedRoom, Span, Spans};
use klatch_ports::messages::{
    Applied, MessageCommit, MessagePlace, MessageReader, MessageWriter, Range, StayChange,
    StoredHead,
};
use klatch_ports::{Offset, Partition, PortResult};
use parking_lot::Mutex;

use crate::progress::{Progress, is_repeat};

/// All messages, in memory. Gone with the process.
#[derive(Debug, Default)]
pub struct MessageStore {
    rows: Mutex<Rows>,
    progress: Progress,
}

#[derive(Debug, Default)]
struct Rows {
    committed: HashMap<Partition, Applied>,
    messages: BTreeMap<(RoomId, Seq), Message>,
    heads: HashMap<RoomId, StoredHead>,
    externals: HashMap<u128, (RoomId, Seq)>,
    events: BTreeMap<(Partition, Offset), RoomId>,
    partitions: HashMap<RoomId, Partition>,
    joined: BTreeSet<(UserId, RoomId)>,
    left: BTreeMap<(UserId, Partition, Offset), RoomId>,
}

impl MessageStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, positions included, for a rebuild.
    pub fn wipe(&self) {
        *self.rows.lock() = Rows::default();
        self.progress.clear();
    }
}

#[async_trait]
impl MessageReader for MessageStore {
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

    async fn history(&self, room: RoomId, range: Range, limit: usize) -> PortResult<Vec<Message>> {
        let rows = self.rows.lock();
        let main = |from: Seq, to: Seq| {
            rows.messages
                .range((room, from)..=(room, to))
                .map(|(_, message)| message)
                .filter(|message| message.ordinal.is_some())
        };
        let newest = |to: Seq| main(Seq(0), to).rev().take(limit).cloned().collect();
        Ok(match range {
            Range::Latest => newest(Seq(u64::MAX)),
            Range::Before(seq) => seq.0.checked_sub(1).map_or_else(Vec::new, |to| newest(Seq(to))),
            Range::After(seq) if seq.0 == u64::MAX => Vec::new(),
            Range::After(seq) => {
                let mut found: Vec<_> =
                    main(seq.next(), Seq(u64::MAX)).take(limit).cloned().collect();
                found.reverse();
                found
            }
        })
    }

    async fn message(&self, room: RoomId, seq: Seq) -> PortResult<Option<Message>> {
        Ok(self.rows.lock().messages.get(&(room, seq)).cloned())
    }

    async fn head(&self, room: RoomId) -> PortResult<Option<StoredHead>> {
        Ok(self.rows.lock().heads.get(&room).copied())
    }

    async fn heads(&self, rooms: &[RoomId]) -> PortResult<Vec<Option<StoredHead>>> {
        let rows = self.rows.lock();
        Ok(rooms.iter().map(|room| rows.heads.get(room).copied()).collect())
    }

    async fn by_external(&self, external: u128) -> PortResult<Option<(RoomId, Seq)>> {
        Ok(self.rows.lock().externals.get(&external).copied())
    }

    async fn of_person(
        &self,
        person: UserId,
        after: Option<MessagePlace>,
        look: usize,
    ) -> PortResult<(Vec<Message>, Option<MessagePlace>)> {
        let rows = self.rows.lock();
        let all = rows.messages.values().map(|message| {
            let (room, seq) = (message.room, message.seq);
            (MessagePlace { other: message.ordinal.is_none(), room, seq }, message)
        });
        let mut all: Vec<_> = all.filter(|(place, _)| after.is_none_or(|a| *place > a)).collect();
        all.sort_unstable_by_key(|(place, _)| *place);
        all.truncate(look);
        let next = all.last().map(|(place, _)| *place).filter(|_| all.len() == look);
        let of = |message: &Message| {
            let words = message.body.as_ref();
            message.sender == person || words.is_some_and(|words| words.person == person)
        };
        let found = all.into_iter().map(|(_, message)| message).filter(|message| of(message));
        Ok((found.cloned().collect(), next))
    }
}

impl Rows {
    fn rooms_of(&self, user: UserId) -> impl Iterator<Item = (RoomId, StoredHead)> {
        let (first, last) = (RoomId::from_bits(0), RoomId::from_bits(u128::MAX));
        let rooms = self.joined.range((user, first)..=(user, last)).map(|(_, room)| *room);
        rooms.filter_map(|room| Some((room, *self.heads.get(&room)?)))
    }

    fn changed(&self, user: UserId, partition: Partition, after: Offset) -> Vec<ChangedRoom> {
        let here = |room: &RoomId| self.partitions.get(room) == Some(&partition);
        let joined = self.rooms_of(user).filter(|(room, head)| here(room) && head.offset > after);
        let mut found: HashMap<RoomId, ChangedRoom> = HashMap::new();
        let later = Offset(after.0.saturating_add(1));
        let left = (user, partition, later)..=(user, partition, Offset(u64::MAX));
        for ((_, _, left), room) in self.left.range(left) {
            let Some(head) = self.heads.get(room).copied() else { continue };
            found.insert(*room, ChangedRoom { room: *room, head, left: Some(*left) });
        }
        found.extend(joined.map(|(room, head)| (room, ChangedRoom { room, head, left: None })));
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_unstable_by_key(|changed| Reverse(changed.head.offset));
        found
    }
}

#[async_trait]
impl ActivityReader for MessageStore {
    async fn changed(
        &self,
        user: UserId,
        partition: Partition,
        after: Offset,
        limit: usize,
    ) -> PortResult<Option<Vec<ChangedRoom>>> {
        let changed = self.rows.lock().changed(user, partition, after);
        Ok((changed.len() <= limit).then_some(changed))
    }

    async fn spans(
        &self,
        user: UserId,
        partition: Partition,
        (after, to): (Offset, Offset),
        limit: usize,
    ) -> PortResult<Spans> {
        let rows = self.rows.lock();
        let changed = rows.changed(user, partition, after);
        let rooms: BTreeSet<_> = changed.into_iter().map(|changed| changed.room).collect();
        let from = Bound::Excluded((partition, after));
        let events = rows.events.range((from, Bound::Included((partition, to.max(after)))));
        let events = events.rev().filter(|(_, room)| rooms.contains(room));
        let mut spans: Vec<_> = events
            .map(|((_, through), _)| Span { after: Offset(through.0 - 1), through: *through })
            .take(limit.saturating_add(1))
            .collect();
        let cut = spans.len() > limit;
        spans.truncate(limit);
        Ok(Spans { spans, cut })
    }

    async fn latest(
        &self,
        user: UserId,
        after: Option<ActivityPlace>,
        limit: usize,
    ) -> PortResult<Vec<(RoomId, RoomHead)>> {
        let rank = |room: RoomId, at: Timestamp| (Reverse(at), room);
        let after = after.map(|(at, room)| rank(room, at));
        let rows = self.rows.lock();
        let rooms = rows.rooms_of(user).map(|(room, stored)| (room, stored.head));
        let mut rooms: Vec<_> = rooms
            .filter(|(room, head)| after.is_none_or(|after| rank(*room, head.active_at) > after))
            .collect();
        rooms.sort_unstable_by_key(|(room, head)| rank(*room, head.active_at));
        rooms.truncate(limit);
        Ok(rooms)
    }
}

#[async_trait]
impl MessageWriter for MessageStore {
    async fn load(&self, room: RoomId, seq: Seq) -> PortResult<Option<Message>> {
        self.message(room, seq).await
    }

    async fn load_head(&self, room: RoomId) -> PortResult<Option<StoredHead>> {
        self.head(room).await
    }

    async fn commit(&self, commit: MessageCommit) -> PortResult<()> {
        let mut rows = self.rows.lock();
        if is_repeat(rows.committed.get(&commit.partition), commit.applied) {
            return Ok(());
        }
        let messages = commit.messages.into_iter().map(|m| ((m.room, m.seq), m));
        rows.messages.extend(messages);
        rows.heads.extend(commit.heads);
        let externals = commit.externals.into_iter().map(|(hash, room, seq)| (hash, (room, seq)));
        rows.externals.extend(externals);
        for (offset, room, _) in commit.events {
            rows.events.insert((commit.partition, offset), room);
            rows.partitions.insert(room, commit.partition);
        }
        for StayChange { room, user, offset, inside } in commit.stays {
            rows.partitions.insert(room, commit.partition);
            if inside {
                rows.joined.insert((user, room));
            } else {
                rows.joined.remove(&(user, room));
                rows.left.insert((user, commit.partition, offset), room);
            }
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
