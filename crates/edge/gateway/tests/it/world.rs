//! A whole server on memory: every role but realtime, behind a real listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use klatch_auth::{
    AuditLog, Auth, HashCost, Parts, SigningKeys, Stores, TrustedIssuer, TrustedKeys,
};
use klatch_command::{CommandConfig, CommandService, Importer};
use klatch_compliance::Compliance;
use klatch_domain::Entropy;
use klatch_gateway::{Config, Hooks, Readiness, ServerLimits, Services};
use klatch_limits::{Limiter, Policy};
use klatch_memory::accounts::Accounts;
use klatch_memory::bus::MemoryBus;
use klatch_memory::erasures::Ledger;
use klatch_memory::key_index::MemoryKeyIndex;
use klatch_memory::keys::Keys;
use klatch_memory::kv::MemoryKv;
use klatch_memory::log::MemoryLog;
use klatch_memory::messages::MessageStore;
use klatch_memory::metadata::MetadataStore;
use klatch_memory::whereabouts::MemoryWhereabouts;
use klatch_ports::position::{Epoch, Partition};
use klatch_presence::{PresenceConfig, PresenceService};
use klatch_protocol::sealed::KeyRing;
use klatch_pump::{DeadLetters, Projection, ProjectionConfig, Projector};
use klatch_query::{Directory, Query, QueryConfig};
use klatch_testkit::{ManualClock, SeededEntropy};
use klatch_workers::{MessageWriterProjector, MetaWriterProjector};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::client::Call;

pub(crate) const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
pub(crate) const PASSWORD: &str = "a long enough one";
/// What the server signs its tokens with: known here, so that tests can sign like it.
pub(crate) const SEED: [u8; 32] = [1; 32];

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) clock: ManualClock,
    /// Presence.
    pub(crate) kv: MemoryKv,
    pub(crate) auth: Arc<Auth>,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinHandle<()>,
    writers: Writers,
    _stop: DropGuard,
}

/// Someone who is signed in.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
    /// Where the account's first event is.
    pub(crate) position: String,
}

/// What differs from world to world.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) limits: ServerLimits,
    pub(crate) routes: Option<Router>,
    pub(crate) not_ready: Option<String>,
    /// Sockets that were handed over by upgrades.
    pub(crate) handed_over: Arc<AtomicUsize>,
    /// How often each may come; anyone as often as they like unless set.
    pub(crate) policy: Option<Policy>,
    /// How long reads wait for a position, if not as long as usual.
    pub(crate) patience: Option<Duration>,
}

/// The workers that fill the read models.
struct Writers {
    stop: CancellationToken,
    running: TaskTracker,
}

struct Engines {
    log: Arc<MemoryLog>,
    messages: Arc<MessageStore>,
    metadata: Arc<MetadataStore>,
    ring: Arc<KeyRing>,
    keys: Arc<Keys>,
    accounts: Arc<Accounts>,
    whereabouts: Arc<MemoryWhereabouts>,
    kv: MemoryKv,
    clock: ManualClock,
    entropy: Arc<dyn Entropy>,
}

