//! The power goes at any moment, again and again: what was promised is there afterwards. Also when
//! syncs failed before and the log was opened again, on what could be read.
//!
//! `KLATCH_SEEDS` sets how many disks are tried (200 when unset), `KLATCH_SEED` tries one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use klatch_log::disk::sim::SimDisk;
use klatch_log::{EmbeddedLog, LogConfig};
use klatch_ports::log::{
    Append, AppendError, EventAppender, EventConsumer, Expected, Key, Kind, LogReader, NewRecord,
    Record,
};
use klatch_ports::{Epoch, Offset, Partition, StreamId};
use klatch_testkit::ManualClock;

use crate::rig::{Dice, all, open, small};

const STREAM: StreamId = StreamId::Messages;
const HERE: Partition = Partition(0);
const ROUNDS: u64 = 3;
const WRITERS: u64 = 3;

/// What must be true of one disk, over all its power cuts.
#[derive(Default)]
struct Promises {
    epoch: Option<Epoch>,
    /// What was acknowledged or read, by offset.
    certain: BTreeMap<u64, Bytes>,
    /// What the consumer finished.
    finished: BTreeSet<u64>,
}

/// What one writer says about one of its records: who, which group, which part of how many.
fn body(writer: u64, group: u64, part: u64, parts: u64, padding: u64) -> Bytes {
    let text = format!("{writer} {group} {part} {parts} ");
    Bytes::from(text + &"x".repeat(usize::try_from(padding).unwrap()))
}

fn numbers(record: &Record) -> [u64; 4] {
    let text = std::str::from_utf8(&record.body).unwrap();
    let mut words = text.split(' ').map(|word| word.parse().unwrap_or(0));
    std::array::from_fn(|_| words.next().unwrap())
}

/// Appends groups to one key, each on the head the one before left, until the disk is gone.
fn write(log: &EmbeddedLog, writer: u64, round: u64, mut dice: Dice) -> BTreeMap<u64, Bytes> {
    let key = Key(1000 + u128::from(writer));
    let mut acknowledged = BTreeMap::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Ok(mut head) = runtime.block_on(log.head(STREAM, key)) else { return acknowledged };
    for group in 0.. {
        let parts = 1 + dice.below(4);
        let padding = if dice.below(20) == 0 { 6_000 } else { dice.below(300) };
        let bodies: Vec<_> = (0..parts)
            .map(|part| body(writer, round * 1_000_000 + group, part, parts, padding))
            .collect();
        let records = bodies.iter().map(|body| NewRecord { kind: Kind::Send, body: body.clone() });
        let expected = if dice.below(3) == 0 { Expected::Any } else { Expected::Head(head) };
        let append = Append { stream: STREAM, key, expected, records: records.collect() };
        let (sender, receiver) = mpsc::channel();
        log.submit(append, Box::new(move |outcome| sender.send(outcome).unwrap()));
        match receiver.recv().expect("every append is answered") {
            Ok(appended) => {
                head = Some(appended.last.offset);
                acknowledged.extend((appended.first.offset.0..).zip(bodies));
            }
            Err(AppendError::Conflict { actual }) => panic!("{actual:?} instead of {head:?}"),
            Err(AppendError::Port(_)) => return acknowledged,
        }
        if dice.below(10) == 0 {
            thread::sleep(Duration::from_millis(dice.below(8)));
        }
    }
    acknowledged
}

/// Follows the end until the disk is gone; what it saw.
async fn follow(log: &EmbeddedLog) -> BTreeMap<u64, Bytes> {
    let fatal = log.fatal();
    let (mut seen, mut after) = (BTreeMap::new(), Offset::ZERO);
    loop {
        let over = fatal.borrow().is_some();
        let Ok(batch) = log.read(STREAM, HERE, after, 50).await else { return seen };
        after = batch.through;
        let idle = batch.records.is_empty();
        seen.extend(batch.records.into_iter().map(|record| (record.offset.0, record.body)));
        if idle && over {
            return seen;
        }
        if idle {
            log.wait(STREAM, HERE, after, Duration::from_millis(1)).await.unwrap();
        }
    }
}

/// Finishes records as a worker does until the disk is gone; what it finished.
async fn work(log: &EmbeddedLog, mut dice: Dice) -> BTreeSet<u64> {
    let fatal = log.fatal();
    let mut finished = BTreeSet::new();
    let opened = log.open("worker", STREAM, HERE, Offset::ZERO).await;
    let Ok(mut consumer) = opened else { return finished };
    while fatal.borrow().is_none() {
        let Ok(got) = consumer.fetch(20, Duration::from_millis(2)).await else { break };
        let Some(last) = got.iter().map(|delivery| delivery.record.offset).max() else { continue };
        let put_back = got[0].record.offset;
        finished.extend(got.iter().map(|delivery| delivery.record.offset.0));
        if dice.below(4) == 0 {
            consumer.nak(put_back, Duration::from_millis(1)).await.unwrap();
            finished.remove(&put_back.0);
        }
        consumer.ack(last).await.unwrap();
    }
    finished
}

/// Opens the log, also when the power goes meanwhile.
fn open_again(sim: &SimDisk, config: &LogConfig) -> Arc<EmbeddedLog> {
    let clock = ManualClock::default();
    for _ in 0..10 {
        let cuts = sim.power_cuts();
        match open(sim.disk(), config.clone(), &clock) {
            Ok(log) => return log,
            Err(error) => assert!(sim.power_cuts() > cuts, "not opened: {error}"),
        }
    }
    panic!("the power goes too often");
}

