//! One life of the servers: the log opened from the disk, two instances of the roles that people
//! speak to, one of each that reads the log; all of them the real ones.
//! size: every role of a life is wired here, as in `node`, and nothing else

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use axum::routing::get;
use futures::FutureExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use klatch_auth::{AuditLog, Auth, Parts, SigningKeys, Stores, TrustedIssuer, TrustedKeys};
use klatch_command::{CommandConfig, CommandService, Importer};
use klatch_compliance::Compliance;
use klatch_domain::{Clock, Entropy, InstanceId};
use klatch_fanout::{FanOut, FanOutConfig};
use klatch_gateway::{Hooks, Peer, Readiness, RequestId, Services};
use klatch_limits::{Limiter, Policy};
use klatch_log::EmbeddedLog;
use klatch_memory::bus::MemoryBus;
use klatch_memory::erasures::Ledger;
use klatch_memory::key_index::MemoryKeyIndex;
use klatch_memory::kv::MemoryKv;
use klatch_ports::Partition;
use klatch_ports::log::{Append, Completion, EventAppender};
use klatch_presence::{PresenceConfig, PresenceService};
use klatch_protocol::sealed::KeyRing;
use klatch_pump::{DeadLetters, Projection, ProjectionConfig};
use klatch_query::{Directory, Query, QueryConfig};
use klatch_realtime::{Leaving, Realtime, RealtimeConfig};
use klatch_soak::dice::Dice;
use klatch_soak::token;
use klatch_sync::Sync;
use klatch_testkit::FlakyBus;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::clerk;
use crate::forget::{Forgetter, open_models};
use crate::machine::Machine;
use crate::models::Models;

/// Instances of the roles that people speak to.
const INSTANCES: usize = 2;
const P0: Partition = Partition(0);
/// Keys remembered by an instance.
const KEYS: usize = 256;

/// Servers between two crashes.
pub(crate) struct Life {
    pub(crate) log: Arc<EmbeddedLog>,
    /// What inboxes lose and repeat, by instance.
    pub(crate) inboxes: Vec<FlakyBus>,
    /// Where the log forgets.
    pub(crate) forgetter: Option<Arc<Forgetter>>,
    routers: Vec<Router>,
    realtimes: Vec<Realtime>,
    stop: CancellationToken,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Appends, and wakes who steps the log.
struct Waking {
    log: Arc<EmbeddedLog>,
    wake: Arc<Notify>,
}

#[async_trait]
impl EventAppender for Waking {
    fn submit(&self, append: Append, done: Completion) {
        self.log.submit(append, done);
        self.wake.notify_one();
    }
}

/// What the roles of a life have in common.
struct Engines {
    machine: Arc<Machine>,
    log: Arc<EmbeddedLog>,
    appender: Arc<Waking>,
    models: Models,
    bus: MemoryBus,
    kv: MemoryKv,
    stop: CancellationToken,
}

impl Life {
    /// Opens what is on the disk and starts everything on it.
    pub(crate) async fn begin(machine: &Arc<Machine>, seed: u64) -> Result<Self> {
        let clock = Arc::clone(&machine.clock) as Arc<dyn Clock>;
        let config = machine.log_config();
        let log = EmbeddedLog::open_stepped(machine.disk.disk(), config, clock, &*machine.entropy)
            .context("opening the log")?;
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let appender = Arc::new(Waking { log: Arc::clone(&log), wake: Arc::clone(&wake) });
        tokio::spawn(step(Arc::clone(machine), Arc::clone(&log), wake, stop.clone()));
        let stores = match &machine.files {
            Some(files) => Some(open_models(machine, files, &log).context("opening read models")?),
            None => None,
        };
        let engines = Engines {
            machine: Arc::clone(machine),
            log: Arc::clone(&log),
            appender,
            models: stores.as_ref().map_or_else(Models::in_memory, Models::on_files),
            bus: MemoryBus::default(),
            kv: MemoryKv::default(),
            stop: stop.clone(),
        };
        engines.start_workers().await?;
        let (mut routers, mut realtimes, mut inboxes) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..INSTANCES {
            let inbox = FlakyBus::new(Arc::new(engines.bus.clone()), seed ^ (number as u64) << 48);
            let (router, realtime) = engines.start_instance(&inbox).await?;
            routers.push(router);
            realtimes.push(realtime);
            inboxes.push(inbox);
        }
        let forgetter = stores.and_then(|live| engines.start_forgetting(live, seed));
        Ok(Self { log, inboxes, forgetter, routers, realtimes, stop })
    }

    /// How many instances can be dialled.
    pub(crate) fn doors(&self) -> u64 {
        self.routers.len() as u64
    }

