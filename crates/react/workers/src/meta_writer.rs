//! Meta-writer: META to the metadata store.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use klatch_ports::log::Record;
use klatch_ports::messages::Applied;
use klatch_ports::metadata::{MetadataCommit, MetadataProgress, MetadataWriter};
use klatch_ports::{Partition, PortError, PortResult, StreamId};
use klatch_pump::{ApplyError, Projector};

use crate::decode;
use crate::meta_fold::{MetaRows, Needs, fold, needs};
use crate::rows::Rows;

/// Builds users, rooms and memberships. Profiles stay sealed.
pub struct MetaWriterProjector {
    progress: Arc<dyn MetadataProgress>,
    writer: Arc<dyn MetadataWriter>,
}

impl std::fmt::Debug for MetaWriterProjector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetaWriterProjector").finish_non_exhaustive()
    }
}

impl MetaWriterProjector {
    /// `progress` tells the position, `writer` takes the rows: two halves of one store.
    pub fn new(progress: Arc<dyn MetadataProgress>, writer: Arc<dyn MetadataWriter>) -> Self {
        Self { progress, writer }
    }

    async fn load(&self, needs: Needs) -> PortResult<MetaRows> {
        let users = needs.users.into_iter().map(|id| async move {
            let user = self.writer.load_user(id).await?;
            Ok::<_, PortError>((id, user.map(|user| (user, None))))
        });
        let rooms = needs.rooms.into_iter().map(|id| async move {
            let room = self.writer.load_room(id).await?;
            Ok::<_, PortError>((id, room.map(|room| (room, None))))
        });
        let members = needs.members.into_iter().map(|(room, user)| async move {
            Ok::<_, PortError>(((room, user), self.writer.load_member(room, user).await?))
        });
        Ok(MetaRows {
            users: Rows::loaded(try_join_all(users).await?),
            rooms: Rows::loaded(try_join_all(rooms).await?),
            members: Rows::loaded(try_join_all(members).await?),
            ..MetaRows::default()
        })
    }
}

#[async_trait]
impl Projector for MetaWriterProjector {
    fn name(&self) -> &'static str {
        "meta-writer"
    }

    fn stream(&self) -> StreamId {
        StreamId::Meta
    }

    async fn position(&self, partition: Partition) -> PortResult<Applied> {
        self.progress.applied(partition).await
    }

    async fn apply(
        &self,
        partition: Partition,
        through: Applied,
        records: &[Record],
    ) -> Result<(), ApplyError> {
        let events = decode::events(records)?;
        let rows = fold(self.load(needs(&events)).await?, &events)?;
        let commit = MetadataCommit {
            partition,
            applied: through,
            named: rows.named,
            users: rows.users.into_changed().map(|(_, row)| row).collect(),
            rooms: rows.rooms.into_changed().map(|(_, row)| row).collect(),
            members: rows.members.into_changed().map(|((room, _), stay)| (room, stay)).collect(),
        };
        Ok(self.writer.commit(commit).await?)
    }

    async fn advance(&self, partition: Partition, through: Applied) -> PortResult<()> {
        self.writer.advance(partition, through).await
    }
}
