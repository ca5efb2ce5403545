//! The roles of a whole server in one process.

use std::sync::Arc;
use std::time::Duration;

use klatch_auth::{AuditLog, Auth, Parts, Stores};
use klatch_command::{CommandConfig, CommandService, Importer};
use klatch_fanout::{FanOut, FanOutConfig, FanOutStats};
use klatch_limits::Limiter;
use klatch_meter::{Part, metered};
use klatch_ports::api::import::ImportApi;
use klatch_ports::log::LogReader as _;
use klatch_ports::{Partition, StreamId};
use klatch_presence::{PresenceConfig, PresenceService};
use klatch_protocol::sealed::KeyRing;
use klatch_pump::{
    DeadLetters, Progress, Projection, ProjectionConfig, PumpError, Reaction, ReactionConfig,
    Reactor,
};
use klatch_query::{Directory, Query, QueryConfig};
use klatch_realtime::{DoorLimits, Realtime, RealtimeConfig};
use klatch_sync::Sync;
use klatch_workers::{MessageWriterProjector, MetaWriterProjector};
use tokio::sync::watch;

use super::identity::{DemoIssuer, keep_keys, signing_keys};
use super::issuers::trusted_issuers;
use super::post::mailer;
use super::{Adapters, Process, chores};
use crate::config::{Config, ConfigError};
use crate::demo::{Bot, Host, Seeded};

/// Keys the directory remembers: it opens each profile once.
const DIRECTORY_KEYS: usize = 64;

/// The running roles.
pub(crate) struct Roles {
    pub(crate) auth: Arc<Auth>,
    pub(crate) commands: Arc<CommandService>,
    pub(crate) imports: Arc<dyn ImportApi>,
    pub(crate) queries: Arc<Query>,
    pub(crate) people: Arc<PresenceService>,
    pub(crate) limits: Arc<Limiter>,
    pub(crate) realtime: Realtime,
    pub(crate) projections: Vec<Arc<Progress>>,
    pub(crate) fanout: Vec<Arc<FanOutStats>>,
    /// Why a worker stands still until someone acts.
    broken: watch::Receiver<Option<Arc<PumpError>>>,
}

impl Roles {
    /// Starts them in the order in which they need each other.
    pub(crate) async fn start(
        process: &Process,
        adapters: &Adapters,
        demo: Option<&DemoIssuer>,
    ) -> anyhow::Result<Self> {
        let (projections, broken) = start_projections(process, adapters);
        let auth = Arc::new(start_auth(process, adapters, demo)?);
        auth.sweep().await?;
        let commands = start_commands(process, adapters, &auth).await?;
        let fanout = start_fanout(process, adapters).await?;
        let queries = start_queries(process, adapters);
        let people = Arc::new(presence(process, adapters));
        let limits = Arc::new(limiter(process, adapters));
        let realtime =
            start_realtime(process, adapters, (&auth, &commands, &people), &limits).await?;
        chores::start(process, adapters, &auth);
        Ok(Self {
            imports: Arc::new(Importer(Arc::clone(&commands))),
            auth,
            commands,
            queries,
            people,
            limits,
            realtime,
            projections,
            fanout,
            broken,
        })
    }

    /// Returns when a role cannot go on, with the reason.
    pub(crate) async fn broken(&self) -> anyhow::Error {
        let mut broken = self.broken.clone();
        tokio::select! {
            found = broken.wait_for(Option::is_some) => {
                let error = found.ok().and_then(|error| error.as_deref().map(ToString::to_string));
                anyhow::anyhow!("{}", error.unwrap_or_default())
            }
            () = self.realtime.stopped() => anyhow::anyhow!("the realtime role has stopped"),
        }
    }

    /// Starts the demo's bot and host.
    pub(crate) fn start_demo(&self, process: &Process, adapters: &Adapters, seeded: Seeded) {
        let bot = Bot {
            seeded,
            commands: self.commands.clone(),
            key_ring: Arc::clone(&adapters.key_ring),
            greeted: parking_lot::Mutex::default(),
        };
        let host = Host { seeded, commands: self.commands.clone() };
        for reactor in [Arc::new(bot) as Arc<dyn Reactor>, Arc::new(host)] {
            let reaction = Reaction::new(
                reactor,
                Partition(0),
                (adapters.log.clone(), adapters.log.clone()),
                dead_letters(process, adapters),
                ReactionConfig::default(),
            );
            let stop = process.stop.clone();
            process.tasks.spawn(async move {
                if let Err(error) = reaction.run(stop).await {
                    tracing::warn!(%error, "the demo's bot has stopped");
                }
            });
        }
    }
}

