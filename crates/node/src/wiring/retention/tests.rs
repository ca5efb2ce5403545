//! The job on real engines.

use klatch_embedded::stores::{ReadModel, Stores, StoresConfig};
use klatch_ports::log::{EventConsumer as _, LogReader as _};
use klatch_retention::Snapshot;
use klatch_testkit::ManualClock;

use super::*;
use crate::upkeep::tests::story::{follow, open_small, tell};

const STREAM: StreamId = StreamId::Messages;
const HERE: Partition = Partition(0);
const MONTH: Duration = Duration::from_hours(24 * 30);

struct World {
    dir: tempfile::TempDir,
    clock: ManualClock,
    job: Arc<Job>,
}

impl World {
    /// Rows up to the end of a log that was written just now.
    async fn new() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let (at, time) = (dir.path().to_owned(), clock.clone());
        let (log, live) = tokio::task::spawn_blocking(move || {
            let log = open_small(&at, &time);
            tell(&log, 1_500);
            let live = Stores::open(&at, StoresConfig::default()).unwrap();
            follow(&log, &live, Offset(1_521));
            (log, live)
        })
        .await
        .unwrap();
        assert_eq!(log.end(STREAM, HERE).await.unwrap(), Offset(1_521));
        let job = Job {
            dir: dir.path().to_owned(),
            retention: Retention {
                log,
                live,
                snapshot: Snapshot::of(dir.path()),
                clock: Arc::new(clock.clone()),
                kept_for: MONTH,
            },
            stop: CancellationToken::new(),
            stats: Arc::default(),
        };
        Self { dir, clock, job: Arc::new(job) }
    }

    /// One round, if there is work; where the log begins then.
    async fn round(&self) -> Offset {
        if self.job.has_work().await {
            let job = Arc::clone(&self.job);
            tokio::task::spawn_blocking(move || job.round()).await.unwrap();
        }
        self.job.retention.log.start(STREAM, HERE).await.unwrap()
    }

    fn failures(&self) -> u64 {
        self.job.stats.failures.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn nothing_is_done_while_nothing_is_old_and_then_all_of_it_goes() {
    let world = World::new().await;
    assert_eq!(world.round().await, Offset::ZERO);
    assert!(!world.dir.path().join("snapshot").exists(), "a young server pays nothing");
    world.clock.advance(MONTH + Duration::from_secs(1));
    let start = world.round().await;
    assert!(start > Offset(1_300), "{start}");
    let stats = &world.job.stats;
    assert!(stats.forgotten.load(Ordering::Relaxed) > 10);
    assert_eq!(stats.covers.load(Ordering::Relaxed), 1_521);
    assert_eq!((world.failures(), stats.snapshot.load(Ordering::Relaxed)), (0, 1));
    assert_eq!(world.round().await, start, "nothing whole is left that is old");
    assert_eq!(stats.snapshot.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_consumer_that_has_not_passed_holds_the_log() {
    let world = World::new().await;
    let log = &world.job.retention.log;
    let mut consumer = log.open("slow", STREAM, HERE, Offset::ZERO).await.unwrap();
    let got = consumer.fetch(700, Duration::ZERO).await.unwrap();
    world.clock.advance(MONTH * 2);
    assert_eq!(world.round().await, Offset::ZERO);
    consumer.ack(got.last().unwrap().record.offset).await.unwrap();
    let start = world.round().await;
    assert!(start > Offset(400) && start <= got.last().unwrap().record.offset);
}

#[tokio::test]
async fn nothing_is_forgotten_while_the_snapshot_is_damaged_or_rows_differ() {
    let world = World::new().await;
    let log = &world.job.retention.log;
    let mut consumer = log.open("slow", STREAM, HERE, Offset::ZERO).await.unwrap();
    let got = consumer.fetch(700, Duration::ZERO).await.unwrap();
    consumer.ack(got.last().unwrap().record.offset).await.unwrap();
    world.clock.advance(MONTH * 2);
    let first = world.round().await;
    assert!(first > Offset::ZERO);
    consumer.fetch(1_000, Duration::ZERO).await.unwrap();
    consumer.ack(Offset(1_521)).await.unwrap();
    // The consumer has passed: only the snapshot keeps the log now.
    let manifest = world.dir.path().join("snapshot").join("MANIFEST");
    let kept = std::fs::read(&manifest).unwrap();
    let mut damaged = kept.clone();
    damaged[40] ^= 1;
    std::fs::write(&manifest, damaged).unwrap();
    assert_eq!((world.round().await, world.failures()), (first, 1));
    std::fs::write(&manifest, &kept).unwrap();
    let snapshot = world.dir.path().join("snapshot");
    let aside = world.dir.path().join("aside");
    let messages = snapshot.join("stores").join(ReadModel::Messages.as_str());
    std::fs::rename(&messages, &aside).unwrap();
    assert_eq!((world.round().await, world.failures()), (first, 2));
    std::fs::remove_dir_all(&messages).unwrap();
    std::fs::rename(&aside, &messages).unwrap();
    let second = world.round().await;
    assert!(second > first && world.failures() == 2, "{second}");
}

#[tokio::test]
async fn rows_that_are_being_made_again_are_waited_for_and_are_no_failure() {
    let world = World::new().await;
    let log = &world.job.retention.log;
    let _held = log.open("slow", STREAM, HERE, Offset::ZERO).await.unwrap();
    world.clock.advance(MONTH * 2);
    assert_eq!(world.round().await, Offset::ZERO);
    assert_eq!(world.job.stats.snapshot.load(Ordering::Relaxed), 1);
    let (log, retention) = (Arc::clone(log), world.job.retention.clone());
    tokio::task::spawn_blocking(move || {
        let dir = tempfile::tempdir().unwrap();
        let live = Stores::open(dir.path(), StoresConfig::default()).unwrap();
        let job = Job {
            dir: dir.path().to_owned(),
            retention: Retention { live: live.clone(), ..retention },
            stop: CancellationToken::new(),
            stats: Arc::default(),
        };
        for made in [0, 700, 1_521] {
            follow(&log, &live, Offset(made));
            assert_eq!(job.round(), made == 1_521, "{made}");
            assert_eq!(job.stats.failures.load(Ordering::Relaxed), 0, "{made}");
        }
        assert_eq!(job.stats.snapshot.load(Ordering::Relaxed), 2);
    })
    .await
    .unwrap();
}