    /// Takes a connection in.
    pub(crate) fn accept(&self, instance: u64, stream: TcpStream) {
        let place = usize::try_from(instance).unwrap_or(0);
        let Some(router) = self.routers.get(place).cloned() else { return };
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))));
            let router = router.clone();
            async move { router.oneshot(request).await.map_err(|never: Infallible| never) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let _ = stop.run_until_cancelled(connection).await;
        });
    }

    /// Ends everything as a crash does: nothing more is written, nobody is told anything. The
    /// network must be cut before.
    pub(crate) fn end(&self) {
        self.stop.cancel();
        self.log.abandon();
        for realtime in &self.realtimes {
            let realtime = realtime.clone();
            // Its connections are dead; this ends its tasks.
            tokio::spawn(async move { realtime.drain(Leaving::Drain, Duration::ZERO).await });
        }
    }
}

/// The disk at work: what waits is synced together, a while after the first of it came.
async fn step(
    machine: Arc<Machine>,
    log: Arc<EmbeddedLog>,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(wake.notified()).await.is_some() {
        loop {
            tokio::time::sleep(machine.disk_time()).await;
            if stop.is_cancelled() || !log.step() {
                break;
            }
        }
    }
}

impl Engines {
    async fn start_workers(&self) -> Result<()> {
        for projector in self.models.projectors() {
            let entropy = Arc::clone(&self.machine.entropy) as Arc<dyn Entropy>;
            let dead = DeadLetters::new(Arc::clone(&self.appender) as _, entropy);
            let log = Arc::clone(&self.log) as _;
            let projection = Projection::new(projector, P0, log, dead, ProjectionConfig::default());
            let stop = self.stop.clone();
            tokio::spawn(async move { projection.run(stop).await });
        }
        let deps = klatch_fanout::Deps {
            log: Arc::clone(&self.log) as _,
            metadata: Arc::clone(&self.models.metadata),
            presence: Arc::new(self.kv.clone()),
            bus: Arc::new(self.bus.clone()),
            key_ring: self.ring(),
            clock: self.clock(),
        };
        let fanout = FanOut::new(deps, FanOutConfig::default(), P0).await?;
        tokio::spawn(fanout.run(self.stop.clone()));
        Ok(())
    }

    fn start_forgetting(
        &self,
        live: klatch_embedded::stores::Stores,
        seed: u64,
    ) -> Option<Arc<Forgetter>> {
        let (dice, stop) = (Dice::new(seed), self.stop.clone());
        let (machine, audit) = (&self.machine, self.audit());
        let fate = (stop.clone(), dice.part(1));
        let forgetter = Forgetter::new(machine, (&self.log, live), Arc::clone(&audit), fate)?;
        tokio::spawn(clerk::write(Arc::clone(machine), audit, (stop, dice.part(2))));
        tokio::spawn(Arc::clone(&forgetter).run());
        Some(forgetter)
    }

    async fn start_instance(&self, inbox: &FlakyBus) -> Result<(Router, Realtime)> {
        let ring = self.ring();
        let auth = Arc::new(self.auth(&ring)?);
        auth.sweep().await.context("sweeping claims")?;
        let deps = klatch_command::Deps {
            log: Arc::clone(&self.appender) as _,
            reader: Arc::clone(&self.log) as _,
            messages: Arc::clone(&self.models.messages),
            metadata: Arc::clone(&self.models.metadata),
            claims: Arc::clone(&self.machine.accounts) as _,
            key_ring: Arc::clone(&ring),
            key_index: Arc::new(MemoryKeyIndex::default()),
            provisioner: Arc::clone(&auth) as _,
            clock: self.clock(),
            entropy: self.entropy(),
            config: CommandConfig::default(),
        };
        let commands = Arc::new(CommandService::new(deps, TaskTracker::new()));
        let feeder = commands.key_feeder();
        feeder.catch_up().await.context("catching up with keys")?;
        let stop = self.stop.clone();
        tokio::spawn(async move { feeder.run(stop).await });
        let queries = self.queries(&ring);
        let people = Arc::new(self.presence());
        let realtime = self.realtime(inbox, ring, (&auth, &commands, &people)).await?;
        let services = Services {
            imports: Arc::new(Importer(Arc::clone(&commands))),
            commands,
            queries,
            accounts: Arc::clone(&auth) as _,
            tokens: Arc::clone(&auth) as _,
            invitations: Arc::clone(&auth) as _,
            audit: self.audit(),
            clock: self.clock(),
            limits: self.limits(),
            compliance: Arc::new(self.compliance()),
            auth,
            people,
            entropy: self.entropy(),
        };
        let hooks = Hooks {
            ready: Arc::new(|| async { Readiness::default() }.boxed()),
            metrics: Arc::new(String::new),
            routes: Some(websocket(realtime.clone())),
        };
        let config = klatch_gateway::Config::default();
        Ok((klatch_gateway::router(services, config, hooks), realtime))
    }

