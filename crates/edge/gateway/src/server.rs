//! Accepting connections, and ending them well.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::address::Peer;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Most bytes of a request's head, and of what is read ahead of a body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How long to wait when the process has no file descriptor left.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Most connections that speak HTTP at a time; more wait to be accepted. A connection that was
    /// upgraded does not count any more.
    pub connections: usize,
    /// How long a client may take for the head of a request, and keep a connection idle.
    pub header_timeout: Duration,
    /// How long requests under way may take after the server was told to stop.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            header_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(20),
        }
    }
}

/// Serves `router` on `listener` until `shutdown`: then accepts nothing more, lets requests under
/// way finish within the grace period, and returns. Upgraded connections are their handlers' own;
/// their IO is `TokioIo<TcpStream>`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections.max(1)));
    let connections = TaskTracker::new();
    // Ends what outlasts the grace period.
    let over = CancellationToken::new();
    let accept = async {
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let (stream, peer) = accept(&listener).await;
            let connection = Connection {
                router: router.clone(),
                peer,
                limits,
                shutdown: shutdown.clone(),
                over: over.clone(),
            };
            connections.spawn(connection.run(stream, slot));
        }
    };
    shutdown.run_until_cancelled(accept).await;
    drop(listener);
    connections.close();
    if timeout(limits.grace, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut off requests after the grace period");
        over.cancel();
        connections.wait().await;
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // A client that went away, or no file descriptor: neither ends the server.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(NO_DESCRIPTOR_PAUSE).await;
            }
        }
    }
}

struct Connection {
    router: Router,
    peer: SocketAddr,
    limits: ServerLimits,
    shutdown: CancellationToken,
    over: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        let Self { router, peer, limits, shutdown, over } = self;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            answer(router.clone(), request)
        });
        let mut builder = Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(BUFFER_BYTES_MAX);
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => Some(outcome),
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                over.run_until_cancelled(connection).await
            }
        };
        if let Some(Err(error)) = outcome {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(slot);
    }
}

async fn answer(router: Router, request: Request<Body>) -> Result<Response, Infallible> {
    router.oneshot(request).await
}
