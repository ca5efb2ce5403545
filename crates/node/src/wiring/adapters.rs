//! The engines behind the ports: embedded ones in the data directory, buses in memory.

use std::sync::Arc;

use anyhow::Context as _;
use klatch_embedded::accounts::Accounts;
use klatch_embedded::disk::{RealDisk, create_private};
use klatch_embedded::key_index::KeyIndexStore;
use klatch_embedded::keys::Keys;
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::{MessageStore, MetadataStore, Stores, StoresConfig};
use klatch_memory::bus::MemoryBus;
use klatch_memory::kv::MemoryKv;
use klatch_protocol::sealed::KeyRing;
use klatch_retention::{Snapshot, stores_for};

use super::Process;

/// Expanded keys remembered (twice this many, a kilobyte each).
const KEY_RING: usize = 4096;

/// The opened engines.
pub(crate) struct Adapters {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) messages: Arc<MessageStore>,
    pub(crate) metadata: Arc<MetadataStore>,
    pub(crate) snapshot: Snapshot,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) key_ring: Arc<KeyRing>,
    pub(crate) key_index: Arc<KeyIndexStore>,
    pub(crate) bus: MemoryBus,
    pub(crate) kv: MemoryKv,
}

impl Adapters {
    /// Opens everything in the data directory. The log first: it holds the lock that keeps a
    /// second process out.
    pub(crate) async fn open(process: &Process) -> anyhow::Result<Self> {
        let process = process.clone();
        // Opening reads and syncs files.
        tokio::task::spawn_blocking(move || Self::open_here(&process)).await?
    }

    /// The read models, as other handles to the same ones.
    pub(crate) fn stores(&self) -> Stores {
        Stores { messages: Arc::clone(&self.messages), metadata: Arc::clone(&self.metadata) }
    }

    fn open_here(process: &Process) -> anyhow::Result<Self> {
        let dir = process.config.server.data_dir.clone();
        let shown = dir.display().to_string();
        create_private(&dir).with_context(|| {
            format!("the data directory {shown} cannot be used: check that it may be written")
        })?;
        let disk = RealDisk::open(&dir).with_context(|| format!("opening {shown}"))?;
        let config = crate::upkeep::log_config(&process.config);
        let clock = Arc::clone(&process.clock);
        let log = EmbeddedLog::open(Arc::new(disk), config, clock, &*process.entropy)
            .with_context(|| format!("opening the log in {shown}"))?;
        let keys = Keys::open(&dir, Arc::clone(&process.entropy))
            .with_context(|| format!("opening the keys in {shown}"))?;
        let keys = Arc::new(keys);
        let accounts =
            Accounts::open(&dir).with_context(|| format!("opening the accounts in {shown}"))?;
        let snapshot = Snapshot::of(&dir);
        let stores = stores_for(&log, &dir, &snapshot, StoresConfig::default())
            .with_context(|| format!("opening the read models in {shown}"))?;
        let key_index = KeyIndexStore::open(&dir)
            .with_context(|| format!("opening the key index in {shown}"))?;
        Ok(Self {
            log,
            messages: stores.messages,
            metadata: stores.metadata,
            snapshot,
            accounts: Arc::new(accounts),
            key_ring: Arc::new(KeyRing::new(keys.clone(), KEY_RING)),
            keys,
            key_index: Arc::new(key_index),
            bus: MemoryBus::default(),
            kv: MemoryKv::default(),
        })
    }
}
