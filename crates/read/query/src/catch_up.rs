//! Waiting until the read models have what the asker has seen already.
//!
//! The rule of positions: one of MESSAGES (`m…`) counts for both stores, because room and member
//! events lie in that stream and make metadata too; one of META (`u…`) counts for metadata. Each
//! store is compared at the position's own offset. That holds while both streams count in one
//! physical log, as the embedded one does (and the one in memory); an engine that counts them
//! apart has to translate a MESSAGES offset into its copy in META first.

use std::sync::Arc;
use std::time::Duration;

use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::log::LogReader;
use klatch_ports::messages::MessageReader;
use klatch_ports::metadata::MetadataReader;
use klatch_ports::{Partition, PortResult, Position, StreamId};
use tokio::time::Instant;

/// How long the log's end is looked at again when a position lies beyond it: another instance may
/// have appended it this moment.
const REFRESH: Duration = Duration::from_millis(20);

/// Which stores an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Users, or rooms without their ends.
    Metadata,
    /// Messages or heads, and the permission to see them.
    Both,
}

/// Holds a read back until its stores are far enough.
pub(crate) struct CatchUp {
    pub(crate) log: Arc<dyn LogReader>,
    pub(crate) messages: Arc<dyn MessageReader>,
    pub(crate) metadata: Arc<dyn MetadataReader>,
    pub(crate) most: Duration,
}

impl CatchUp {
    /// When a read that begins now gives up waiting.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.most
    }

    /// The newest positions of a stream.
    ///
    /// # Errors
    /// As the log reports.
    pub(crate) async fn ends(&self, stream: StreamId) -> PortResult<Vec<Position>> {
        let epoch = self.log.epoch();
        let mut ends = Vec::new();
        for partition in (0..self.log.partitions(stream)).map(Partition) {
            let offset = self.log.end(stream, partition).await?;
            ends.push(Position { stream, partition, epoch, offset });
        }
        Ok(ends)
    }

    /// Returns once the stores that `reads` names have every position of `at_least`.
    ///
    /// # Errors
    /// [`ServiceError::InvalidPosition`], before any wait; [`ServiceError::Behind`].
    pub(crate) async fn reach(
        &self,
        at_least: &[Position],
        reads: Reads,
        deadline: Instant,
    ) -> ServiceResult<()> {
        for position in at_least {
            self.check(*position).await?;
        }
        for position in at_least {
            if !self.wait(*position, reads, deadline).await? {
                return Err(ServiceError::Behind);
            }
        }
        Ok(())
    }

    async fn check(&self, position: Position) -> ServiceResult<()> {
        let Position { stream, partition, epoch, offset } = position;
        let read_here = matches!(stream, StreamId::Messages | StreamId::Meta);
        let known = epoch == self.log.epoch() && partition.0 < self.log.partitions(stream);
        if !read_here || !known {
            return Err(ServiceError::InvalidPosition);
        }
        if offset <= self.log.end(stream, partition).await? {
            return Ok(());
        }
        let before = klatch_ports::Offset(offset.0.saturating_sub(1));
        self.log.wait(stream, partition, before, REFRESH).await?;
        if offset <= self.log.end(stream, partition).await? {
            return Ok(());
        }
        Err(ServiceError::InvalidPosition)
    }

    async fn wait(
        &self,
        position: Position,
        reads: Reads,
        deadline: Instant,
    ) -> ServiceResult<bool> {
        let Position { stream, partition, offset, .. } = position;
        let left = || deadline.saturating_duration_since(Instant::now());
        if !self.metadata.wait_applied(partition, offset, left()).await? {
            return Ok(false);
        }
        if reads == Reads::Both
            && stream == StreamId::Messages
            && !self.messages.wait_applied(partition, offset, left()).await?
        {
            return Ok(false);
        }
        self.of_this_epoch(partition, reads).await
    }

    /// Rows of another life of the log can have the offset and not the event.
    async fn of_this_epoch(&self, partition: Partition, reads: Reads) -> ServiceResult<bool> {
        let epoch = self.log.epoch();
        let metadata = self.metadata.applied(partition).await?;
        let messages = match reads {
            Reads::Metadata => metadata,
            Reads::Both => self.messages.applied(partition).await?,
        };
        // A store that has applied nothing contradicts nothing, and was not waited for.
        let fits = |at: klatch_ports::messages::Applied| at.epoch == epoch || at.offset.0 == 0;
        Ok(fits(metadata) && fits(messages))
    }
}
