//! The disk is full, slow, broken, or somebody else's.

use std::sync::Arc;
use std::time::Duration;

use klatch_log::disk::RealDisk;
use klatch_log::disk::sim::SimDisk;
use klatch_log::{EmbeddedLog, LogConfig};
use klatch_ports::log::{AppendError, EventAppender, EventConsumer, Expected, Key, LogReader};
use klatch_ports::{ErrorKind, Offset, Partition, StreamId};
use klatch_testkit::{ManualClock, SeededEntropy};

use crate::rig::{all, fill, open, open_sim, refused, segments, send, small};

const STREAM: StreamId = StreamId::Messages;
const HERE: Partition = Partition(0);
const PATIENCE: Duration = Duration::from_secs(10);

fn kind(outcome: Result<klatch_ports::log::Appended, AppendError>) -> Option<ErrorKind> {
    match outcome {
        Ok(_) => None,
        Err(AppendError::Port(error)) => Some(error.kind),
        Err(AppendError::Conflict { actual }) => panic!("a conflict with {actual:?}"),
    }
}

/// Appends until something else than success is answered; how many succeeded.
async fn append_until_refused(log: &EmbeddedLog) -> (u64, ErrorKind) {
    for count in 0.. {
        let outcome = log.append(send(1, Expected::Any, vec![7; 300])).await;
        if let Some(kind) = kind(outcome) {
            return (count, kind);
        }
    }
    unreachable!("a disk ends")
}

