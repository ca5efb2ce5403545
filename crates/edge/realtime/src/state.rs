//! What every connection, the hub and the sweep hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use klatch_domain::InstanceId;
use klatch_ports::{Offset, Partition, Position, StreamId};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::RealtimeConfig;
use crate::deps::Deps;
use crate::hub::Message;
use crate::registry::Registry;
use crate::signals::Ask;
use crate::stats::Stats;
use crate::upgrade::Door;

pub(crate) struct Shared {
    pub(crate) deps: Deps,
    pub(crate) config: RealtimeConfig,
    pub(crate) instance: InstanceId,
    pub(crate) stats: Arc<Stats>,
    pub(crate) registry: Registry,
    /// To the hub. Full: the sender waits.
    pub(crate) hub: mpsc::Sender<Message>,
    /// To whoever tells of presence and typing. Full: the sender waits.
    pub(crate) asks: mpsc::Sender<Ask>,
    /// Up to where the hub has delivered, per partition.
    pub(crate) delivered: Vec<AtomicU64>,
    pub(crate) door: Door,
    /// Resumes that may read the log now.
    pub(crate) resumes: Semaphore,
    /// Every connection's task and those of the role itself.
    pub(crate) tasks: TaskTracker,
    /// Upgrades are refused and frames are not read any more.
    leaving: AtomicBool,
    /// The role's own tasks end.
    pub(crate) stop: CancellationToken,
    tick: AtomicU32,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        deps: Deps,
        config: RealtimeConfig,
        instance: InstanceId,
        (hub, asks): (mpsc::Sender<Message>, mpsc::Sender<Ask>),
        partitions: u16,
    ) -> Self {
        Self {
            door: Door::new(config.door),
            resumes: Semaphore::new(config.resume.at_once),
            deps,
            config,
            instance,
            stats: Arc::default(),
            registry: Registry::default(),
            hub,
            asks,
            delivered: (0..partitions).map(|_| AtomicU64::new(0)).collect(),
            tasks: TaskTracker::new(),
            leaving: AtomicBool::new(false),
            stop: CancellationToken::new(),
            tick: AtomicU32::new(0),
        }
    }

    /// The role begins to leave.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Seconds since the start, as the sweep counts them.
    pub(crate) fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    pub(crate) fn next_tick(&self) -> u32 {
        self.tick.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Everything up to these was handed to those it concerns.
    pub(crate) fn positions(&self) -> Vec<Position> {
        let (stream, epoch) = (StreamId::Messages, self.deps.log.epoch());
        let partitions = (0..).zip(&self.delivered);
        let position = |(index, offset): (u16, &AtomicU64)| {
            let offset = Offset(offset.load(Ordering::Acquire));
            Position { stream, partition: Partition(index), epoch, offset }
        };
        partitions.map(position).collect()
    }

    /// Up to where the hub has delivered a partition.
    pub(crate) fn delivered(&self, partition: Partition) -> Offset {
        let of = self.delivered.get(usize::from(partition.0));
        Offset(of.map_or(0, |offset| offset.load(Ordering::Acquire)))
    }

    pub(crate) fn set_delivered(&self, partition: Partition, offset: Offset) {
        if let Some(of) = self.delivered.get(usize::from(partition.0)) {
            of.store(offset.0, Ordering::Release);
        }
    }
}