/// Works until the power goes; what was promised meanwhile.
fn round(sim: &SimDisk, config: &LogConfig, seed: u64, round: u64, promises: &mut Promises) {
    let mut dice = Dice::new(seed * 31 + round);
    // Early cuts hit the making of files, later ones rolls and indexes.
    sim.power_cut_after(if dice.below(3) == 0 { dice.below(20) } else { dice.below(500) });
    let cuts = sim.power_cuts();
    let log = open_again(sim, config);
    if sim.power_cuts() > cuts {
        sim.power_cut_after(dice.below(500));
    }
    live(&log, seed, round, promises);
}

/// Works until syncs fail; what was promised meanwhile.
fn failing_round(
    sim: &SimDisk,
    config: &LogConfig,
    seed: u64,
    round: u64,
    promises: &mut Promises,
) {
    let mut dice = Dice::new(seed * 37 + round);
    // Early ones hit the making of files.
    sim.fail_syncs_after(if dice.below(3) == 0 { dice.below(12) } else { dice.below(120) });
    if let Ok(log) = open(sim.disk(), config.clone(), &ManualClock::default()) {
        live(&log, seed, round, promises);
    }
    sim.mend();
}

/// Writes, reads and finishes until the disk is gone.
fn live(log: &EmbeddedLog, seed: u64, round: u64, promises: &mut Promises) {
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let dice = Dice::new(seed * 131 + round * 17 + writer);
                scope.spawn(move || write(log, writer, round, dice))
            })
            .collect();
        let reader = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .unwrap()
                .block_on(async { tokio::join!(follow(log), work(log, Dice::new(seed + round))) })
        });
        for writer in writers {
            promises.certain.extend(writer.join().unwrap());
        }
        let (read, finished) = reader.join().unwrap();
        promises.certain.extend(read);
        promises.finished.extend(finished);
    });
}

async fn check(log: &EmbeddedLog, promises: &mut Promises) {
    assert_eq!(*promises.epoch.get_or_insert(log.epoch()), log.epoch());
    let records = all(log, STREAM).await;
    let end = log.end(STREAM, HERE).await.unwrap().0;
    assert!(records.iter().map(|record| record.offset.0).eq(1..=end), "holes");
    for (offset, body) in &promises.certain {
        let index = usize::try_from(offset - 1).unwrap();
        let found = records.get(index).map(|record| &record.body);
        assert_eq!(found, Some(body), "the record {offset} of {end}");
    }
    let mut newest = BTreeMap::new();
    let mut expected_part = (0, 0, 0);
    for record in &records {
        let [writer, group, part, parts] = numbers(record);
        assert_eq!(
            (writer, group, part),
            match expected_part {
                (_, _, 0) => (writer, group, 0),
                expected => expected,
            },
            "a torn group at {}",
            record.offset
        );
        let next = if part + 1 == parts { 0 } else { part + 1 };
        expected_part = (writer, group, next);
        let before = newest.insert(writer, (group, record.offset));
        assert!(before.is_none_or(|(before, _)| before < group || part > 0), "order or twice");
    }
    assert_eq!(expected_part.2, 0, "a torn group at the end");
    for writer in 0..WRITERS {
        let head = log.head(STREAM, Key(1000 + u128::from(writer))).await.unwrap();
        assert_eq!(head, newest.get(&writer).map(|(_, offset)| *offset), "head of {writer}");
    }
    check_consumer(log, promises, end).await;
}

/// Whatever it had not finished comes again.
async fn check_consumer(log: &EmbeddedLog, promises: &mut Promises, end: u64) {
    let mut consumer = log.open("worker", STREAM, HERE, Offset::ZERO).await.unwrap();
    let floor = consumer.floor().await.unwrap().0;
    assert!((1..=floor).all(|offset| promises.finished.contains(&offset)), "floor {floor}");
    loop {
        let deliveries = consumer.fetch(100, Duration::from_millis(3)).await.unwrap();
        let offsets = deliveries.iter().map(|delivery| delivery.record.offset);
        let Some(last) = offsets.clone().max() else { break };
        promises.finished.extend(offsets.map(|offset| offset.0));
        consumer.ack(last).await.unwrap();
    }
    assert!(promises.finished.iter().copied().eq(1..=end), "a record never came");
    assert_eq!(consumer.floor().await.unwrap().0, end);
}

fn run(seed: u64, failing: u64) {
    let sim = SimDisk::new(seed);
    let config = LogConfig { batch_bytes: 1024 << (seed % 4), ..small() };
    let mut promises = Promises::default();
    for number in 0..ROUNDS {
        let first = number * (failing + 1);
        for life in first..first + failing {
            failing_round(&sim, &config, seed, life, &mut promises);
        }
        round(&sim, &config, seed, first + failing, &mut promises);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let log = open_again(&sim, &config);
        runtime.block_on(check(&log, &mut promises));
        // What was checked is certain: also what nobody had been told of is durable once it is
        // served.
        let records = runtime.block_on(all(&log, STREAM));
        promises.certain.extend(records.into_iter().map(|record| (record.offset.0, record.body)));
        drop(log);
        sim.power_cut();
    }
}

/// Tries many disks, each with so many failing lives before each power cut.
fn many(usual: u64, failing: u64) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect(name));
    let seeds = match number("KLATCH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KLATCH_SEEDS").unwrap_or(usual),
    };
    let workers = 4;
    thread::scope(|scope| {
        for worker in 0..workers {
            let seeds = seeds.clone();
            scope.spawn(move || {
                for seed in seeds.filter(|seed| seed % workers == worker) {
                    let outcome = std::panic::catch_unwind(|| run(seed, failing));
                    assert!(outcome.is_ok(), "failed with KLATCH_SEED={seed}");
                }
            });
        }
    });
}

#[test]
fn nothing_promised_is_lost_whenever_the_power_goes() {
    many(200, 0);
}

#[test]
fn nothing_promised_is_lost_when_syncs_failed_before_the_power_goes() {
    many(100, 2);
}