/// Appends until it succeeds.
async fn append_when_possible(log: &EmbeddedLog, refusal: ErrorKind) -> Offset {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match log.append(send(1, Expected::Any, "again")).await {
            Ok(appended) => return appended.last.offset,
            Err(AppendError::Port(error)) if error.kind == refusal => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(tokio::time::Instant::now() < until, "it does not recover");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_appends_keeps_reads_and_recovers_by_itself() {
    for capacity in [9_000, 21_000, 33_000, 60_000] {
        let sim = SimDisk::new(1);
        sim.set_capacity(capacity);
        let log = open_sim(&sim).unwrap();
        let (count, refusal) = append_until_refused(&log).await;
        assert_eq!(refusal, ErrorKind::Full);
        assert!(count > 3, "{count} fit into {capacity} bytes");
        assert_eq!(all(&log, STREAM).await.len() as u64, count);
        assert!(log.fatal().borrow().is_none());
        sim.set_capacity(u64::MAX);
        let offset = append_when_possible(&log, ErrorKind::Full).await;
        assert_eq!(offset.0, count + 1, "what was refused left no gap");
        fill(&log, 100).await;
        log.close();
        let log = open_sim(&sim).unwrap();
        assert_eq!(all(&log, STREAM).await.len() as u64, count + 101);
    }
}

#[tokio::test]
async fn appends_stop_while_the_disk_still_has_its_reserve() {
    const RESERVE: u64 = 200_000;
    let sim = SimDisk::new(1);
    let config = LogConfig { reserve_bytes: RESERVE, ..small() };
    sim.set_capacity(RESERVE + 60_000);
    let log = open(sim.disk(), config, &ManualClock::default()).unwrap();
    let (_, refusal) = append_until_refused(&log).await;
    assert_eq!(refusal, ErrorKind::Full);
    assert!(sim.disk().free_space().unwrap() >= RESERVE);
    // Somebody else fills the disk: appends stop although there are zeros to write over.
    sim.set_capacity(u64::MAX);
    append_when_possible(&log, ErrorKind::Full).await;
    sim.set_capacity(sim.used() + RESERVE / 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let outcome = log.append(send(1, Expected::Any, "x")).await;
    assert_eq!(kind(outcome), Some(ErrorKind::Full));
    assert!(log.stats().refused > 0);
    sim.set_capacity(u64::MAX);
    append_when_possible(&log, ErrorKind::Full).await;
}

/// Appends a record of two sectors and lets the log do what there is to do.
fn step_with(log: &EmbeddedLog, key: u128, expected: Expected) -> Result<Offset, AppendError> {
    let (told, outcome) = std::sync::mpsc::channel();
    let done = Box::new(move |outcome| told.send(outcome).unwrap());
    log.submit(send(key, expected, vec![7; 700]), done);
    while log.step() {}
    outcome.recv().unwrap().map(|appended| appended.last.offset)
}

#[test]
fn a_segment_whose_index_found_no_space_hides_no_later_record_of_its_keys() {
    let sim = SimDisk::new(1);
    let clock = Arc::new(ManualClock::default());
    let log = EmbeddedLog::open_stepped(sim.disk(), small(), clock, &SeededEntropy::new(1));
    let log = log.unwrap();
    let fill_to = |count| {
        for n in 0.. {
            step_with(&log, 1, Expected::Any).unwrap();
            // Zeros for the rest of this segment and the next are there now; what other files give
            // back must not make room.
            if count == 2 && n >= 10 {
                sim.set_capacity(sim.used());
            }
            if segments(&sim).len() == count {
                return;
            }
        }
    };
    let indexes =
        || sim.names("log").iter().filter(|name| name.strip_suffix(".idx").is_some()).count();
    let old = step_with(&log, 9, Expected::Any).unwrap();
    fill_to(2);
    assert_eq!(indexes(), 0, "{:?}", sim.names("log"));
    sim.set_capacity(u64::MAX);
    let new = step_with(&log, 9, Expected::Head(Some(old))).unwrap();
    fill_to(3);
    let stale = step_with(&log, 9, Expected::Head(Some(old)));
    assert!(matches!(stale, Err(AppendError::Conflict { actual }) if actual == Some(new)));
    step_with(&log, 9, Expected::Head(Some(new))).unwrap();
    assert_eq!(indexes(), 2, "{:?}", sim.names("log"));
}

/// The newest record of each key as the log tells it, and as its records tell it.
async fn heads(log: &EmbeddedLog) -> (Vec<Option<Offset>>, Vec<Option<Offset>>) {
    let records = all(log, STREAM).await;
    let (mut told, mut found) = (Vec::new(), Vec::new());
    for key in (0..8).map(Key) {
        told.push(log.head(STREAM, key).await.unwrap());
        let newest = records.iter().rev().find(|record| record.key == key);
        found.push(newest.map(|record| record.offset));
    }
    (told, found)
}

#[tokio::test]
async fn a_log_whose_indexes_are_missing_opens_on_a_full_disk_and_makes_them_when_there_is_space() {
    // Some of them, and all: also of segments whose heads were merged, older and newer ones.
    for missing in [&[0][..], &[5], &[9, 11], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]] {
        let sim = SimDisk::new(1);
        let log = open_sim(&sim).unwrap();
        fill(&log, 500).await;
        log.close();
        let names = segments(&sim);
        assert!(names.len() > 12, "{names:?}");
        let index = |at: usize| names[at].replace(".seg", ".idx");
        for at in missing {
            sim.disk().remove(&index(*at)).unwrap();
        }
        // What opening gives back makes no room.
        sim.set_capacity(1);
        let log = open_sim(&sim).unwrap();
        assert_eq!(all(&log, STREAM).await.len(), 500);
        let (told, found) = heads(&log).await;
        assert_eq!(told, found);
        let names = sim.names("log");
        assert!(
            !names.iter().any(|name| name.contains(".new")),
            "what did not fit stays: {names:?}"
        );
        // What is known of heads decides appends, and these wait for nothing but space.
        sim.set_capacity(u64::MAX);
        let head = append_when_possible(&log, ErrorKind::Full).await;
        log.append(send(1, Expected::Head(Some(head)), "next")).await.unwrap();
        let is_whole = || missing.iter().all(|at| sim.bytes(&index(*at)).is_some());
        let until = tokio::time::Instant::now() + PATIENCE;
        while !is_whole() {
            assert!(tokio::time::Instant::now() < until, "{:?}", sim.names("log"));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(log);
        let log = open_sim(&sim).unwrap();
        assert_eq!(all(&log, STREAM).await.len(), 502);
        let (told, found) = heads(&log).await;
        assert_eq!(told, found);
    }
}

#[tokio::test]
async fn a_log_needs_space_to_begin() {
    let sim = SimDisk::new(1);
    sim.set_capacity(2_000);
    assert_eq!(refused(open_sim(&sim)).kind, ErrorKind::Full);
    sim.set_capacity(u64::MAX);
    fill(&open_sim(&sim).unwrap(), 1).await;
}

#[tokio::test]
async fn a_failed_sync_ends_the_log_and_nothing_that_was_acknowledged_is_lost() {
    for seed in 0..20 {
        let sim = SimDisk::new(seed);
        let log = open_sim(&sim).unwrap();
        fill(&log, 10).await;
        let fail =
            if seed % 2 == 0 { SimDisk::fail_syncs_after } else { SimDisk::fail_writes_after };
        fail(&sim, seed);
        let (count, refusal) = append_until_refused(&log).await;
        assert_eq!(refusal, ErrorKind::Unavailable);
        let mut fatal = log.fatal();
        tokio::time::timeout(PATIENCE, fatal.wait_for(Option::is_some)).await.unwrap().unwrap();
        let outcome = log.append(send(1, Expected::Any, "x")).await;
        assert_eq!(kind(outcome), Some(ErrorKind::Closed));
        let certain = all(&log, STREAM).await;
        assert_eq!(certain.len() as u64, 10 + count, "what is durable can still be read");
        drop(log);

        sim.mend();
        let log = open_sim(&sim).unwrap();
        let found = all(&log, STREAM).await;
        assert!(found.len() <= certain.len() + 1 && found.starts_with(&certain));
        // What opening served is durable, although the kernel had taken it for written before.
        sim.power_cut();
        drop(log);
        let log = open_sim(&sim).unwrap();
        assert_eq!(all(&log, STREAM).await, found, "seed {seed}");
        fill(&log, 50).await;
    }
}

#[tokio::test]
async fn every_append_is_answered_when_the_disk_fails() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 1).await;
    sim.set_sync_delay(Duration::from_millis(20));
    let many = (100..300).map(|n| log.append(send(n, Expected::Head(None), "x")));
    let fail = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        sim.fail_syncs_after(0);
    };
    let answers = futures::future::join(futures::future::join_all(many), fail);
    let (answers, ()) = tokio::time::timeout(PATIENCE, answers).await.unwrap();
    assert!(answers.into_iter().any(|answer| kind(answer) == Some(ErrorKind::Unavailable)));
}

