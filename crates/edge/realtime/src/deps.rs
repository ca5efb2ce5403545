//! What the role may touch.

use std::sync::Arc;

use klatch_domain::{Clock, Entropy};
use klatch_ports::api::auth::TokenVerifier;
use klatch_ports::api::commands::CommandApi;
use klatch_ports::bus::BusSubscriber;
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
    /// The instance's inbox.
    pub bus: Arc<dyn BusSubscriber>,
    /// Who is connected here, for fan-out.
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
