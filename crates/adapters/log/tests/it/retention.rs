//! Forgetting whole segments.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use klatch_domain::{Clock, Timestamp};
use klatch_log::EmbeddedLog;
use klatch_log::disk::sim::SimDisk;
use klatch_ports::log::{
    Append, EventAppender, EventConsumer, Expected, Key, Kind, LogReader, NewRecord,
};
use klatch_ports::{ErrorKind, Offset, Partition, StreamId};
use klatch_testkit::ManualClock;
use smallvec::smallvec;

use crate::rig::{all, all_after, fill, open, open_sim, refused, segments, send, small};

const STREAM: StreamId = StreamId::Messages;
const HERE: Partition = Partition(0);

#[tokio::test]
async fn forgetting_removes_whole_segments_and_moves_the_start() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    log.append(send(99, Expected::Any, "early")).await.unwrap();
    fill(&log, 400).await;
    let (records, files) = (all(&log, STREAM).await, segments(&sim).len());
    let start = log.forget_before(Offset(250)).unwrap();
    assert!(start > Offset(100) && start < Offset(250));
    assert!(segments(&sim).len() < files);
    for round in 0..2 {
        let log = if round == 0 { log.clone() } else { open_sim(&sim).unwrap() };
        assert_eq!(log.start(STREAM, HERE).await.unwrap(), start);
        let kept = usize::try_from(start.0).unwrap();
        assert_eq!(all_after(&log, STREAM, start).await, records[kept..]);
        for after in [Offset::ZERO, Offset(start.0 - 1)] {
            let error = refused(log.read(STREAM, HERE, after, 10).await);
            assert_eq!(error.kind, ErrorKind::Forgotten);
        }
        assert_eq!(log.record(STREAM, HERE, start).await.unwrap(), None);
        assert_eq!(log.record(STREAM, HERE, Offset(1)).await.unwrap(), None);
        let next = Offset(start.0 + 1);
        assert_eq!(log.record(STREAM, HERE, next).await.unwrap().as_ref(), records.get(kept));
        assert_eq!(log.head(STREAM, Key(99)).await.unwrap(), None, "forgotten with its record");
        assert_eq!(log.head(STREAM, Key(3)).await.unwrap(), Some(Offset(397)));
        log.close();
    }
    let log = open_sim(&sim).unwrap();
    log.append(send(99, Expected::Head(None), "as if new")).await.unwrap();
    assert_eq!(log.head(STREAM, Key(99)).await.unwrap(), Some(Offset(402)));
}

#[tokio::test]
async fn the_segment_that_is_written_to_is_never_forgotten() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 200).await;
    let start = log.forget_before(Offset(u64::MAX)).unwrap();
    assert!(start < Offset(200));
    assert_eq!(segments(&sim).len(), 1);
    fill(&log, 200).await;
    assert_eq!(all_after(&log, STREAM, start).await.len() as u64, 400 - start.0);
}

#[tokio::test]
async fn a_consumer_passes_what_was_forgotten() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 300).await;
    let mut consumer = log.open("late", STREAM, HERE, Offset::ZERO).await.unwrap();
    let got = consumer.fetch(5, std::time::Duration::ZERO).await.unwrap();
    for delivery in &got {
        consumer.nak(delivery.record.offset, std::time::Duration::ZERO).await.unwrap();
    }
    let start = log.forget_before(Offset(200)).unwrap();
    let got = consumer.fetch(1, std::time::Duration::ZERO).await.unwrap();
    assert_eq!(got[0].record.offset, Offset(start.0 + 1));
    consumer.ack(got[0].record.offset).await.unwrap();
    assert!(consumer.floor().await.unwrap() >= start);
}

#[tokio::test]
async fn reading_behind_the_start_while_it_moves_gives_no_error() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 600).await;
    let reader = {
        let log = log.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                let start = log.start(STREAM, HERE).await.unwrap();
                let records = all_after(&log, STREAM, start.max(Offset(580))).await;
                assert!(records.is_sorted_by(|one, next| one.offset < next.offset));
                assert_eq!(records.last().map(|last| last.offset), Some(Offset(600)));
            }
        })
    };
    for offset in (0..600).step_by(20) {
        log.forget_before(Offset(offset)).unwrap();
        tokio::task::yield_now().await;
    }
    reader.await.unwrap();
}

