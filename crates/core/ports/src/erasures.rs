//! Who was erased: a list that outlives the data, so that a restored backup does not bring anyone
//! back. It is kept, and copied, apart from what it speaks of, and is never shortened.

use async_trait::async_trait;
use klatch_domain::{Timestamp, UserId};

use crate::error::PortResult;

/// A person who was erased, or is about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Erasure {
    /// Who.
    pub user: UserId,
    /// When it was asked for.
    pub at: Timestamp,
}

/// The ledger of erasures.
#[async_trait]
pub trait ErasureLedger: Send + Sync {
    /// Adds an entry, durable when it returns; nothing may be destroyed before. One that is there
    /// already changes nothing.
    async fn add(&self, erasure: Erasure) -> PortResult<()>;

    /// All entries, oldest first.
    async fn entries(&self) -> PortResult<Vec<Erasure>>;
}

/// What the accounts hold of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Their account, with password and first profile.
    pub accounts: u64,
    /// Names and addresses held for them.
    pub names: u64,
    /// Signed-in devices.
    pub sessions: u64,
    /// Anything else that bears their id: tokens, marks, invitations.
    pub others: u64,
}

impl Traces {
    /// Whether nothing is there.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Takes people out of the accounts.
#[async_trait]
pub trait AccountEraser: Send + Sync {
    /// What there is of `user`. Cost: a look at every row.
    async fn traces(&self, user: UserId) -> PortResult<Traces>;

    /// Removes everything of `user`, so that no byte of it is left in the engine's files, and gives
    /// what there was. Doing it again does no harm. Cost: every row is written; other writes wait.
    async fn erase(&self, user: UserId) -> PortResult<Traces>;
}
