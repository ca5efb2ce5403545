//! The message store as ordered maps: the oracle other adapters are compared with.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::{Message, RoomId, Seq};
use klatch_ports::messages::{
    Applied, MessageCommit, MessageReader, MessageWriter, Range, StoredHead,
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
        rows.committed.insert(commit.partition, commit.applied);
        self.progress.set(commit.partition, commit.applied);
        Ok(())
    }

    async fn advance(&self, partition: Partition, applied: Applied) -> PortResult<()> {
        self.progress.set(partition, applied);
        Ok(())
    }
}
