//! The audit log: one chain of records in the SYSTEM stream.
//!
//! Each record names the one before it and is appended only if that one is still the newest. So it
//! is read newest first at the cost of the page alone, without a read model, and a record that is
//! missing in between is noticed.

use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::Rejection;
use klatch_domain::audit::AuditEntry;
use klatch_ports::api::audit::AuditApi;
use klatch_ports::api::queries::{Page, PageRequest};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::log::{Append, AppendError, EventAppender, Expected, Key, LogReader};
use klatch_ports::{ErrorKind, Offset, PortError, Position, StreamId};
use klatch_protocol::audit;
use smallvec::smallvec;

/// What all records of the chain are appended under.
const KEY: Key = Key(u128::from_be_bytes(*b"klatch/audit/1\0\0"));
/// How often an append that others overtake is tried again.
const APPENDS_TRIED: usize = 32;

/// The audit log in the event log.
#[derive(Clone)]
pub struct AuditLog {
    log: Arc<dyn EventAppender>,
    reader: Arc<dyn LogReader>,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditLog")
    }
}

impl AuditLog {
    /// The audit log in `log`, read by `reader`.
    pub fn new(log: Arc<dyn EventAppender>, reader: Arc<dyn LogReader>) -> Self {
        Self { log, reader }
    }
}

#[async_trait]
impl AuditApi for AuditLog {
    async fn record(&self, entry: &AuditEntry) -> ServiceResult<Position> {
        for _ in 0..APPENDS_TRIED {
            let previous = self.reader.head(StreamId::System, KEY).await?;
            let append = Append {
                stream: StreamId::System,
                key: KEY,
                expected: Expected::Head(previous),
                records: smallvec![audit::encode(entry, previous)],
            };
            match self.log.append(append).await {
                Ok(appended) => return Ok(appended.first),
                Err(AppendError::Conflict { .. }) => {}
                Err(AppendError::Port(error)) => {
                    tracing::error!(%error, act = entry.act.as_str(), "an act is not in the audit");
                    return Err(ServiceError::OutcomeUnknown(error));
                }
            }
        }
        Err(ServiceError::Busy)
    }

    async fn audit(&self, page: PageRequest) -> ServiceResult<Page<AuditEntry>> {
        let mut next = match page.cursor {
            Some(cursor) => Some(Offset(cursor.parse().map_err(|_| refused())?)),
            None => self.reader.head(StreamId::System, KEY).await?,
        };
        let partition = self.reader.partition_of(StreamId::System, KEY);
        let mut items = Vec::new();
        while let Some(place) = next.filter(|_| items.len() < page.limit) {
            let record = self.reader.record(StreamId::System, partition, place).await?;
            // The log forgets what is old.
            let Some(record) = record else { return Ok(Page { items, next: None }) };
            let read = audit::decode(&record.body).map_err(|error| {
                PortError::new(ErrorKind::Corrupt, "audit", "read").because(error)
            })?;
            // A cursor that was never given out.
            let Some((entry, previous)) = read else { return Err(refused()) };
            items.push(entry);
            next = previous.filter(|previous| *previous < place);
        }
        Ok(Page { items, next: next.map(|next| next.0.to_string()) })
    }
}

fn refused() -> ServiceError {
    Rejection::InvalidField("cursor").into()
}