impl Engines {
    fn new() -> Self {
        let clock = ManualClock::default();
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(3));
        let keys = Arc::new(Keys::new(Arc::clone(&entropy)));
        Self {
            log: Arc::new(MemoryLog::new(Epoch(9), 1, Arc::new(clock.clone()))),
            messages: Arc::default(),
            metadata: Arc::default(),
            ring: Arc::new(KeyRing::new(keys.clone(), 1_000)),
            keys,
            accounts: Arc::default(),
            whereabouts: Arc::default(),
            kv: MemoryKv::default(),
            clock,
            entropy,
        }
    }

    fn audit(&self) -> AuditLog {
        AuditLog::new(self.log.clone(), self.log.clone())
    }

    fn auth(&self) -> Auth {
        let parts = Parts {
            stores: Stores::of(&self.accounts),
            keys: self.keys.clone(),
            ring: self.ring.clone(),
            log: self.log.clone(),
            audit: Arc::new(self.audit()),
            keep_keys: Arc::new(|_| Ok(())),
            mailer: None,
            clock: Arc::new(self.clock.clone()),
            entropy: self.entropy.clone(),
        };
        let shop = TrustedIssuer {
            issuer: "shop".to_owned(),
            keys: TrustedKeys::Secret(SECRET.to_vec()),
            audience: None,
            provision: true,
        };
        let config = klatch_auth::Config {
            trusted: vec![shop],
            // The cheapest there is: these tests are not about the cost.
            hash: HashCost { memory_kib: 8, passes: 1, at_once: 2, waiting_max: 100 },
            ..klatch_auth::Config::default()
        };
        Auth::new(parts, config, SigningKeys::new(&SEED, &[])).unwrap()
    }

    fn commands(&self, auth: &Arc<Auth>) -> CommandService {
        let deps = klatch_command::Deps {
            log: self.log.clone(),
            reader: self.log.clone(),
            messages: self.messages.clone(),
            metadata: self.metadata.clone(),
            claims: self.accounts.clone(),
            key_ring: self.ring.clone(),
            key_index: Arc::new(MemoryKeyIndex::default()),
            provisioner: auth.clone(),
            clock: Arc::new(self.clock.clone()),
            entropy: self.entropy.clone(),
            config: CommandConfig::default(),
        };
        CommandService::new(deps, TaskTracker::new())
    }

    fn queries(&self, config: QueryConfig) -> (Query, Arc<Directory>) {
        let (metadata, log) = (self.metadata.clone(), self.log.clone());
        let directory = Directory::new(metadata.clone(), log.clone(), self.ring.clone(), 1_000);
        let directory = Arc::new(directory);
        let deps = klatch_query::Deps {
            messages: self.messages.clone(),
            activity: self.messages.clone(),
            metadata,
            log,
            keys: self.ring.clone(),
            directory: directory.clone(),
        };
        (Query::new(deps, config), directory)
    }

    fn people(&self) -> PresenceService {
        let deps = klatch_presence::Deps {
            kv: Arc::new(self.kv.clone()),
            whereabouts: self.whereabouts.clone(),
            bus: Arc::new(MemoryBus::default()),
            rooms: self.metadata.clone(),
            members: self.metadata.clone(),
            clock: Arc::new(self.clock.clone()),
        };
        PresenceService::new(deps, PresenceConfig::default())
    }

    fn compliance(&self) -> Compliance {
        Compliance::new(klatch_compliance::Deps {
            accounts: self.accounts.clone(),
            sessions: self.accounts.clone(),
            whereabouts: self.whereabouts.clone(),
            eraser: self.accounts.clone(),
            ledger: Arc::new(Ledger::default()),
            keys: self.keys.clone(),
            key_writer: self.keys.clone(),
            ring: self.ring.clone(),
            appender: self.log.clone(),
            log: self.log.clone(),
            messages: self.messages.clone(),
            metadata: self.metadata.clone(),
            memories: Vec::new(),
            audit: Arc::new(self.audit()),
            clock: Arc::new(self.clock.clone()),
        })
    }

    /// Runs the workers that fill the read models.
    fn write(&self, writers: &Writers) {
        let messages = MessageWriterProjector::new(self.messages.clone(), self.messages.clone());
        let metadata = MetaWriterProjector::new(self.metadata.clone(), self.metadata.clone());
        let projectors: [Arc<dyn Projector>; 2] = [Arc::new(messages), Arc::new(metadata)];
        for projector in projectors {
            let dead = DeadLetters::new(self.log.clone(), self.entropy.clone());
            let (log, config) = (self.log.clone(), ProjectionConfig::default());
            let projection = Projection::new(projector, Partition(0), log, dead, config);
            let stop = writers.stop.clone();
            writers.running.spawn(async move { projection.run(stop).await.unwrap() });
        }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let Setup { config, limits, routes, not_ready, handed_over, patience, policy } = setup;
        let engines = Engines::new();
        let stop = CancellationToken::new();
        let auth = Arc::new(engines.auth());
        let commands = Arc::new(engines.commands(&auth));
        let writers = Writers { stop: stop.child_token(), running: TaskTracker::new() };
        engines.write(&writers);
        let usual = QueryConfig::default();
        let wait_most = patience.unwrap_or(usual.wait_most);
        let query_config = QueryConfig { wait_most, ..usual };
        let (queries, directory) = engines.queries(query_config);
        let feeder = commands.key_feeder();
        tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::join!(feeder.run(stop.clone()), stop.run_until_cancelled(directory.run()))
            }
        });
        let policy = policy.unwrap_or(Policy::OPEN);
        let clock = Arc::new(engines.clock.clone());
        let limiter = Limiter::new(policy, Arc::new(engines.kv.clone()), clock);
        let services = Services {
            limits: Arc::new(limiter),
            commands: commands.clone(),
            queries: Arc::new(queries),
            auth: auth.clone(),
            accounts: auth.clone(),
            invitations: auth.clone(),
            tokens: auth.clone(),
            audit: Arc::new(engines.audit()),
            clock: Arc::new(engines.clock.clone()),
            imports: Arc::new(Importer(commands)),
            people: Arc::new(engines.people()),
            compliance: Arc::new(engines.compliance()),
            entropy: engines.entropy.clone(),
        };
        let hooks = Hooks {
            ready: Arc::new(move || {
                let checks =
                    vec![("log".to_owned(), None), ("store".to_owned(), not_ready.clone())];
                Box::pin(async { Readiness { checks, ..Readiness::default() } })
            }),
            metrics: Arc::new(|| "klatch_up 1\n".to_owned()),
            routes,
        };
        let router = klatch_gateway::router(services, config, hooks);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let elsewhere = Arc::new(move || handed_over.load(Ordering::Relaxed));
        let serving =
            klatch_gateway::serve(vec![listener], None, router, limits, elsewhere, stop.clone());
        let server = tokio::spawn(serving);
        let (clock, kv) = (engines.clock.clone(), engines.kv.clone());
        let (stop, guard) = (stop.clone(), stop.drop_guard());
        Self { address, clock, kv, auth, stop, server, writers, _stop: guard }
    }

    /// From now on the read models stand still.
    pub(crate) async fn stop_writers(&self) {
        self.writers.stop.cancel();
        self.writers.running.close();
        self.writers.running.wait().await;
    }

    /// A request below `/api/v1`.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        Call::new(self.address, method, &format!("/api/v1/{path}"))
    }

    pub(crate) async fn person(&self, name: &str) -> Person {
        let body = json!({
            "username": name, "email": format!("{name}@example.org"), "password": PASSWORD,
        });
        person(&self.call("POST", "auth/register").json(&body).send().await.ok(201))
    }

    pub(crate) async fn admin(&self, name: &str) -> Person {
        let token = self.auth.setup_token().await.unwrap();
        let body = json!({
            "username": name, "email": format!("{name}@example.org"), "password": PASSWORD,
            "setupToken": token,
        });
        person(&self.call("POST", "auth/register").json(&body).send().await.ok(201))
    }

    /// A channel of `owner`; its id, and the position from which on all see it.
    pub(crate) async fn channel(&self, owner: &Person, name: &str, visibility: &str) -> String {
        let body = json!({"type": "channel", "name": name, "visibility": visibility});
        let made = self.call("POST", "rooms").token(&owner.token).json(&body).send().await.ok(202);
        text(&made, "roomId")
    }

    /// Sends a message; the answer.
    pub(crate) async fn say(&self, who: &Person, room: &str, words: &str) -> Value {
        let call = self.call("POST", &format!("rooms/{room}/messages")).token(&who.token);
        call.json(&json!({"content": words})).send().await.ok(202)
    }
}

fn person(signed_in: &Value) -> Person {
    Person {
        id: text(&signed_in["user"], "userId"),
        token: text(signed_in, "accessToken"),
        refresh: text(signed_in, "refreshToken"),
        position: text(signed_in, "position"),
    }
}

#[track_caller]
pub(crate) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}
