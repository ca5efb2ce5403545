//! The message store.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::room::RoomHead;
use klatch_domain::{Message, RoomId, Seq, UserId};
use klatch_ports::activity::{ActivityPlace, ActivityReader, ChangedRoom, Spans};
use klatch_ports::messages::{
    Applied, MessageCommit, MessagePlace, MessageReader, MessageWriter, Range, StoredHead,
};
use klatch_ports::{Offset, Partition, PortResult};
use parking_lot::Mutex;

use super::activity_write::Memory;
use super::layout::{HEAD, MAIN, MESSAGE_EXTERNAL, OTHER};
use super::staged::Staged;
use super::{Rows, View, activity, activity_write, layout, row};
use crate::engine::corrupt;

/// Message history and room heads on disk.
#[derive(Debug)]
pub struct MessageStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rows: Arc<Rows>,
    memory: Mutex<Memory>,
}

impl MessageStore {
    /// Rows of a build that kept no sets are forgotten: the owner replays the log.
    pub(super) fn new(rows: Rows, refuse_older: bool) -> PortResult<Self> {
        let old = {
            let view = rows.view();
            view.prefix(&[layout::POSITION]).next().is_some() && !view.has(&[layout::ACTIVITY])?
        };
        if old && refuse_older {
            return Err(super::older_form(&rows.dir));
        }
        if old {
            tracing::warn!("messages were stored by an older build: they are read from the log");
            rows.wipe()?;
        }
        Ok(Self { inner: Arc::new(Inner { rows: Arc::new(rows), memory: Mutex::default() }) })
    }

    pub(super) fn rows(&self) -> Arc<Rows> {
        Arc::clone(&self.inner.rows)
    }

    fn view(&self) -> View {
        self.inner.rows.view()
    }

    /// Forgets everything, positions included, for a rebuild. Durable when it returns; after a
    /// crash in between either everything is still there or nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn wipe(&self) -> PortResult<()> {
        let inner = Arc::clone(&self.inner);
        let wipe = move || {
            let mut memory = inner.memory.lock();
            *memory = Memory::default();
            inner.rows.wipe()
        };
        self.inner.rows.blocking("wiping messages", wipe).await
    }

    /// How often readers asked since the start, for metrics.
    pub fn reads(&self) -> u64 {
        self.inner.rows.reads()
    }
}

fn message(view: &View, room: RoomId, seq: Seq) -> PortResult<Option<Message>> {
    for family in [MAIN, OTHER] {
        if let Some(bytes) = view.get(&layout::message(family, room, seq))? {
            return row::decode_message(room, seq, &bytes).map(Some);
        }
    }
    Ok(None)
}

pub(super) fn head(view: &View, room: RoomId) -> PortResult<Option<StoredHead>> {
    let bytes = view.get(&layout::one(HEAD, room.bits()))?;
    bytes.map(|bytes| row::decode_head(&bytes)).transpose()
}

fn history(view: &View, room: RoomId, range: Range, limit: usize) -> PortResult<Vec<Message>> {
    let key = |seq: u64| layout::message(MAIN, room, Seq(seq)).to_vec();
    let read = |guard| {
        let (key, bytes) = View::pair(guard)?;
        row::decode_message(room, layout::last_seq(&key)?, &bytes)
    };
    match range {
        Range::Latest => view.range(key(0)..=key(u64::MAX)).rev().take(limit).map(read).collect(),
        Range::Before(seq) => view.range(key(0)..key(seq.0)).rev().take(limit).map(read).collect(),
        Range::After(Seq(u64::MAX)) => Ok(Vec::new()),
        Range::After(seq) => {
            let oldest = view.range(key(seq.0 + 1)..=key(u64::MAX)).take(limit);
            let mut found = oldest.map(read).collect::<PortResult<Vec<_>>>()?;
            found.reverse();
            Ok(found)
        }
    }
}

fn of_person(
    view: &View,
    person: UserId,
    after: Option<MessagePlace>,
    look: usize,
) -> PortResult<(Vec<Message>, Option<MessagePlace>)> {
    let (mut found, mut looked, mut last) = (Vec::new(), 0, after);
    for other in [false, true] {
        let family = if other { OTHER } else { MAIN };
        let from = match last {
            Some(place) if place.other && !other => continue,
            Some(place) if place.other == other => {
                Bound::Excluded(layout::message(family, place.room, place.seq).to_vec())
            }
            _ => Bound::Included(vec![family]),
        };
        for guard in view.range((from, Bound::Excluded(vec![family + 1]))) {
            let (key, bytes) = View::pair(guard)?;
            let room = key.get(1..17).and_then(|bits| bits.try_into().ok());
            let room = room.map(u128::from_be_bytes).map(RoomId::from_bits);
            let room = room.ok_or_else(|| corrupt("reading a key", format!("key {key:02x?}")))?;
            let seq = layout::last_seq(&key)?;
            let message = row::decode_message(room, seq, &bytes)?;
            let words = message.body.as_ref();
            if message.sender == person || words.is_some_and(|words| words.person == person) {
                found.push(message);
            }
            looked += 1;
            last = Some(MessagePlace { other, room, seq });
            if looked >= look {
                return Ok((found, last));
            }
        }
    }
    Ok((found, None))
}

