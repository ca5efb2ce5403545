//! Owns what a person may ask a server for: an export of all that it holds of them, and erasure.
//! Must not contain: an engine, a route, or a copy of words that outlives a request.
//!
//! **Erasing.** In this order: the ledger of erasures, the event on the log, the accounts, the key,
//! the memories of this process. The ledger comes first and the key last, so that whatever a crash
//! cuts short is found and finished by [`Compliance::finish`]: somebody in the ledger who still has
//! an account or a key. Then every store is looked at, and the answer says what was found in each.
#![warn(missing_docs)]

mod erase;
mod export;
mod look;
mod trail;

use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::audit::{Act, AuditEntry, By};
use klatch_domain::permission::ServerAction;
use klatch_domain::{Clock, Rejection, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{AccountStore, SessionStore};
use klatch_ports::api::ServiceResult;
use klatch_ports::api::audit::AuditApi;
use klatch_ports::api::compliance::{ComplianceApi, Erased, Export};
use klatch_ports::erasures::{AccountEraser, ErasureLedger};
use klatch_ports::keys::{KeyReader, KeyWriter};
use klatch_ports::log::{EventAppender, LogReader};
use klatch_ports::messages::MessageReader;
use klatch_ports::metadata::MetadataReader;
use klatch_ports::whereabouts::WhereaboutsStore;
use klatch_protocol::sealed::KeyRing;

/// A part of the process that remembers something of people.
#[async_trait]
pub trait Memory: Send + Sync {
    /// Its name, in a word or two.
    fn name(&self) -> &'static str;

    /// Forgets `user`, whose key was destroyed, and whose account is gone.
    async fn forget(&self, user: UserId) -> PortResult<()>;
}

/// Everything this role may touch.
pub struct Deps {
    /// Accounts, to tell what they hold.
    pub accounts: Arc<dyn AccountStore>,
    /// Signed-in devices, to tell them.
    pub sessions: Arc<dyn SessionStore>,
    /// What is known of them while they are away, to tell it.
    pub whereabouts: Arc<dyn WhereaboutsStore>,
    /// Takes people out of the accounts.
    pub eraser: Arc<dyn AccountEraser>,
    /// Who was erased.
    pub ledger: Arc<dyn ErasureLedger>,
    /// Whether a key is there.
    pub keys: Arc<dyn KeyReader>,
    /// Destroys keys.
    pub key_writer: Arc<dyn KeyWriter>,
    /// Opens what is exported.
    pub ring: Arc<KeyRing>,
    /// Tells everyone.
    pub appender: Arc<dyn EventAppender>,
    /// What a person said and did.
    pub log: Arc<dyn LogReader>,
    /// Checked after an erasure.
    pub messages: Arc<dyn MessageReader>,
    /// Checked after an erasure; told in an export.
    pub metadata: Arc<dyn MetadataReader>,
    /// Memories of this process.
    pub memories: Vec<Arc<dyn Memory>>,
    /// Tells who asked for it.
    pub audit: Arc<dyn AuditApi>,
    /// The time of an erasure.
    pub clock: Arc<dyn Clock>,
}

/// Exports and erases.
pub struct Compliance {
    deps: Deps,
}

impl std::fmt::Debug for Compliance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compliance").finish_non_exhaustive()
    }
}

impl Compliance {
    /// On `deps`.
    pub fn new(deps: Deps) -> Self {
        Self { deps }
    }

    async fn note(&self, by: By, act: Act, user: UserId) -> ServiceResult<()> {
        let entry = AuditEntry::new(self.deps.clock.now(), by, act);
        self.deps.audit.record(&AuditEntry { user: Some(user), ..entry }).await?;
        Ok(())
    }

    /// Refuses users of whom the server knows nothing.
    async fn known(&self, user: UserId) -> ServiceResult<()> {
        let deps = &self.deps;
        let known = deps.accounts.get(user).await?.is_some()
            || deps.metadata.user(user).await?.is_some()
            || deps.keys.key(user).await?.is_some();
        if known { Ok(()) } else { Err(Rejection::UserNotFound.into()) }
    }
}

#[async_trait]
impl ComplianceApi for Compliance {
    async fn erase(&self, by: By, user: UserId) -> ServiceResult<Erased> {
        by.check(ServerAction::ManageAccounts)?;
        self.erase_person(by, user).await
    }

    async fn export(&self, by: By, user: UserId) -> ServiceResult<Box<dyn Export>> {
        by.check(ServerAction::ManageAccounts)?;
        let export = self.export_person(user).await?;
        self.note(by, Act::UserExported, user).await?;
        Ok(Box::new(export))
    }
}
