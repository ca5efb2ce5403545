//! The role as the process holds it: start, upgrade, drain, stop.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use klatch_domain::InstanceId;
use klatch_ports::{PortResult, StreamId};
use klatch_protocol::inbox::subject;
use klatch_protocol::ws::close::CloseCode;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::config::RealtimeConfig;
use crate::connection::Waiting;
use crate::deps::Deps;
use crate::hub::Hub;
use crate::presence::{Board, Worker};
use crate::state::Shared;
use crate::stats::Stats;
use crate::{sweep, upgrade};

/// Messages that may wait for the hub; whoever has another waits.
const MAILBOX: usize = 4096;
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
        let partitions = deps.log.partitions(StreamId::Messages);
        // Listening begins before the log's end is read: what comes between is taken twice, not
        // never.
        let inbox = deps.bus.subscribe(&subject(instance)).await?;
        let shared = Arc::new(Shared::new(deps, config, instance, sender, partitions));
        let board = Arc::new(Board::default());
        let hub = Hub::new(Arc::clone(&shared), Arc::clone(&board)).await?;
        let own = TaskTracker::new();
        let worker = Worker::new(Arc::clone(&shared), Arc::clone(&board));
        own.spawn(worker.run());
        own.spawn(sweep::run(Arc::clone(&shared)));
        let stop = shared.stop.clone();
        own.spawn(async move {
            // However the hub ends, nothing is delivered without it.
            let _guard = stop.drop_guard();
            hub.run(inbox, mail).await;
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

    /// Returns when the role has stopped, asked or not.
    pub async fn stopped(&self) {
        self.shared.stop.cancelled().await;
    }

    /// Takes no more connections, tells the open ones to leave (each with a delay of its own, so
    /// that they do not come back all at once), and stops when they are gone or after `most`.
    pub async fn drain(&self, leaving: Leaving, most: Duration) {
        self.shared.draining.cancel();
        let code = match leaving {
            Leaving::Restart => CloseCode::Restart,
            Leaving::Drain => CloseCode::Draining,
        };
        let spread = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).clamp(1_000, 30_000);
        self.shared.registry.for_each(|connection| {
            let random = u128::from_le_bytes(self.shared.deps.entropy.bytes16());
            let reason = format!("reconnect after {} ms", random % u128::from(spread));
            connection.close(code, &reason, Waiting::Keep);
        });
        self.shared.tasks.close();
        let gone = tokio::time::timeout(most, self.shared.tasks.wait()).await;
        if gone.is_err() {
            let left = self.shared.registry.len();
            tracing::warn!(connections = left, "connections did not leave in time");
            self.shared.registry.for_each(|connection| connection.end());
            let _ = tokio::time::timeout(FAREWELL, self.shared.tasks.wait()).await;
        }
        self.stop().await;
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
