use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::Timestamp;
use klatch_ports::log::{Batch, Record};
use klatch_ports::messages::Applied;
use klatch_ports::{ErrorKind, PortError, PortResult};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{ApplyError, Projection, ProjectionConfig, Projector, PumpError};

/// A read model that lists what it was given. Texts steer it: `poison` makes a batch fail,
/// `panic` panics, `bad` is named as the culprit.
#[derive(Default)]
struct Listing {
    state: Mutex<State>,
    /// Failures to report before anything else, first to last.
    outages: Mutex<VecDeque<ErrorKind>>,
}

#[derive(Default)]
struct State {
    committed: Applied,
    advanced: Offset,
    rows: Vec<String>,
    batches: Vec<usize>,
    applied_at: Vec<Instant>,
}

#[async_trait]
impl Projector for Listing {
    fn name(&self) -> &'static str {
        "listing"
    }

    fn stream(&self) -> StreamId {
        StreamId::Messages
    }

    async fn position(&self, _partition: Partition) -> PortResult<Applied> {
        Ok(self.state.lock().committed)
    }

    async fn apply(
        &self,
        _partition: Partition,
        through: Applied,
        records: &[Record],
    ) -> Result<(), ApplyError> {
        if let Some(kind) = self.outages.lock().pop_front() {
            return Err(PortError::new(kind, "listing", "commit").into());
        }
        for record in records {
            match text(&record.body).as_str() {
                "poison" => {
                    return Err(PortError::new(ErrorKind::Corrupt, "listing", "fold").into());
                }
                "panic" => panic!("cannot fold this"),
                "bad" => {
                    let reason = "cannot be read".to_owned();
                    return Err(ApplyError::Record { offset: record.offset, reason });
                }
                _ => {}
            }
        }
        let mut state = self.state.lock();
        assert!(state.committed.offset < through.offset, "positions only grow");
        state.rows.extend(records.iter().map(|record| text(&record.body)));
        state.batches.push(records.len());
        state.applied_at.push(Instant::now());
        state.committed = through;
        Ok(())
    }

    async fn advance(&self, _partition: Partition, through: Applied) -> PortResult<()> {
        self.state.lock().advanced = through.offset;
        Ok(())
    }
}

struct Running {
    listing: Arc<Listing>,
    progress: Arc<crate::Progress>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), PumpError>>,
}

fn run_on(reader: Arc<dyn LogReader>, log: &MemoryLog, listing: Listing) -> Running {
    let listing = Arc::new(listing);
    let config = ProjectionConfig { batch: 10, commit_every: 50, ..ProjectionConfig::default() };
    let projector = Arc::clone(&listing) as Arc<dyn Projector>;
    let projection = Projection::new(projector, P0, reader, dead_letters(log), config);
    let progress = projection.progress();
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let task = tokio::spawn(async move { projection.run(token).await });
    Running { listing, progress, shutdown, task }
}

fn run(log: &MemoryLog, listing: Listing) -> Running {
    run_on(Arc::new(log.clone()), log, listing)
}

