//! From settings to running roles. Each part is built in its own file; this one orders them.

mod adapters;
mod capacity;
mod edges;
mod identity;
mod roles;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use klatch_domain::{Clock, Entropy, InstanceId};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::demo::{self, Seeded};
use crate::host::{SystemClock, SystemEntropy};
use crate::metrics::Sources;
use crate::operator;

pub(crate) use adapters::Adapters;
use capacity::Capacity;
pub(crate) use edges::tls;
pub(crate) use identity::DemoIssuer;
pub(crate) use roles::Roles;

/// Connections that may wait to be accepted; the kernel has its own limit (`somaxconn`).
const BACKLOG: u32 = 65_535;
/// What background work and the log need of the time to leave, at most.
const LAST: Duration = Duration::from_secs(2);

/// What everything in the process shares.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) instance: InstanceId,
    pub(crate) capacity: Capacity,
    /// Ends the background work.
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// A server that answers.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) adapters: Adapters,
    pub(crate) roles: Roles,
    /// Where it listens: the port is a real one even if 0 was asked for.
    pub(crate) address: SocketAddr,
    /// Ends the accepting of connections.
    closing: CancellationToken,
    http: tokio::task::JoinHandle<()>,
    pub(crate) setup_token: Option<String>,
    pub(crate) demo: Option<(Seeded, DemoIssuer)>,
}

/// Starts everything. The address is bound first, so that a port in use costs nothing.
pub(crate) async fn start(config: Config, with_demo: bool) -> anyhow::Result<Running> {
    let tls = tls(&config)?;
    let listener = bind(&config)?;
    let address = listener.local_addr()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let process = Process {
        instance: InstanceId::fresh(&*clock, &*entropy),
        capacity: Capacity::of_process(config.server.connections_max)?,
        config: Arc::new(config),
        clock,
        entropy,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let demo_issuer = with_demo.then(|| DemoIssuer::new(&*process.entropy));
    let adapters = Adapters::open(&process).await?;
    let roles = Roles::start(&process, &adapters, demo_issuer.as_ref()).await?;
    let demo = match demo_issuer {
        Some(issuer) => {
            let metadata = &*adapters.metadata;
            let seeded = demo::seed(&*roles.imports, metadata, &*process.clock).await?;
            roles.start_demo(&process, &adapters, seeded);
            Some((seeded, issuer))
        }
        None => None,
    };
    let setup_token = roles.auth.setup_token().await?;
    let closing = CancellationToken::new();
    let sources = Sources::new(&process, &adapters, &roles);
    let router = edges::router(&process, &adapters, &roles, sources)?;
    let (dir, stop) = (&process.config.server.data_dir, &process.stop);
    operator::serve(dir, &router, &process.tasks, stop);
    let http = edges::serve(listener, tls, router, (&process, &roles), closing.clone());
    Ok(Running { process, adapters, roles, address, closing, http, setup_token, demo })
}

fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.server.listen;
    listen(address).with_context(|| {
        format!(
            "cannot listen on {address}: if another server has the port, stop it or choose \
             another with --listen"
        )
    })
}

/// The queue of connections that wait to be accepted is as long as the kernel lets it be: a
/// connection that finds no place there tries again a second later.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Running {
    /// Returns when the server can no longer keep its promises, with the reason.
    pub(crate) async fn broken(&self) -> anyhow::Error {
        let mut fatal = self.adapters.log.fatal();
        tokio::select! {
            broken = fatal.wait_for(Option::is_some) => {
                let reason = broken.ok().and_then(|reason| reason.as_deref().map(str::to_owned));
                anyhow::anyhow!(
                    "the log's disk failed ({}): the server ends so that it starts again from \
                     what is on the disk",
                    reason.unwrap_or_default()
                )
            }
            error = self.roles.broken() => error,
        }
    }

    /// Stops in order: no new connections, clients told to leave and requests answered at the same
    /// time, background work ended, the log closed. Takes at most about `grace`.
    pub(crate) async fn stop(self, grace: Duration) {
        self.closing.cancel();
        let most = edges::leaving_time(grace);
        let drained = self.roles.realtime.drain(klatch_realtime::Leaving::Drain, most);
        // Ends when the last request was answered, or when its own limit has passed.
        let ((), _) = tokio::join!(drained, tokio::time::timeout(grace, self.http));
        self.process.stop.cancel();
        self.process.tasks.close();
        let _ = tokio::time::timeout(LAST, self.process.tasks.wait()).await;
        let log = self.adapters.log;
        let _ = tokio::task::spawn_blocking(move || log.close()).await;
    }
}