#[tokio::test]
async fn a_slow_disk_throttles_when_the_queue_is_full_and_acknowledges_nothing_early() {
    let sim = SimDisk::new(1);
    let config = LogConfig { queue_bytes: 20_000, ..small() };
    let log = open(sim.disk(), config, &ManualClock::default()).unwrap();
    sim.set_sync_delay(Duration::from_millis(30));
    let began = tokio::time::Instant::now();
    let many = (0..100).map(|n| log.append(send(n, Expected::Any, vec![7; 400])));
    let answers = futures::future::join_all(many).await;
    assert!(began.elapsed() >= Duration::from_millis(30));
    let throttled = answers.iter().filter(|answer| answer.is_err()).count();
    assert!((20..90).contains(&throttled), "{throttled}");
    for answer in answers {
        assert!(matches!(kind(answer), None | Some(ErrorKind::Throttled)));
    }
    assert_eq!(all(&log, STREAM).await.len(), 100 - throttled);
    append_when_possible(&log, ErrorKind::Throttled).await;
    assert_eq!(log.stats().queue_bytes, 0, "nothing waits any more");
}

#[tokio::test]
async fn a_directory_is_one_log_s_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { reserve_bytes: 0, ..LogConfig::default() };
    let disk = || Arc::new(RealDisk::open(dir.path()).unwrap());
    let clock = ManualClock::default();
    let log = open(disk(), config.clone(), &clock).unwrap();
    let error = refused(open(disk(), config.clone(), &clock));
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let words = error.to_string();
    assert!(words.contains(dir.path().to_str().unwrap()) && words.contains("stop it"), "{words}");
    log.close();
    let again = open(disk(), config.clone(), &clock).unwrap();
    drop(log);
    assert_eq!(refused(open(disk(), config, &clock)).kind, ErrorKind::Unavailable);
    drop(again);
}

