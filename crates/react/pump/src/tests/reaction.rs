use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use klatch_ports::PortResult;
use klatch_ports::log::{EventConsumer, Record};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{ReactError, Reaction, ReactionConfig, Reactor, Start};

/// Notes each attempt. Texts steer it: `fail` fails, `refuse` is refused, `hang` never ends,
/// `away` is away ten times, `panic` panics once.
#[derive(Default)]
struct Jobs {
    attempts: Mutex<Vec<String>>,
}

#[async_trait]
impl Reactor for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn stream(&self) -> StreamId {
        StreamId::Webhooks
    }

    fn start(&self) -> Start {
        Start::Oldest
    }

    async fn react(&self, record: &Record) -> Result<(), ReactError> {
        let text = text(&record.body);
        self.attempts.lock().push(text.clone());
        let count = self.attempts.lock().iter().filter(|said| **said == text).count();
        match text.as_str() {
            "fail" => Err(ReactError::Failed("it failed".to_owned())),
            "refuse" => Err(ReactError::Refused("not for us".to_owned())),
            "hang" => std::future::pending().await,
            "away" if count <= 10 => Err(ReactError::Away("not there".to_owned())),
            "panic" if count == 1 => panic!("slipped"),
            _ => Ok(()),
        }
    }
}

struct Running {
    jobs: Arc<Jobs>,
    progress: Arc<crate::Progress>,
    shutdown: CancellationToken,
    task: JoinHandle<PortResult<()>>,
}

fn run(log: &MemoryLog, jobs: &Arc<Jobs>) -> Running {
    let ports = (
        Arc::new(log.clone()) as Arc<dyn LogReader>,
        Arc::new(log.clone()) as Arc<dyn EventConsumer>,
    );
    let reactor = Arc::clone(jobs) as Arc<dyn Reactor>;
    let config = ReactionConfig::default();
    let reaction = Reaction::new(reactor, P0, ports, dead_letters(log), config);
    let (progress, shutdown) = (reaction.progress(), CancellationToken::new());
    let token = shutdown.clone();
    let task = tokio::spawn(async move { reaction.run(token).await });
    Running { jobs: Arc::clone(jobs), progress, shutdown, task }
}

impl Running {
    async fn reach(&self, offset: Offset) {
        while self.progress.snapshot().through < offset {
            assert!(!self.task.is_finished(), "the loop ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn counts(&self) -> HashMap<String, usize> {
        self.jobs.attempts.lock().iter().fold(HashMap::new(), |mut counts, text| {
            *counts.entry(text.clone()).or_default() += 1;
            counts
        })
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_job_is_tried_again_and_then_buried_while_others_go_on() {
    let log = log();
    for text in ["a", "fail", "refuse", "away", "panic", "hang", "b"] {
        say(&log, StreamId::Webhooks, text).await;
    }
    let running = run(&log, &Arc::default());
    running.reach(Offset(7)).await;
    let counts = running.counts();
    let expected =
        [("a", 1), ("fail", 5), ("refuse", 1), ("away", 11), ("panic", 2), ("hang", 5), ("b", 1)];
    assert_eq!(counts, expected.map(|(text, count)| (text.to_owned(), count)).into());
    let letters = buried(&log).await;
    let told: Vec<_> =
        letters.iter().map(|l| (l.position.offset.0, l.attempts, l.reason.as_str())).collect();
    assert!(told.contains(&(2, 5, "it failed")), "{told:?}");
    assert!(told.contains(&(3, 1, "not for us")), "{told:?}");
    assert!(told.contains(&(6, 5, "the job took too long")), "{told:?}");
    assert_eq!(told.len(), 3);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reaction_begun_again_does_not_repeat_what_it_did() {
    let log = log();
    let jobs = Arc::default();
    say(&log, StreamId::Webhooks, "a").await;
    let running = run(&log, &jobs);
    running.reach(Offset(1)).await;
    running.stop().await;
    say(&log, StreamId::Webhooks, "b").await;
    let running = run(&log, &jobs);
    running.reach(Offset(2)).await;
    running.stop().await;
    assert_eq!(*jobs.attempts.lock(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_cut_off_by_a_shutdown_comes_again_and_those_before_it_do_not() {
    let log = log();
    let jobs = Arc::default();
    for text in ["a", "hang", "b"] {
        say(&log, StreamId::Webhooks, text).await;
    }
    let running = run(&log, &jobs);
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.stop().await;
    assert_eq!(*jobs.attempts.lock(), ["a", "hang"]);
    let running = run(&log, &jobs);
    running.reach(Offset(3)).await;
    running.stop().await;
    assert_eq!(jobs.attempts.lock().iter().filter(|said| *said == "a").count(), 1);
    assert_eq!(jobs.attempts.lock().iter().filter(|said| *said == "b").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reaction_ends_when_another_holder_takes_its_consumer() {
    let log = log();
    let first = run(&log, &Arc::default());
    tokio::time::sleep(Duration::from_millis(10)).await;
    let second = run(&log, &Arc::default());
    let ended = first.task.await.unwrap().unwrap_err();
    assert_eq!(ended.kind, klatch_ports::ErrorKind::Closed);
    second.stop().await;
}
