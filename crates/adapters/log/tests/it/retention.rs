//! Forgetting whole segments.

use klatch_log::disk::sim::SimDisk;
use klatch_ports::log::{EventAppender, EventConsumer, Expected, Key, LogReader};
use klatch_ports::{Offset, Partition, StreamId};

use crate::rig::{all, fill, open_sim, segments, send};

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
        assert_eq!(all(&log, STREAM).await, records[kept..]);
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
    assert_eq!(all(&log, STREAM).await.len() as u64, 400 - start.0);
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
async fn reading_while_segments_are_forgotten_gives_no_error() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 600).await;
    let reader = {
        let log = log.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                let records = all(&log, STREAM).await;
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