#[async_trait]
impl MessageReader for MessageStore {
    async fn applied(&self, partition: Partition) -> PortResult<Applied> {
        Ok(self.inner.rows.progress.get(partition))
    }

    async fn wait_applied(
        &self,
        partition: Partition,
        offset: Offset,
        most: Duration,
    ) -> PortResult<bool> {
        Ok(self.inner.rows.progress.wait(partition, offset, most).await)
    }

    async fn history(&self, room: RoomId, range: Range, limit: usize) -> PortResult<Vec<Message>> {
        history(&self.view(), room, range, limit)
    }

    async fn message(&self, room: RoomId, seq: Seq) -> PortResult<Option<Message>> {
        message(&self.view(), room, seq)
    }

    async fn head(&self, room: RoomId) -> PortResult<Option<StoredHead>> {
        head(&self.view(), room)
    }

    async fn heads(&self, rooms: &[RoomId]) -> PortResult<Vec<Option<StoredHead>>> {
        let view = self.view();
        rooms.iter().map(|room| head(&view, *room)).collect()
    }

    async fn by_external(&self, external: u128) -> PortResult<Option<(RoomId, Seq)>> {
        let view = self.view();
        let Some(bytes) = view.get(&layout::one(MESSAGE_EXTERNAL, external))? else {
            return Ok(None);
        };
        let wrong = || corrupt("reading an external id", format!("{} bytes", bytes.len()));
        let room = bytes.first_chunk::<16>().ok_or_else(wrong)?;
        let room = RoomId::from_bits(u128::from_be_bytes(*room));
        Ok(Some((room, layout::last_seq(&bytes)?)))
    }

    async fn of_person(
        &self,
        person: UserId,
        after: Option<MessagePlace>,
        look: usize,
    ) -> PortResult<(Vec<Message>, Option<MessagePlace>)> {
        let rows = self.rows();
        let read = move || of_person(&rows.view(), person, after, look);
        self.inner.rows.blocking("reading messages", read).await
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
        activity::changed(&self.view(), user, partition, after, limit)
    }

    async fn spans(
        &self,
        user: UserId,
        partition: Partition,
        within: (Offset, Offset),
        limit: usize,
    ) -> PortResult<Spans> {
        activity::spans(&self.view(), user, partition, within, limit)
    }

    async fn latest(
        &self,
        user: UserId,
        after: Option<ActivityPlace>,
        limit: usize,
    ) -> PortResult<Vec<(RoomId, RoomHead)>> {
        activity::latest(&self.view(), user, after, limit)
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
        let inner = Arc::clone(&self.inner);
        self.inner.rows.blocking("committing messages", move || inner.write(&commit)).await
    }

    async fn advance(&self, partition: Partition, applied: Applied) -> PortResult<()> {
        self.inner.rows.progress.advance(partition, applied);
        Ok(())
    }
}

impl Inner {
    fn write(&self, commit: &MessageCommit) -> PortResult<()> {
        // Taken in this order everywhere.
        let mut memory = self.memory.lock();
        let rows = &self.rows;
        let _writing = rows.writing.lock();
        if rows.progress.is_repeat(commit.partition, commit.applied) {
            return Ok(());
        }
        let mut staged = stage(commit);
        // What was remembered is gone if anything fails.
        let remembered = std::mem::take(&mut *memory);
        let remembered = activity_write::stage(&rows.view(), &mut staged, remembered, commit)?;
        staged.commit(rows, commit.partition, commit.applied)?;
        *memory = remembered;
        Ok(())
    }
}

fn stage(commit: &MessageCommit) -> Staged {
    let count = commit.messages.len() + commit.heads.len() + commit.externals.len();
    let mut staged = Staged::with_capacity(count + 4);
    let mut bytes = Vec::new();
    for message in &commit.messages {
        let family = if message.ordinal.is_some() { MAIN } else { OTHER };
        row::encode_message(message, &mut bytes);
        staged.put(&layout::message(family, message.room, message.seq), &bytes);
    }
    for (room, head) in &commit.heads {
        row::encode_head(*head, &mut bytes);
        staged.put(&layout::one(HEAD, room.bits()), &bytes);
    }
    for (external, room, seq) in &commit.externals {
        bytes.clear();
        bytes.extend_from_slice(&room.to_bytes());
        bytes.extend_from_slice(&seq.0.to_be_bytes());
        staged.put(&layout::one(MESSAGE_EXTERNAL, *external), &bytes);
    }
    staged
}

#[cfg(test)]
mod tests {
    use super::super::{Stores, StoresConfig};
    use super::*;

    #[tokio::test]
    async fn rows_of_a_build_that_kept_no_sets_are_forgotten_and_newer_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Stores::open(dir.path(), StoresConfig::default()).unwrap().messages;
        let (partition, applied) =
            (Partition(0), Applied { epoch: klatch_ports::Epoch(1), offset: Offset(7) });
        let old = open();
        Staged::default().commit(&old.inner.rows, partition, applied).unwrap();
        drop(old);
        let store = open();
        assert_eq!(store.applied(partition).await.unwrap(), Applied::default());
        let commit = MessageCommit { partition, applied, ..MessageCommit::default() };
        store.commit(commit).await.unwrap();
        drop(store);
        assert_eq!(open().applied(partition).await.unwrap(), applied);
    }
}
