//! What the role may touch.

use std::sync::Arc;

use klatch_domain::{Clock, Entropy};
use klatch_limits::Limiter;
use klatch_ports::api::auth::TokenVerifier;
use klatch_ports::api::commands::CommandApi;
use klatch_ports::api::presence::PresenceApi;
use klatch_ports::bus::{BusPublisher, BusSubscriber};
use klatch_ports::kv::KvWriter;
use klatch_ports::log::LogReader;
use klatch_ports::metadata::MetadataReader;
use klatch_protocol::sealed::KeyRing;
use klatch_sync::Sync;

/// Everything the role may touch: it writes nothing but presence, and commands through their API.
#[derive(Clone)]
pub struct Deps {
    /// Checks tokens.
    pub tokens: Arc<dyn TokenVerifier>,
    /// What clients ask for.
    pub commands: Arc<dyn CommandApi>,
    /// What people say of themselves, and see of others.
    pub people: Arc<dyn PresenceApi>,
    /// The instance's inbox, and what is told to all instances.
    pub bus: Arc<dyn BusSubscriber>,
    /// Tells all instances that someone came, went or changed.
    pub signals: Arc<dyn BusPublisher>,
    /// How often each may speak and connect.
    pub limits: Arc<Limiter>,
    /// Who is connected here, for fan-out and for those who watch them.
    pub presence: Arc<dyn KvWriter>,
    /// Repairs and replays.
    pub log: Arc<dyn LogReader>,
    /// Who is in which room.
    pub metadata: Arc<dyn MetadataReader>,
    /// What whoever comes back has missed.
    pub sync: Sync,
    /// People's keys, to open their words when the log is read.
    pub keys: Arc<KeyRing>,
    /// Time of day, for tokens.
    pub clock: Arc<dyn Clock>,
    /// Ids and jitter.
    pub entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").finish_non_exhaustive()
    }
}