impl Running {
    /// Waits until the loop has dealt with everything up to `offset`.
    async fn reach(&self, offset: Offset) {
        while self.progress.snapshot().through < offset {
            assert!(!self.task.is_finished(), "the loop ended");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn stop(self) -> Arc<Listing> {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        self.listing
    }
}

fn rows(listing: &Listing) -> Vec<String> {
    listing.state.lock().rows.clone()
}

#[tokio::test(start_paused = true)]
async fn a_projection_applies_every_record_once_in_order_in_bounded_batches() {
    let log = log();
    let said: Vec<_> = (0..95).map(|n| n.to_string()).collect();
    for text in &said {
        say(&log, StreamId::Messages, text).await;
    }
    let running = run(&log, Listing::default());
    running.reach(Offset(95)).await;
    let listing = running.stop().await;
    assert_eq!(rows(&listing), said);
    assert!(listing.state.lock().batches.iter().all(|batch| *batch <= 10));
    assert_eq!(listing.state.lock().committed, Applied { epoch: EPOCH, offset: Offset(95) });
}

#[tokio::test(start_paused = true)]
async fn a_projection_begun_again_goes_on_at_its_own_position() {
    let log = log();
    say(&log, StreamId::Messages, "one").await;
    let running = run(&log, Listing::default());
    running.reach(Offset(1)).await;
    let listing = Arc::into_inner(running.stop().await).unwrap();
    say(&log, StreamId::Messages, "two").await;
    let running = run(&log, listing);
    running.reach(Offset(2)).await;
    assert_eq!(rows(&*running.stop().await), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_lone_record_is_applied_without_waiting_and_a_dense_stream_fills_batches() {
    let log = log();
    let running = run(&log, Listing::default());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = Instant::now();
    say(&log, StreamId::Messages, "lone").await;
    running.reach(Offset(1)).await;
    let at = *running.listing.state.lock().applied_at.last().unwrap();
    assert_eq!(at, before, "applied in the moment it was appended");
    // Three a millisecond for 200 ms: above 2,000 a second.
    for _ in 0..200 {
        for _ in 0..3 {
            say(&log, StreamId::Messages, "dense").await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.reach(Offset(601)).await;
    let listing = running.stop().await;
    let late: Vec<_> = listing.state.lock().batches.iter().rev().take(20).copied().collect();
    assert!(late.iter().filter(|batch| **batch == 10).count() >= 10, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_waited_out_and_nothing_is_buried() {
    let log = log();
    say(&log, StreamId::Messages, "kept").await;
    let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Misconfigured];
    let outages = kinds.into_iter().cycle().take(40).collect();
    let running = run(&log, Listing { outages: Mutex::new(outages), ..Listing::default() });
    running.reach(Offset(1)).await;
    let snapshot = running.progress.snapshot();
    assert_eq!((snapshot.failures, snapshot.dead_letters, snapshot.failing), (40, 0, false));
    assert_eq!(rows(&*running.stop().await), ["kept"]);
    assert_eq!(buried(&log).await, []);
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_applied_are_buried_and_all_others_applied() {
    let log = log();
    for text in ["a", "bad", "b", "poison", "c", "panic", "d", "bad"] {
        say(&log, StreamId::Messages, text).await;
    }
    let running = run(&log, Listing::default());
    running.reach(Offset(8)).await;
    let last = say(&log, StreamId::Messages, "e").await;
    running.reach(last).await;
    assert_eq!(running.progress.snapshot().dead_letters, 4);
    let listing = running.stop().await;
    assert_eq!(rows(&listing), ["a", "b", "c", "d", "e"]);
    let letters = buried(&log).await;
    let mut told: Vec<_> = letters
        .iter()
        .map(|letter| (letter.position.offset.0, letter.attempts, letter.reason.as_str()))
        .collect();
    told.sort_unstable();
    let poison = PortError::new(ErrorKind::Corrupt, "listing", "fold").to_string();
    assert_eq!(
        told,
        [
            (2, 1, "cannot be read"),
            (4, 5, poison.as_str()),
            (6, 5, "the worker panicked: cannot fold this"),
            (8, 1, "cannot be read"),
        ]
    );
    assert!(letters.iter().all(|letter| letter.consumer == "listing"
        && letter.position.stream == StreamId::Messages
        && letter.position.epoch == EPOCH));
}

#[tokio::test(start_paused = true)]
async fn a_buried_record_does_not_come_back_after_a_restart() {
    let log = log();
    say(&log, StreamId::Messages, "bad").await;
    let running = run(&log, Listing::default());
    running.reach(Offset(1)).await;
    let listing = Arc::into_inner(running.stop().await).unwrap();
    assert_eq!(listing.state.lock().committed.offset, Offset(1));
    let running = run(&log, listing);
    running.reach(Offset(1)).await;
    running.stop().await;
    assert_eq!(buried(&log).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn offsets_without_records_move_readers_on_and_are_committed_now_and_then() {
    let log = log();
    for _ in 0..20 {
        say(&log, StreamId::Webhooks, "elsewhere").await;
    }
    let running = run(&log, Listing::default());
    running.reach(Offset(20)).await;
    assert_eq!(running.listing.state.lock().advanced, Offset(20));
    assert_eq!(running.listing.state.lock().committed, Applied::default());
    for _ in 0..40 {
        say(&log, StreamId::Webhooks, "elsewhere").await;
    }
    running.reach(Offset(60)).await;
    let committed = running.stop().await.state.lock().committed;
    assert!(committed.offset >= Offset(50), "{committed:?}");
}

fn with_position(epoch: u32, offset: u64) -> Listing {
    let committed = Applied { epoch: Epoch(epoch), offset: Offset(offset) };
    Listing { state: Mutex::new(State { committed, ..State::default() }), ..Listing::default() }
}

#[tokio::test(start_paused = true)]
async fn rows_of_another_epoch_stop_the_loop_and_say_what_to_do() {
    let log = log();
    say(&log, StreamId::Messages, "x").await;
    let stopped = run(&log, with_position(6, 1)).task.await.unwrap().unwrap_err();
    assert!(matches!(stopped, PumpError::OtherEpoch { .. }), "{stopped}");
    assert!(stopped.to_string().contains("klatch rebuild listing"), "{stopped}");
    // An empty store has no rows to contradict the log.
    let running = run(&log, with_position(6, 0));
    running.reach(Offset(1)).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rows_beyond_the_end_of_the_log_stop_the_loop() {
    let log = log();
    let stopped = run(&log, with_position(EPOCH.0, 5)).task.await.unwrap().unwrap_err();
    assert!(matches!(stopped, PumpError::Ahead { .. }), "{stopped}");
}

/// The log in memory, as if retention had taken the first records.
struct Forgetful(MemoryLog, Offset);

#[async_trait]
impl LogReader for Forgetful {
    fn epoch(&self) -> Epoch {
        self.0.epoch()
    }

    fn partitions(&self, stream: StreamId) -> u16 {
        self.0.partitions(stream)
    }

    fn partition_of(&self, stream: StreamId, key: Key) -> Partition {
        self.0.partition_of(stream, key)
    }

    async fn end(&self, stream: StreamId, partition: Partition) -> PortResult<Offset> {
        self.0.end(stream, partition).await
    }

    async fn start(&self, _stream: StreamId, _partition: Partition) -> PortResult<Offset> {
        Ok(self.1)
    }

    async fn read(
        &self,
        stream: StreamId,
        partition: Partition,
        after: Offset,
        limit: usize,
    ) -> PortResult<Batch> {
        self.0.read(stream, partition, after.max(self.1), limit).await
    }

    async fn wait(
        &self,
        stream: StreamId,
        partition: Partition,
        after: Offset,
        most: Duration,
    ) -> PortResult<()> {
        self.0.wait(stream, partition, after, most).await
    }

    async fn at_time(
        &self,
        stream: StreamId,
        partition: Partition,
        time: Timestamp,
    ) -> PortResult<Offset> {
        self.0.at_time(stream, partition, time).await
    }

    async fn head(&self, stream: StreamId, key: Key) -> PortResult<Option<Offset>> {
        self.0.head(stream, key).await
    }

    async fn record(
        &self,
        stream: StreamId,
        partition: Partition,
        offset: Offset,
    ) -> PortResult<Option<Record>> {
        self.0.record(stream, partition, offset).await
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_end_before_the_log_begins_stop_the_loop_and_ask_for_a_snapshot() {
    let log = log();
    for _ in 0..9 {
        say(&log, StreamId::Messages, "x").await;
    }
    let reader = || Arc::new(Forgetful(log.clone(), Offset(5))) as Arc<dyn LogReader>;
    for short in [with_position(0, 0), with_position(EPOCH.0, 4)] {
        let stopped = run_on(reader(), &log, short).task.await.unwrap().unwrap_err();
        assert!(matches!(stopped, PumpError::Forgotten { .. }), "{stopped}");
        assert!(stopped.to_string().contains("snapshot"), "{stopped}");
    }
    let running = run_on(reader(), &log, with_position(EPOCH.0, 5));
    running.reach(Offset(9)).await;
    assert_eq!(running.stop().await.state.lock().rows.len(), 4);
}
