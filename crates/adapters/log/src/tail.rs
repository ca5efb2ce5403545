//! The newest records, kept in memory so that those who follow the end never touch the disk.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use klatch_ports::Offset;
use klatch_ports::StreamId;
use klatch_ports::log::{Batch, Record};
use parking_lot::RwLock;

#[derive(Debug)]
pub(super) struct Tail {
    pieces: RwLock<Pieces>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Pieces {
    /// Oldest first, without gaps; none is empty.
    list: VecDeque<Piece>,
    bytes: usize,
}

/// The records of one sync.
#[derive(Clone, Debug)]
struct Piece {
    first: u64,
    records: Arc<Vec<Record>>,
    bytes: usize,
}

impl Piece {
    fn last(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }

    fn after(&self, after: u64) -> &[Record] {
        let skip = usize::try_from((after + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.records.get(skip..).unwrap_or(&[])
    }
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { pieces: RwLock::new(Pieces::default()), bytes_max }
    }

    /// Adds the records that follow what is there.
    pub(super) fn push(&self, records: Vec<Record>) {
        let Some(first) = records.first().map(|record| record.offset.0) else { return };
        let bytes = records.iter().map(|record| record.body.len() + size_of::<Record>()).sum();
        let piece = Piece { first, records: Arc::new(records), bytes };
        let mut gone = Vec::new();
        {
            let mut pieces = self.pieces.write();
            pieces.bytes += bytes;
            pieces.list.push_back(piece);
            while pieces.bytes > self.bytes_max {
                let Some(oldest) = pieces.list.pop_front() else { break };
                pieces.bytes -= oldest.bytes;
                gone.push(oldest);
            }
        }
        // Freed here, where no reader waits for it.
        drop(gone);
    }

    /// Up to `limit` of the records after `after` and up to `end` that `stream` shows, when the one
    /// after `after` is here.
    pub(super) fn read(
        &self,
        stream: StreamId,
        (after, end): (u64, u64),
        limit: usize,
    ) -> Option<Batch> {
        let pieces = self.from(after + 1, limit)?;
        let mut batch = Batch { records: Vec::new(), through: Offset(after) };
        for piece in &pieces {
            for record in piece.after(after) {
                if batch.records.len() >= limit || record.offset.0 > end {
                    return Some(batch);
                }
                batch.through = record.offset;
                if record.kind.is_shown_in(record.home, stream) {
                    batch.records.push(record.clone());
                }
            }
        }
        Some(batch)
    }

    /// The record at `offset`, if it is here.
    pub(super) fn record(&self, offset: u64) -> Option<Record> {
        let pieces = self.from(offset, 1)?;
        pieces.first()?.after(offset.checked_sub(1)?).first().cloned()
    }

    /// The piece that holds `offset` and those after it that hold the `limit` records from there.
    fn from(&self, offset: u64, limit: usize) -> Option<Vec<Piece>> {
        let pieces = self.pieces.read();
        let start = pieces.list.partition_point(|piece| piece.last() < offset);
        if pieces.list.get(start)?.first > offset {
            return None;
        }
        let mut taken = Vec::new();
        for piece in pieces.list.range(start..) {
            taken.push(piece.clone());
            if piece.last() - offset >= limit as u64 {
                break;
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use klatch_domain::Timestamp;
    use klatch_ports::log::{Key, Kind};

    use super::*;

    fn records(first: u64, count: u64) -> Vec<Record> {
        let record = |offset| Record {
            offset: Offset(offset),
            home: StreamId::Messages,
            key: Key(1),
            kind: if offset % 10 == 0 { Kind::Member } else { Kind::Send },
            appended_at: Timestamp(0),
            body: Bytes::from(vec![0; 100]),
        };
        (first..first + count).map(record).collect()
    }

    #[test]
    fn the_tail_gives_any_part_of_what_it_holds() {
        let tail = Tail::new(usize::MAX);
        tail.push(records(5, 3));
        tail.push(records(8, 1));
        tail.push(records(9, 21));
        for after in 4..29 {
            for limit in [0, 1, 3, 4, 100] {
                let batch = tail.read(StreamId::Messages, (after, u64::MAX), limit).unwrap();
                let offsets: Vec<_> = batch.records.iter().map(|record| record.offset.0).collect();
                let expected: Vec<_> = (after + 1..=29).take(limit).collect();
                assert_eq!(offsets, expected);
                assert_eq!(batch.through.0, expected.last().copied().unwrap_or(after));
            }
            assert_eq!(tail.record(after + 1).unwrap().offset.0, after + 1);
        }
        let meta = tail.read(StreamId::Meta, (4, u64::MAX), 10).unwrap();
        assert_eq!(meta.records.iter().map(|r| r.offset.0).collect::<Vec<_>>(), [10, 20]);
        for after in [3, 29] {
            assert!(tail.read(StreamId::Messages, (after, u64::MAX), 1).is_none());
        }
        let early = tail.read(StreamId::Messages, (4, 12), 100).unwrap();
        assert_eq!((early.records.len(), early.through), (8, Offset(12)));
        assert_eq!((tail.record(4), tail.record(30)), (None, None));
    }

    #[test]
    fn the_tail_drops_its_oldest_records_when_it_is_full() {
        let one = 100 + size_of::<Record>();
        let tail = Tail::new(one * 10);
        for n in 0..20 {
            tail.push(records(1 + n * 3, 3));
        }
        assert!(tail.record(51).is_none());
        assert!(tail.record(52).is_some() && tail.record(60).is_some());
        tail.push(records(61, 50));
        assert!(tail.record(61).is_none(), "a piece larger than the tail is not kept");
    }
}
