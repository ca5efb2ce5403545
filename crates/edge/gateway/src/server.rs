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
use klatch_meter::{Part, metered};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::address::Peer;
use crate::tls::Tls;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Most bytes of a request's head, and of what is read ahead of a body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How long to wait before looking again whether a socket or a file descriptor is free.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// How often it is told that there is none.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Most connections that speak HTTP at a time; more wait to be accepted. A connection that was
    /// upgraded does not count any more.
    pub connections: usize,
    /// Most sockets of the process, those that were handed over by an upgrade included. At that
    /// many none is accepted: clients wait in the kernel's queue until others have gone.
    pub sockets: usize,
    /// How long a client may take for the TLS handshake, then for the head of a request, and keep
    /// a connection idle.
    pub header_timeout: Duration,
    /// How long requests under way may take after the server was told to stop.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            sockets: 1_000_000,
            header_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(20),
        }
    }
}

/// Counts the open sockets that were handed over by upgrades.
pub type HandedOver = Arc<dyn Fn() -> usize + Send + Sync>;

/// Serves `router` on all of `listeners` until `shutdown`: then accepts nothing more, lets requests
/// under way finish within the grace period, and returns. Upgraded connections are their handlers'
/// own; their IO is `TokioIo<TcpStream>`, or `TokioIo<TlsStream<TcpStream>>` with `tls`: then
/// nothing else is spoken on `listeners`.
pub async fn serve(
    listeners: Vec<TcpListener>,
    tls: Option<Tls>,
    router: Router,
    limits: ServerLimits,
    handed_over: HandedOver,
    shutdown: CancellationToken,
) {
    let server = Arc::new(Server {
        router,
        tls,
        limits,
        slots: Arc::new(Semaphore::new(limits.connections.max(1))),
        connections: TaskTracker::new(),
        handed_over,
        shutdown: shutdown.clone(),
        over: CancellationToken::new(),
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let accept = Arc::clone(&server).accept_all(listener);
        accepting.spawn(shutdown.clone().run_until_cancelled_owned(accept));
    }
    accepting.join_all().await;
    let connections = &server.connections;
    connections.close();
    if timeout(limits.grace, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut off requests after the grace period");
        server.over.cancel();
        connections.wait().await;
    }
}

/// What all listeners share.
struct Server {
    router: Router,
    tls: Option<Tls>,
    limits: ServerLimits,
    /// One for each connection that speaks HTTP.
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    handed_over: HandedOver,
    shutdown: CancellationToken,
    /// Ends what outlasts the grace period.
    over: CancellationToken,
}

impl Server {
    async fn accept_all(self: Arc<Self>, listener: TcpListener) {
        let mut told = None;
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            while self.is_full() {
                tell_seldom(&mut told, || {
                    tracing::warn!(self.limits.sockets, "all sockets are taken");
                });
                sleep(FULL_PAUSE).await;
            }
            let (stream, peer) = accept(&listener, &mut told).await;
            let connection = Connection {
                router: self.router.clone(),
                tls: self.tls.clone(),
                peer,
                limits: self.limits,
                shutdown: self.shutdown.clone(),
                over: self.over.clone(),
            };
            self.connections.spawn(metered(Part::Receiving, connection.run(stream, slot)));
        }
    }

    fn is_full(&self) -> bool {
        self.connections.len() + (self.handed_over)() >= self.limits.sockets
    }
}

async fn accept(listener: &TcpListener, told: &mut Option<Instant>) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // A client that went away, or no file descriptor: neither ends the server.
                tell_seldom(told, || tracing::warn!(%error, "a connection could not be accepted"));
                sleep(FULL_PAUSE).await;
            }
        }
    }
}

/// Says what may go on for long now and then only.
fn tell_seldom(told: &mut Option<Instant>, tell: impl FnOnce()) {
    let now = Instant::now();
    if told.is_none_or(|told| now - told >= TELL_EVERY) {
        *told = Some(now);
        tell();
    }
}

struct Connection {
    router: Router,
    tls: Option<Tls>,
    peer: SocketAddr,
    limits: ServerLimits,
    shutdown: CancellationToken,
    over: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        match self.tls.clone() {
            None => self.speak(stream).await,
            // Larger, and none of the plain connections' business.
            Some(tls) => Box::pin(self.speak_in_secret(tls, stream)).await,
        }
        drop(slot);
    }

    async fn speak_in_secret(self, tls: Tls, stream: TcpStream) {
        let handshake = tls.accept(stream, self.limits.header_timeout);
        let stream = self.shutdown.run_until_cancelled(handshake).await;
        if let Some(stream) = stream.flatten() {
            self.speak(stream).await;
        }
    }

    async fn speak<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, peer, limits, shutdown, over, .. } = self;
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
    }
}

async fn answer(router: Router, request: Request<Body>) -> Result<Response, Infallible> {
    router.oneshot(request).await
}
