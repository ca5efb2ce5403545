//! Copies made while the log is written to.

use std::sync::Arc;

use klatch_log::bump_epoch;
use klatch_log::disk::sim::SimDisk;
use klatch_ports::log::{EventAppender, Expected, LogReader};
use klatch_ports::{ErrorKind, Partition, StreamId};
use klatch_testkit::SeededEntropy;

use crate::rig::{all, fill, open_sim, refused, segments, send};

#[tokio::test]
async fn a_copy_under_load_holds_all_that_was_acknowledged_before_and_opens_in_another_epoch() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 300).await;
    let before = all(&log, StreamId::Messages).await;
    let writer = {
        let log = Arc::clone(&log);
        tokio::spawn(async move { fill(&log, 300).await })
    };
    let target = SimDisk::new(2);
    let (source, disk) = (Arc::clone(&log), target.disk());
    let copied = tokio::task::spawn_blocking(move || source.copy_to(&*disk, |_, _| {}));
    let copied = copied.await.unwrap().unwrap();
    writer.await.unwrap();
    let whole = all(&log, StreamId::Messages).await;

    // Everything in it is on the disk.
    target.power_cut();
    assert_eq!(open_sim(&target).unwrap().epoch(), log.epoch());
    bump_epoch(&*target.disk(), &SeededEntropy::new(9)).unwrap();
    let copy = open_sim(&target).unwrap();
    assert_ne!(copy.epoch(), log.epoch());
    let held = all(&copy, StreamId::Messages).await;
    assert!(held.len() >= before.len(), "{} of {}", held.len(), before.len());
    assert_eq!(held, whole[..held.len()]);
    assert_eq!(held.last().unwrap().offset, copied.end);
    assert!(segments(&target).len() > 3);
    let next = copy.append(send(3, Expected::Any, "more")).await.unwrap();
    assert_eq!(next.first.offset.0, copied.end.0 + 1);
}

#[tokio::test]
async fn a_copy_of_a_damaged_segment_is_refused_and_names_it() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 300).await;
    let damaged = segments(&sim)[2].clone();
    sim.flip_bit(&damaged, 700, 3);
    let error = refused(log.copy_to(&*SimDisk::new(2).disk(), |_, _| {}));
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.to_string().contains(&damaged), "{error}");
}

#[tokio::test]
async fn an_empty_log_is_copied_too() {
    let (sim, target) = (SimDisk::new(1), SimDisk::new(2));
    let log = open_sim(&sim).unwrap();
    let copied = log.copy_to(&*target.disk(), |_, _| {}).unwrap();
    let copy = open_sim(&target).unwrap();
    assert_eq!(copy.end(StreamId::Messages, Partition(0)).await.unwrap(), copied.end);
    fill(&copy, 10).await;
}
