//! The audit log: what those who run the server did.

use async_trait::async_trait;
use klatch_domain::audit::AuditEntry;

use super::ServiceResult;
use super::queries::{Page, PageRequest};
use crate::position::Position;

/// Keeps and shows the audit log. Whether the asker may see it is for the caller to find out.
#[async_trait]
pub trait AuditApi: Send + Sync {
    /// Appends an entry to the SYSTEM stream; it is durable when this returns. Call it before what
    /// it tells of is done, once nothing speaks against it: a crash in between leaves an entry too
    /// many, never one too few. Cost: one look-up of the newest entry and one synced append.
    ///
    /// # Errors
    /// [`super::ServiceError::OutcomeUnknown`]: it may be there all the same.
    async fn record(&self, entry: &AuditEntry) -> ServiceResult<Position>;

    /// Entries, newest first, as far back as the log goes. Cost: one read of the log for each.
    async fn audit(&self, page: PageRequest) -> ServiceResult<Page<AuditEntry>>;
}
