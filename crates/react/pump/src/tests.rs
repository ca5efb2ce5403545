//! The loops on a log in memory, with tokio's paused time: waits cost nothing and are exact.

mod projection;
mod reaction;

use std::sync::Arc;

use klatch_memory::log::MemoryLog;
use klatch_ports::log::{Append, EventAppender, Expected, Key, Kind, LogReader, NewRecord};
use klatch_ports::{Epoch, Offset, Partition, StreamId};
use klatch_protocol::dead_letter::{self, DeadLetter};
use klatch_testkit::{ManualClock, SeededEntropy};
use smallvec::smallvec;

use crate::DeadLetters;

const P0: Partition = Partition(0);
const EPOCH: Epoch = Epoch(7);

fn log() -> MemoryLog {
    MemoryLog::new(EPOCH, 1, Arc::new(ManualClock::default()))
}

fn dead_letters(log: &MemoryLog) -> DeadLetters {
    DeadLetters::new(Arc::new(log.clone()), Arc::new(SeededEntropy::new(1)))
}

/// Appends one record with this text and returns its offset.
async fn say(log: &MemoryLog, stream: StreamId, text: &str) -> Offset {
    let kind = if stream == StreamId::Messages { Kind::Send } else { Kind::Hook };
    let record = NewRecord { kind, body: text.to_owned().into() };
    let append =
        Append { stream, key: Key(1), expected: Expected::Any, records: smallvec![record] };
    log.append(append).await.unwrap().last.offset
}

async fn buried(log: &MemoryLog) -> Vec<DeadLetter> {
    let batch = log.read(StreamId::System, P0, Offset::ZERO, 1_000).await.unwrap();
    batch.records.iter().map(|r| dead_letter::decode(&r.body).unwrap().unwrap()).collect()
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}