fn dead_letters(process: &Process, adapters: &Adapters) -> DeadLetters {
    DeadLetters::new(adapters.log.clone(), Arc::clone(&process.entropy))
}

fn start_projections(
    process: &Process,
    adapters: &Adapters,
) -> (Vec<Arc<Progress>>, watch::Receiver<Option<Arc<PumpError>>>) {
    let (messages, metadata) = (adapters.messages.clone(), adapters.metadata.clone());
    let message_writer = MessageWriterProjector::new(messages.clone(), messages);
    let meta_writer = MetaWriterProjector::new(metadata.clone(), metadata);
    let (sender, broken) = watch::channel(None);
    let sender = Arc::new(sender);
    let mut progress = Vec::new();
    for projector in
        [Arc::new(message_writer) as Arc<dyn klatch_pump::Projector>, Arc::new(meta_writer)]
    {
        let projection = Projection::new(
            projector,
            Partition(0),
            adapters.log.clone(),
            dead_letters(process, adapters),
            ProjectionConfig::default(),
        );
        progress.push(projection.progress());
        let (stop, sender) = (process.stop.clone(), Arc::clone(&sender));
        process.tasks.spawn(async move {
            if let Err(error) = metered(Part::Storing, projection.run(stop)).await {
                sender.send_replace(Some(Arc::new(error)));
            }
        });
    }
    (progress, broken)
}

fn start_auth(
    process: &Process,
    adapters: &Adapters,
    demo: Option<&DemoIssuer>,
) -> anyhow::Result<Auth> {
    let keys = signing_keys(&process.config.server.data_dir, &*process.entropy)?;
    let parts = Parts {
        stores: Stores::of(&adapters.accounts),
        keys: adapters.keys.clone(),
        ring: Arc::clone(&adapters.key_ring),
        log: adapters.log.clone(),
        audit: Arc::new(AuditLog::new(adapters.log.clone(), adapters.log.clone())),
        keep_keys: keep_keys(&process.config.server.data_dir),
        mailer: mailer(&process.config, &process.clock)?.map(|mailer| Arc::new(mailer) as _),
        clock: Arc::clone(&process.clock),
        entropy: Arc::clone(&process.entropy),
    };
    let mut config = auth_config(&process.config)?;
    config.trusted.extend(demo.map(DemoIssuer::trusted));
    Ok(Auth::new(parts, config, keys)?)
}

fn auth_config(config: &Config) -> Result<klatch_auth::Config, ConfigError> {
    Ok(klatch_auth::Config {
        public_url: config.address(),
        access_life: Duration::from_mins(config.auth.access_minutes),
        session_life: session_life(config),
        open_registration: config.auth.open_registration,
        setup_token: config.auth.setup_token.as_ref().map(|token| token.0.clone()),
        trusted: trusted_issuers(config)?,
        ..klatch_auth::Config::default()
    })
}

/// Life of a session after its last use.
pub(super) fn session_life(config: &Config) -> Duration {
    Duration::from_hours(24 * config.auth.session_days)
}

async fn start_commands(
    process: &Process,
    adapters: &Adapters,
    auth: &Arc<Auth>,
) -> anyhow::Result<Arc<CommandService>> {
    let wait = Duration::from_secs(process.config.server.read_model_wait_seconds);
    let deps = klatch_command::Deps {
        log: adapters.log.clone(),
        reader: adapters.log.clone(),
        messages: adapters.messages.clone(),
        metadata: adapters.metadata.clone(),
        claims: adapters.accounts.clone(),
        key_ring: Arc::clone(&adapters.key_ring),
        key_index: adapters.key_index.clone(),
        provisioner: auth.clone(),
        clock: Arc::clone(&process.clock),
        entropy: Arc::clone(&process.entropy),
        config: CommandConfig {
            read_model_wait: wait,
            keys_remembered: process.config.log.key_memory.0,
        },
    };
    let commands = Arc::new(CommandService::new(deps, process.tasks.clone()));
    let feeder = commands.key_feeder();
    feeder.catch_up().await?;
    let stop = process.stop.clone();
    process.tasks.spawn(metered(Part::Storing, async move { feeder.run(stop).await }));
    Ok(commands)
}