    fn auth(&self, ring: &Arc<KeyRing>) -> Result<Auth> {
        let machine = &self.machine;
        let parts = Parts {
            stores: Stores::of(&machine.accounts),
            keys: Arc::clone(&machine.keys) as _,
            ring: Arc::clone(ring),
            log: Arc::clone(&self.appender) as _,
            audit: self.audit(),
            keep_keys: Arc::new(|_| Ok(())),
            mailer: None,
            clock: self.clock(),
            entropy: self.entropy(),
        };
        let trusted = TrustedIssuer {
            issuer: token::ISSUER.to_owned(),
            keys: TrustedKeys::Secret(token::SECRET.as_bytes().to_vec()),
            audience: None,
            provision: true,
        };
        let config =
            klatch_auth::Config { trusted: vec![trusted], ..klatch_auth::Config::default() };
        Ok(Auth::new(parts, config, SigningKeys::new(&[7; 32], &[]))?)
    }

    fn compliance(&self) -> Compliance {
        let machine = &self.machine;
        Compliance::new(klatch_compliance::Deps {
            accounts: Arc::clone(&machine.accounts) as _,
            sessions: Arc::clone(&machine.accounts) as _,
            whereabouts: Arc::clone(&machine.whereabouts) as _,
            eraser: Arc::clone(&machine.accounts) as _,
            ledger: Arc::new(Ledger::default()),
            keys: Arc::clone(&machine.keys) as _,
            key_writer: Arc::clone(&machine.keys) as _,
            ring: self.ring(),
            appender: Arc::clone(&self.appender) as _,
            log: Arc::clone(&self.log) as _,
            messages: Arc::clone(&self.models.messages),
            metadata: Arc::clone(&self.models.metadata),
            memories: Vec::new(),
            audit: self.audit(),
            clock: self.clock(),
        })
    }

    fn queries(&self, ring: &Arc<KeyRing>) -> Arc<Query> {
        let config = QueryConfig::default();
        let directory = Arc::new(Directory::new(
            Arc::clone(&self.models.metadata),
            Arc::clone(&self.log) as _,
            self.ring(),
            config.directory_users_max,
        ));
        let (followed, stop) = (Arc::clone(&directory), self.stop.clone());
        tokio::spawn(async move {
            let _ = stop.run_until_cancelled(followed.run()).await;
        });
        let deps = klatch_query::Deps {
            messages: Arc::clone(&self.models.messages),
            activity: Arc::clone(&self.models.activity),
            metadata: Arc::clone(&self.models.metadata),
            log: Arc::clone(&self.log) as _,
            keys: Arc::clone(ring),
            directory,
        };
        Arc::new(Query::new(deps, config))
    }

    fn presence(&self) -> PresenceService {
        let deps = klatch_presence::Deps {
            kv: Arc::new(self.kv.clone()),
            whereabouts: self.machine.whereabouts.clone(),
            bus: Arc::new(self.bus.clone()),
            rooms: Arc::clone(&self.models.metadata) as _,
            members: Arc::clone(&self.models.metadata) as _,
            clock: self.clock(),
        };
        PresenceService::new(deps, PresenceConfig::default())
    }

    async fn realtime(
        &self,
        inbox: &FlakyBus,
        keys: Arc<KeyRing>,
        (auth, commands, people): (&Arc<Auth>, &Arc<CommandService>, &Arc<PresenceService>),
    ) -> Result<Realtime> {
        let deps = klatch_realtime::Deps {
            tokens: Arc::clone(auth) as _,
            commands: Arc::clone(commands) as _,
            people: Arc::clone(people) as _,
            bus: Arc::new(inbox.clone()),
            signals: Arc::new(self.bus.clone()),
            limits: self.limits(),
            presence: Arc::new(self.kv.clone()),
            log: Arc::clone(&self.log) as _,
            metadata: Arc::clone(&self.models.metadata),
            sync: Sync {
                log: Arc::clone(&self.log) as _,
                metadata: Arc::clone(&self.models.metadata),
                messages: Arc::clone(&self.models.messages),
                activity: Arc::clone(&self.models.activity),
            },
            keys,
            clock: self.clock(),
            entropy: self.entropy(),
        };
        let mut config = RealtimeConfig::default();
        // Little is much here, so that every tier of a resume occurs.
        config.resume.told.events = 12;
        config.resume.told.room_events = 5;
        config.resume.told.rooms = 4;
        let instance = InstanceId::fresh(&*self.machine.clock, &*self.machine.entropy);
        Ok(Realtime::start(deps, config, instance).await?)
    }

    fn audit(&self) -> Arc<AuditLog> {
        Arc::new(AuditLog::new(Arc::clone(&self.appender) as _, Arc::clone(&self.log) as _))
    }

    /// Each of these people acts for many.
    fn limits(&self) -> Arc<Limiter> {
        Arc::new(Limiter::new(Policy::OPEN, Arc::new(self.kv.clone()), self.clock()))
    }

    fn ring(&self) -> Arc<KeyRing> {
        Arc::new(KeyRing::new(Arc::clone(&self.machine.keys) as _, KEYS))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.machine.clock) as _
    }

    fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::clone(&self.machine.entropy) as _
    }
}

fn websocket(realtime: Realtime) -> Router {
    let answer = move |request: Request| {
        let realtime = realtime.clone();
        async move {
            let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
            realtime.upgrade(request, &id.0).await.map(Body::from).into_response()
        }
    };
    Router::new().route("/ws", get(answer))
}