#[tokio::test]
async fn an_empty_log_is_small_and_grows_with_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { reserve_bytes: 0, ..LogConfig::default() };
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let log = open(disk, config, &ManualClock::default()).unwrap();
    let used = || {
        let files = std::fs::read_dir(dir.path().join("log")).unwrap().flatten();
        files.map(|file| file.metadata().unwrap().len()).sum::<u64>()
    };
    assert!(used() < 300 * 1024, "{} bytes", used());
    for _ in 0..20 {
        log.append(send(1, Expected::Any, vec![7; 1024 * 1024])).await.unwrap();
    }
    assert!(used() > 20 * 1024 * 1024);
    assert!(used() < 64 * 1024 * 1024);
}

#[tokio::test]
async fn closing_serves_what_is_queued_and_refuses_the_rest() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    sim.set_sync_delay(Duration::from_millis(10));
    let (sender, receiver) = std::sync::mpsc::channel();
    for n in 0..50 {
        let sender = sender.clone();
        let done = move |outcome| sender.send(kind(outcome)).unwrap();
        log.submit(send(n, Expected::Any, "x"), Box::new(done));
    }
    log.close();
    assert!(receiver.try_iter().take(50).all(|outcome| outcome.is_none()));
    assert_eq!(kind(log.append(send(1, Expected::Any, "x")).await), Some(ErrorKind::Closed));
    assert_eq!(log.end(STREAM, HERE).await.unwrap(), Offset(50));
    assert_eq!(all(&log, STREAM).await.len(), 50, "reading goes on");
    log.close();
}

#[tokio::test]
async fn a_completion_that_panics_harms_no_other() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    log.submit(send(1, Expected::Any, "x"), Box::new(|_| panic!("on purpose")));
    fill(&log, 3).await;
    assert_eq!(log.end(STREAM, HERE).await.unwrap(), Offset(4));
}

#[tokio::test]
async fn statistics_count_what_happened() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 10).await;
    assert!(log.append(send(1, Expected::Head(None), "x")).await.is_err());
    let stats = log.stats();
    assert_eq!((stats.appends, stats.records, stats.conflicts), (10, 10, 1));
    assert_eq!((stats.syncs, stats.sync_buckets.iter().sum::<u64>()), (10, 10));
    assert_eq!(stats.batch_records_max, 1);
    assert!(stats.bytes >= 10 * 512 && stats.queue_bytes == 0);
}

#[tokio::test]
async fn a_consumer_whose_place_could_not_be_synced_begins_when_it_is_tried_again() {
    for syncs in 0..2 {
        let sim = SimDisk::new(1);
        let log = open_sim(&sim).unwrap();
        fill(&log, 10).await;
        // Not while the log marks its end or fills zeros.
        log.close();
        sim.fail_syncs_after(syncs);
        refused(log.open("worker", STREAM, HERE, Offset(4)).await.map(|_| ()));
        sim.mend();
        let consumer = log.open("worker", STREAM, HERE, Offset(4)).await.unwrap();
        assert_eq!(consumer.floor().await.unwrap(), Offset(4));
    }
}