async fn start_fanout(
    process: &Process,
    adapters: &Adapters,
) -> anyhow::Result<Vec<Arc<FanOutStats>>> {
    let mut stats = Vec::new();
    for partition in (0..adapters.log.partitions(StreamId::Messages)).map(Partition) {
        let deps = klatch_fanout::Deps {
            log: adapters.log.clone(),
            metadata: adapters.metadata.clone(),
            presence: Arc::new(adapters.kv.clone()),
            bus: Arc::new(adapters.bus.clone()),
            key_ring: Arc::clone(&adapters.key_ring),
            clock: Arc::clone(&process.clock),
        };
        let fanout = FanOut::new(deps, FanOutConfig::default(), partition).await?;
        stats.push(fanout.stats());
        process.tasks.spawn(metered(Part::Delivering, fanout.run(process.stop.clone())));
    }
    Ok(stats)
}

fn start_queries(process: &Process, adapters: &Adapters) -> Arc<Query> {
    let config = QueryConfig {
        wait_most: Duration::from_secs(process.config.server.read_model_wait_seconds),
        ..QueryConfig::default()
    };
    let directory = Arc::new(Directory::new(
        adapters.metadata.clone(),
        adapters.log.clone(),
        Arc::new(KeyRing::new(adapters.keys.clone(), DIRECTORY_KEYS)),
        config.directory_users_max,
    ));
    let (followed, stop) = (Arc::clone(&directory), process.stop.clone());
    process.tasks.spawn(async move {
        tokio::select! {
            () = followed.run() => {}
            () = stop.cancelled() => {}
        }
    });
    let deps = klatch_query::Deps {
        messages: adapters.messages.clone(),
        activity: adapters.messages.clone(),
        metadata: adapters.metadata.clone(),
        log: adapters.log.clone(),
        keys: Arc::clone(&adapters.key_ring),
        directory,
    };
    Arc::new(Query::new(deps, config))
}

fn presence(process: &Process, adapters: &Adapters) -> PresenceService {
    let deps = klatch_presence::Deps {
        kv: Arc::new(adapters.kv.clone()),
        whereabouts: adapters.accounts.clone(),
        bus: Arc::new(adapters.bus.clone()),
        rooms: adapters.metadata.clone(),
        members: adapters.metadata.clone(),
        clock: Arc::clone(&process.clock),
    };
    let typing_members_max = process.config.realtime.typing_members_max as u64;
    PresenceService::new(deps, PresenceConfig { typing_members_max, ..PresenceConfig::default() })
}

fn limiter(process: &Process, adapters: &Adapters) -> Limiter {
    let (kv, clock) = (Arc::new(adapters.kv.clone()), Arc::clone(&process.clock));
    Limiter::new(process.config.limits.policy(), kv, clock)
}

async fn start_realtime(
    process: &Process,
    adapters: &Adapters,
    (auth, commands, people): (&Arc<Auth>, &Arc<CommandService>, &Arc<PresenceService>),
    limits: &Arc<Limiter>,
) -> anyhow::Result<Realtime> {
    let deps = klatch_realtime::Deps {
        tokens: auth.clone(),
        commands: commands.clone(),
        people: people.clone(),
        bus: Arc::new(adapters.bus.clone()),
        signals: Arc::new(adapters.bus.clone()),
        limits: Arc::clone(limits),
        presence: Arc::new(adapters.kv.clone()),
        log: adapters.log.clone(),
        metadata: adapters.metadata.clone(),
        sync: Sync {
            log: adapters.log.clone(),
            metadata: adapters.metadata.clone(),
            messages: adapters.messages.clone(),
            activity: adapters.messages.clone(),
        },
        keys: Arc::clone(&adapters.key_ring),
        clock: Arc::clone(&process.clock),
        entropy: Arc::clone(&process.entropy),
    };
    let settings = &process.config.realtime;
    let mut config = RealtimeConfig {
        outbox_bytes_max: settings.queue_kib * 1024,
        deflate: settings.deflate,
        room_bytes_per_second: settings.room_kib_per_second * 1024,
        frames_per_second: settings.frames_per_second,
        frames_burst: settings.frames_burst,
        allowed_origins: process.config.server.allowed_origins.clone(),
        door: DoorLimits {
            connections: process.capacity.connections,
            handshakes_per_second: settings.handshakes_per_second,
            ..DoorLimits::default()
        },
        typing_members_max: settings.typing_members_max,
        ..RealtimeConfig::default()
    };
    config.frames.message_bytes = settings.frame_kib * 1024;
    config.resume.told = klatch_sync::Limits {
        events: settings.replay_events,
        room_events: settings.delta_events,
        rooms: settings.delta_rooms,
        ..config.resume.told
    };
    config.allowed_origins.extend(process.config.server.public_url.clone());
    Ok(Realtime::start(deps, config, process.instance).await?)
}