#[tokio::test]
async fn only_what_is_old_covered_and_passed_by_every_consumer_is_forgotten() {
    let (sim, clock) = (SimDisk::new(1), ManualClock::default());
    let log = open(sim.disk(), small(), &clock).unwrap();
    fill(&log, 300).await;
    let early = log.end(STREAM, HERE).await.unwrap();
    clock.advance(Duration::from_mins(1));
    let later = clock.now();
    fill(&log, 300).await;
    let everything = Offset(u64::MAX);
    assert_eq!(log.forget(everything, Timestamp(0)).unwrap(), Offset::ZERO, "nothing is old");
    assert_eq!(log.forget(Offset::ZERO, later).unwrap(), Offset::ZERO, "nothing is covered");
    let start = log.forget(Offset(100), later).unwrap();
    assert!(start > Offset(30) && start <= Offset(100));
    let mut consumer = log.open("slow", STREAM, HERE, start).await.unwrap();
    let got = consumer.fetch(100, Duration::ZERO).await.unwrap();
    assert_eq!(log.forget(everything, later).unwrap(), start, "a consumer has not passed it");
    consumer.ack(got[99].record.offset).await.unwrap();
    let second = log.forget(everything, later).unwrap();
    assert!(second > start && second <= got[99].record.offset);
    assert_eq!(log.floors().unwrap(), [("slow.m0".to_owned(), got[99].record.offset)]);
    drop(consumer);
    log.close();
    drop(log);
    // A place that cannot be read may be anywhere.
    sim.flip_bit("consumers/slow.m0.place", 12, 1);
    let log = open(sim.disk(), small(), &clock).unwrap();
    assert_eq!(log.forget(everything, later).unwrap(), second);
    sim.disk().remove("consumers/slow.m0.place").unwrap();
    let third = log.forget(everything, later).unwrap();
    assert!(third > second && third <= early, "the younger half stays: {third}");
}

#[tokio::test]
async fn records_of_the_system_outlive_their_segments_and_their_chain_goes_on() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    let mut previous = None;
    let mut placed = Vec::new();
    for n in 0..5_u8 {
        fill(&log, 100).await;
        let record = NewRecord { kind: Kind::System, body: vec![n; 50].into() };
        let append = Append {
            stream: StreamId::System,
            key: Key(7),
            expected: Expected::Head(previous),
            records: smallvec![record],
        };
        let appended = log.append(append).await.unwrap();
        previous = Some(appended.last.offset);
        placed.push(appended.last.offset);
        // Young ones are read from segments, old ones from what is kept.
        log.forget_before(appended.last.offset).unwrap();
    }
    fill(&log, 200).await;
    let start = log.forget_before(Offset(u64::MAX)).unwrap();
    assert!(start > placed[4]);
    for _ in 0..2 {
        let log = open_again(&sim, log.clone());
        assert_eq!(log.start(StreamId::System, HERE).await.unwrap(), Offset::ZERO);
        let found = all(&log, StreamId::System).await;
        assert!(found.iter().map(|record| record.offset).eq(placed.iter().copied()));
        for (n, place) in placed.iter().enumerate() {
            let record = log.record(StreamId::System, HERE, *place).await.unwrap().unwrap();
            assert_eq!(record, found[n]);
            assert_eq!(record.body, vec![u8::try_from(n).unwrap(); 50]);
            assert_eq!(log.record(STREAM, HERE, *place).await.unwrap(), None);
        }
        assert_eq!(log.head(StreamId::System, Key(7)).await.unwrap(), previous);
    }
    let log = open_again(&sim, log);
    let record = NewRecord { kind: Kind::System, body: Bytes::from_static(b"next") };
    let append = |expected| Append {
        stream: StreamId::System,
        key: Key(7),
        expected: Expected::Head(expected),
        records: smallvec![record.clone()],
    };
    assert!(log.append(append(None)).await.is_err(), "the chain is not new");
    log.append(append(previous)).await.unwrap();
}

fn open_again(sim: &SimDisk, log: Arc<EmbeddedLog>) -> Arc<EmbeddedLog> {
    log.close();
    drop(log);
    open_sim(sim).unwrap()
}
