//! Export and erasure on engines that this process has open, with or without a server around them.

use std::sync::Arc;

use klatch_auth::AuditLog;
use klatch_compliance::{Compliance, Deps, Memory};
use klatch_domain::Clock;
use klatch_embedded::accounts::Accounts;
use klatch_embedded::erasures::LedgerFile;
use klatch_embedded::keys::Keys;
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::{MessageStore, MetadataStore};
use klatch_protocol::sealed::KeyRing;

/// The engines.
pub(crate) struct Engines {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) ledger: LedgerFile,
    pub(crate) messages: Arc<MessageStore>,
    pub(crate) metadata: Arc<MetadataStore>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The role on these engines; `memories` are the memories of a running server.
pub(crate) fn compliance(engines: Engines, memories: Vec<Arc<dyn Memory>>) -> Compliance {
    let Engines { log, accounts, keys, ring, ledger, messages, metadata, clock } = engines;
    let audit = Arc::new(AuditLog::new(log.clone(), log.clone()));
    Compliance::new(Deps {
        accounts: accounts.clone(),
        sessions: accounts.clone(),
        whereabouts: accounts.clone(),
        eraser: accounts,
        ledger: Arc::new(ledger),
        keys: keys.clone(),
        key_writer: keys,
        ring,
        appender: log.clone(),
        log,
        messages,
        metadata,
        memories,
        audit,
        clock,
    })
}
