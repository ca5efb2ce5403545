//! From settings to running roles. Each part is built in its own file; this one orders them.

mod adapters;
mod capacity;
mod certificate;
mod chores;
mod edges;
mod identity;
mod issuers;
mod listen;
mod memories;
mod post;
mod retention;
mod roles;
mod unwritable;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use klatch_compliance::Compliance;
use klatch_domain::{Clock, Entropy, InstanceId};
use tokio::signal::unix::Signal;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::control::{self, Control};
use crate::demo::{self, Seeded};
use crate::host::{SystemClock, SystemEntropy};
use crate::metrics;
use crate::operator;
use crate::upkeep::{Engines, Sources, compliance};

pub(crate) use adapters::Adapters;
use capacity::Capacity;
pub(crate) use certificate::Certificate;
pub(crate) use identity::DemoIssuer;
pub(crate) use issuers::trusted_issuers;
pub(crate) use post::mailer;
pub(crate) use retention::RetentionStats;
pub(crate) use roles::Roles;
use unwritable::{Stored, UP_LEAST};

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

/// Starts everything. The address is bound first, so that a port in use costs nothing. Whoever sent
/// one of `hangups` until now is answered at the end.
pub(crate) async fn start(
    config: Config,
    with_demo: bool,
    hangups: Signal,
) -> anyhow::Result<Running> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let certificate = Certificate::read(&config, &clock)?.map(Arc::new);
    let (listeners, address) = listen::bind(&config)?;
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
    let people = start_people(&process, &adapters, &roles).await?;
    start_control(&process, &adapters, &people);
    let closing = CancellationToken::new();
    let retention = retention::start(&process, &adapters);
    certificate::at_hangups(hangups, certificate.clone(), &process);
    let shown = certificate.clone();
    let sources = metrics::Sources::new(&process, &adapters, &roles, retention, shown);
    let tls = certificate.as_ref().map(|it| it.tls().clone());
    let router = edges::router(&process, &adapters, (&roles, people), sources, certificate)?;
    let (dir, stop) = (&process.config.server.data_dir, &process.stop);
    operator::serve(dir, &router, &process.tasks, stop);
    let http = edges::serve(listeners, tls, router, (&process, &roles), closing.clone());
    Ok(Running { process, adapters, roles, address, closing, http, setup_token, demo })
}

/// Export and erasure. What a crash left of an erasure is finished before anyone is served.
async fn start_people(
    process: &Process,
    adapters: &Adapters,
    roles: &Roles,
) -> anyhow::Result<Arc<Compliance>> {
    let engines = Engines {
        log: Arc::clone(&adapters.log),
        accounts: Arc::clone(&adapters.accounts),
        keys: Arc::clone(&adapters.keys),
        ring: Arc::clone(&adapters.key_ring),
        ledger: process.config.erasures(&process.config.server.data_dir),
        messages: Arc::clone(&adapters.messages),
        metadata: Arc::clone(&adapters.metadata),
        clock: Arc::clone(&process.clock),
    };
    let people = Arc::new(compliance(engines, memories::all(roles)));
    let finished = people.finish().await.context("finishing erasures")?;
    if !finished.is_empty() {
        tracing::warn!(people = finished.len(), "erased whom the ledger of erasures names");
    }
    Ok(people)
}

/// Lets commands on this machine reach the server. Without it they work on a server at rest.
fn start_control(process: &Process, adapters: &Adapters, people: &Arc<Compliance>) {
    let dir = &process.config.server.data_dir;
    let sources = Sources {
        dir: dir.clone(),
        log: Arc::clone(&adapters.log),
        snapshot: adapters.snapshot.clone(),
        accounts: Arc::clone(&adapters.accounts),
        keys: Arc::clone(&adapters.keys),
        ledger: process.config.erasures(dir),
        clock: Arc::clone(&process.clock),
    };
    let (live, stop) = (adapters.stores(), process.stop.clone());
    let control = Control { sources, live, people: Arc::clone(people), stop };
    if let Err(error) = control::listen(dir, control, process.stop.clone()) {
        let error = format!("{error:#}");
        tracing::warn!(error, "commands like `klatch backup` cannot reach this server");
    }
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

    /// Returns when something beside the log can no longer be written, with the reason: then the
    /// server is to be stopped in order. To be called when it has just started.
    pub(crate) fn unwritable(&self) -> impl Future<Output = anyhow::Error> + use<> {
        Stored::of(&self.adapters).ended(Instant::now() + UP_LEAST)
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
        if let Err(error) = self.adapters.accounts.keep_whereabouts().await {
            tracing::warn!(%error, "when people were here last could not be written");
        }
        let log = self.adapters.log;
        let _ = tokio::task::spawn_blocking(move || log.close()).await;
    }
}
