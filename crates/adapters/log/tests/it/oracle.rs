//! Random work on the embedded log and on the one in memory: nobody can tell them apart.

use std::sync::Arc;
use std::time::Duration;

use klatch_log::EmbeddedLog;
use klatch_log::disk::sim::SimDisk;
use klatch_memory::log::MemoryLog;
use klatch_ports::log::{
    Append, AppendError, Consumer, Delivery, EventAppender, EventConsumer, Expected, Key, Kind,
    LogReader, NewRecord,
};
use klatch_ports::{Offset, Partition, StreamId};
use klatch_testkit::ManualClock;

use crate::rig::{Dice, open, small};

const HERE: Partition = Partition(0);
const STEPS: usize = 400;

struct Pair {
    sim: SimDisk,
    clock: ManualClock,
    embedded: Arc<EmbeddedLog>,
    memory: MemoryLog,
    consumers: Vec<Opened>,
    dice: Dice,
    appended: u64,
}

fn outcome(
    outcome: Result<klatch_ports::log::Appended, AppendError>,
) -> Result<[Offset; 2], Option<Offset>> {
    match outcome {
        Ok(appended) => Ok([appended.first.offset, appended.last.offset]),
        Err(AppendError::Conflict { actual }) => Err(actual),
        Err(AppendError::Port(error)) => panic!("{error}"),
    }
}

fn handed_out(deliveries: Vec<Delivery>) -> Vec<(Offset, u32, StreamId)> {
    let parts =
        |delivery: Delivery| (delivery.record.offset, delivery.attempt, delivery.record.home);
    deliveries.into_iter().map(parts).collect()
}

/// A consumer by name and stream, on the embedded log and on the one in memory.
type Opened = (String, StreamId, [Box<dyn Consumer>; 2]);

impl Pair {
    fn new(seed: u64) -> Self {
        let (sim, clock) = (SimDisk::new(seed), ManualClock::default());
        let embedded = open(sim.disk(), small(), &clock).unwrap();
        let memory = MemoryLog::new(embedded.epoch(), 1, Arc::new(clock.clone()));
        let (consumers, dice) = (Vec::new(), Dice::new(seed));
        Self { sim, clock, embedded, memory, consumers, dice, appended: 0 }
    }

    fn stream(&mut self) -> StreamId {
        StreamId::ALL[usize::try_from(self.dice.below(5)).unwrap()]
    }

    fn key(&mut self) -> Key {
        Key(u128::from(self.dice.below(12)))
    }

    fn offset(&mut self) -> Offset {
        Offset(self.dice.below(self.appended + 3))
    }

    async fn append(&mut self) {
        let (stream, key) = (self.stream(), self.key());
        let expected = match self.dice.below(4) {
            0 => Expected::Any,
            1 => Expected::Head(Some(self.offset())),
            2 => Expected::Head(None),
            _ => Expected::Head(self.memory.head(stream, key).await.unwrap()),
        };
        let count = 1 + self.dice.below(5);
        let records = (0..count).map(|_| {
            let kind = Kind::ALL[usize::try_from(self.dice.below(12)).unwrap()];
            let len = if self.dice.below(30) == 0 { 5_000 } else { self.dice.below(300) };
            let body = vec![7; usize::try_from(len).unwrap()].into();
            NewRecord { kind, body }
        });
        let append = Append { stream, key, expected, records: records.collect() };
        let memory = outcome(self.memory.append(append.clone()).await);
        assert_eq!(outcome(self.embedded.append(append).await), memory);
        self.appended += if memory.is_ok() { count } else { 0 };
    }

