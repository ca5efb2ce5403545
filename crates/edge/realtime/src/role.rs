//! The role as the process holds it: start, upgrade, drain, stop.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use klatch_domain::InstanceId;
use klatch_meter::{Part, metered};
use klatch_ports::{PortResult, StreamId};
use klatch_protocol::inbox::subject;
use klatch_protocol::ws::close::CloseCode;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::config::RealtimeConfig;
use crate::connection::{Connection, Phase, Waiting};
use crate::deps::Deps;
use crate::hub::Hub;
use crate::presence::{Board, Worker};
use crate::signals::{self, Ears, Signals};
use crate::state::Shared;
use crate::stats::Stats;
use crate::{sweep, upgrade};

/// Messages that may wait for the hub; whoever has another waits.
const MAILBOX: usize = 4096;
/// How long commands may take that were read before the end began.
const ANSWERS: Duration = Duration::from_secs(2);
/// How often late arrivals are looked for.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// As many clients are told to come back in a second.
const COME_BACK_PER_SECOND: usize = 1_000;
/// How long presence keys may take to be removed at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// The running role. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Realtime {
    shared: Arc<Shared>,
    board: Arc<Board>,
    /// The role's own tasks.
    own: TaskTracker,
}

/// What clients are told when the server leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The server comes back: 1012.
    Restart,
    /// Others take over: 4012.
    Drain,
}

impl Realtime {
    /// Subscribes the inbox and starts the role at the log's end, on the current runtime.
    ///
    /// # Errors
    /// As the bus and the log report.
    pub async fn start(
        deps: Deps,
        config: RealtimeConfig,
        instance: InstanceId,
    ) -> PortResult<Self> {
        let (sender, mail) = mpsc::channel(MAILBOX);
        let (asks, asked) = mpsc::channel(signals::MAILBOX);
        let partitions = deps.log.partitions(StreamId::Messages);
        // Listening begins before the log's end is read: what comes between is taken twice, not
        // never.
        let inbox = deps.bus.subscribe(&subject(instance)).await?;
        let shared = Arc::new(Shared::new(deps, config, instance, (sender, asks), partitions));
        let ears = Ears::open(&shared).await?;
        let board = Arc::new(Board::default());
        let hub = Hub::new(Arc::clone(&shared), Arc::clone(&board)).await?;
        let own = TaskTracker::new();
        let worker = Worker::new(Arc::clone(&shared), Arc::clone(&board));
        own.spawn(worker.run());
        own.spawn(sweep::run(Arc::clone(&shared)));
        own.spawn(Signals::new(Arc::clone(&shared)).run(ears, asked));
        let stop = shared.stop.clone();
        own.spawn(async move {
            // However the hub ends, nothing is delivered without it.
            let _guard = stop.drop_guard();
            metered(Part::Delivering, hub.run(inbox, mail)).await;
        });
        Ok(Self { shared, board, own })
    }

    /// Answers `GET /ws`: checks the request and its token and takes the connection over, or says
    /// why not (a problem document). The server must serve the connection with upgrades.
    ///
    /// `request_id` is told in problem documents.
    pub async fn upgrade<B>(
        &self,
        request: Request<B>,
        request_id: &str,
    ) -> Response<bytes::Bytes> {
        upgrade::answer(&self.shared, request, request_id).await
    }

    /// Counts for metrics.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.shared.stats)
    }

    /// Connections that are open or about to be, each with a socket of its own.
    pub fn open_connections(&self) -> usize {
        self.shared.door.open()
    }

    /// Returns when the role has stopped, asked or not.
    pub async fn stopped(&self) {
        self.shared.stop.cancelled().await;
    }

    /// Takes no more connections and no more frames, answers the commands under way, tells the
    /// open connections to leave and when to come back (each at another moment of a span that
    /// grows with their number, up to 30 s), sends what waits for them, and stops when they are
    /// gone or after `most`.
    pub async fn drain(&self, leaving: Leaving, most: Duration) {
        let deadline = tokio::time::Instant::now() + most;
        self.shared.leave();
        self.answer_commands(deadline.min(tokio::time::Instant::now() + ANSWERS)).await;
        let code = match leaving {
            Leaving::Restart => CloseCode::Restart,
            Leaving::Drain => CloseCode::Draining,
        };
        let spread = come_back_within(self.shared.registry.len());
        self.shared.tasks.close();
        // Those whose upgrade was under way come into the registry later than the others.
        loop {
            self.shared.registry.for_each(|connection| self.ask_to_leave(connection, code, spread));
            let again = deadline.min(tokio::time::Instant::now() + ASK_AGAIN);
            let gone = tokio::time::timeout_at(again, self.shared.tasks.wait()).await;
            if gone.is_ok() || tokio::time::Instant::now() >= deadline {
                break;
            }
        }
        if !self.shared.tasks.is_empty() {
            let left = self.shared.registry.len();
            tracing::warn!(connections = left, "connections did not leave in time");
            self.shared.registry.for_each(|connection| connection.end());
            let _ = tokio::time::timeout(FAREWELL, self.shared.tasks.wait()).await;
        }
        self.stop().await;
    }

    fn ask_to_leave(&self, connection: &Connection, code: CloseCode, spread_ms: u64) {
        if !matches!(connection.phase(), Phase::Open | Phase::Arriving) {
            return;
        }
        let random = u128::from_le_bytes(self.shared.deps.entropy.bytes16());
        let reason = format!("reconnect after {} ms", random % u128::from(spread_ms));
        connection.close(code, &reason, Waiting::Keep);
    }

    /// Waits until every command that was read has its answer.
    async fn answer_commands(&self, deadline: tokio::time::Instant) {
        let mut waiting = true;
        while waiting && tokio::time::Instant::now() < deadline {
            waiting = false;
            self.shared.registry.for_each(|connection| waiting |= connection.has_commands());
            if waiting {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    async fn stop(&self) {
        // The hub has been told of every connection that ended; it tells the board.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let told = self.shared.hub.send(crate::hub::Message::Settle(sender)).await;
        if told.is_ok() {
            let _ = tokio::time::timeout(FAREWELL, receiver).await;
        }
        self.board.close();
        self.shared.stop.cancel();
        self.own.close();
        if tokio::time::timeout(FAREWELL, self.own.wait()).await.is_err() {
            tracing::warn!("presence was not removed in time; it ends by itself");
        }
    }
}

/// Milliseconds over which so many clients are spread.
fn come_back_within(connections: usize) -> u64 {
    let ms = connections.saturating_mul(1_000) / COME_BACK_PER_SECOND;
    u64::try_from(ms).unwrap_or(u64::MAX).clamp(1_000, 30_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_leave_the_longer_they_are_spread_up_to_half_a_minute() {
        let spans = [0, 10, 5_000, 18_000, 1_000_000].map(come_back_within);
        assert_eq!(spans, [1_000, 1_000, 5_000, 18_000, 30_000]);
    }
}
