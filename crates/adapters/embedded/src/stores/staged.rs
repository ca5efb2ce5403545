//! Rows on their way into a batch.

use std::sync::Arc;

use fjall::{Slice, UserKey, UserValue};
use klatch_ports::messages::Applied;
use klatch_ports::{Partition, PortResult};

use super::{Rows, layout, row};
use crate::engine;

/// Rows to write together; of several for one key the last counts (fjall leaves that open).
#[derive(Default)]
pub(super) struct Staged {
    rows: Vec<(UserKey, Option<UserValue>)>,
    bytes: usize,
}

impl Staged {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), bytes: 0 }
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.bytes += key.len() + value.len();
        self.rows.push((Slice::from(key), Some(Slice::from(value))));
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.bytes += key.len();
        self.rows.push((Slice::from(key), None));
    }

    /// Commits everything and the position, or nothing. The caller holds `rows.writing`.
    pub(super) fn commit(
        mut self,
        rows: &Rows,
        partition: Partition,
        applied: Applied,
    ) -> PortResult<()> {
        self.put(&layout::position(partition), &row::encode_position(applied));
        // Stable, so the last of several for one key stays last; and sorted rows go into fjall's
        // buffer faster.
        self.rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        let life = Arc::clone(&rows.life.read());
        let keyspace = life.keyspace();
        let count = self.rows.len();
        let mut batch = fjall::OwnedWriteBatch::with_capacity(life.database().clone(), count)
            // Handed to the system, not synced: what is lost is replayed.
            .durability(Some(fjall::PersistMode::Buffer));
        let mut staged = self.rows.into_iter().peekable();
        while let Some((key, value)) = staged.next() {
            if staged.peek().is_some_and(|(next, _)| *next == key) {
                continue;
            }
            match value {
                Some(value) => batch.insert(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
        rows.broken.look(batch.commit().map_err(engine::failed("committing")))?;
        rows.progress.committed(partition, applied);
        rows.buffer.count(keyspace, count, self.bytes)
    }
}

/// The index row of something in a room, whose key says all.
pub(super) fn mark(staged: &mut Staged, key: &[u8], want: bool, have: bool) {
    if want && !have {
        staged.put(key, &[]);
    } else if have && !want {
        staged.remove(key);
    }
}