    async fn look(&mut self) {
        let (stream, key, at) = (self.stream(), self.key(), self.offset());
        let (one, other) = (&self.embedded, &self.memory);
        assert_eq!(one.head(stream, key).await.unwrap(), other.head(stream, key).await.unwrap());
        assert_eq!(one.end(stream, HERE).await.unwrap(), other.end(stream, HERE).await.unwrap());
        let record = other.record(stream, HERE, at).await.unwrap();
        assert_eq!(one.record(stream, HERE, at).await.unwrap(), record);
        let time = record.map_or(klatch_domain::Timestamp(0), |record| record.appended_at);
        for time in [time, time.plus_ms(1)] {
            let place = other.at_time(stream, HERE, time).await.unwrap();
            assert_eq!(one.at_time(stream, HERE, time).await.unwrap(), place, "{time}");
        }
        let limit = usize::try_from(self.dice.below(40)).unwrap();
        let mut after = at;
        let mut records = Vec::new();
        // The embedded log may need several reads for what memory gives at once.
        while records.len() < limit {
            let batch = one.read(stream, HERE, after, limit - records.len()).await.unwrap();
            if batch.through == after {
                break;
            }
            after = batch.through;
            records.extend(batch.records);
        }
        let whole = other.read(stream, HERE, at, limit).await.unwrap();
        assert_eq!(records, whole.records);
        assert_eq!(after, whole.through);
    }

    async fn open_consumer(&mut self) {
        let (name, stream) = (format!("c{}", self.dice.below(3)), self.stream());
        let start = self.offset();
        self.consumers.retain(|(known, of, _)| (known, of) != (&name, &stream));
        let pair = [
            self.embedded.open(&name, stream, HERE, start).await.unwrap(),
            EventConsumer::open(&self.memory, &name, stream, HERE, start).await.unwrap(),
        ];
        self.consumers.push((name, stream, pair));
    }

    async fn consume(&mut self) {
        let at = self.offset();
        let count = self.consumers.len() as u64;
        if count == 0 {
            return self.open_consumer().await;
        }
        let chosen = usize::try_from(self.dice.below(count)).unwrap();
        let (limit, act) = (usize::try_from(self.dice.below(20)).unwrap(), self.dice.below(8));
        let [one, other] = &mut self.consumers[chosen].2;
        let expected = handed_out(other.fetch(limit, Duration::ZERO).await.unwrap());
        let mut got = handed_out(one.fetch(limit, Duration::ZERO).await.unwrap());
        // The embedded log may need several reads for what memory gives at once.
        while got.len() < limit {
            let more = handed_out(one.fetch(limit - got.len(), Duration::ZERO).await.unwrap());
            if more.is_empty() {
                break;
            }
            got.extend(more);
        }
        assert_eq!(got, expected);
        for consumer in [&mut *one, &mut *other] {
            match act {
                0 => consumer.nak(at, Duration::ZERO).await.unwrap(),
                1 => consumer.nak(at, Duration::from_hours(9)).await.unwrap(),
                2 => consumer.term(at).await.unwrap(),
                3..6 => consumer.ack(at).await.unwrap(),
                _ => {}
            }
        }
        assert_eq!(one.floor().await.unwrap(), other.floor().await.unwrap());
    }

    async fn reopen(&mut self) {
        let names: Vec<_> =
            self.consumers.drain(..).map(|(name, stream, _)| (name, stream)).collect();
        self.embedded.close();
        self.embedded = open(self.sim.disk(), small(), &self.clock).unwrap();
        for (name, stream) in names {
            let pair = [
                self.embedded.open(&name, stream, HERE, Offset::ZERO).await.unwrap(),
                EventConsumer::open(&self.memory, &name, stream, HERE, Offset::ZERO).await.unwrap(),
            ];
            self.consumers.push((name, stream, pair));
        }
    }
}

#[tokio::test]
async fn the_embedded_log_does_what_the_one_in_memory_does() {
    for seed in 0..25 {
        let mut pair = Pair::new(seed);
        for _ in 0..STEPS {
            match pair.dice.below(100) {
                0..45 => pair.append().await,
                45..65 => pair.look().await,
                65..92 => pair.consume().await,
                92..94 => pair.open_consumer().await,
                94..98 => {
                    let ms = pair.dice.below(3);
                    pair.clock.advance(Duration::from_millis(ms));
                }
                _ => pair.reopen().await,
            }
        }
        assert!(pair.appended > 200, "seed {seed}");
    }
}
