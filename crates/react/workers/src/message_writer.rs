//! Message-writer: MESSAGES to the message store.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use klatch_ports::log::Record;
use klatch_ports::messages::{Applied, MessageCommit, MessageReader, MessageWriter};
use klatch_ports::{Partition, PortResult, StreamId};
use klatch_pump::{ApplyError, Projector};

use crate::decode;
use crate::message_fold::{MessageRows, Needs, fold, needs};
use crate::rows::Rows;

/// Builds history and every room's end. Every event of a timeline moves the room's end; words stay
/// sealed.
pub struct MessageWriterProjector {
    reader: Arc<dyn MessageReader>,
    writer: Arc<dyn MessageWriter>,
}

impl std::fmt::Debug for MessageWriterProjector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageWriterProjector").finish_non_exhaustive()
    }
}

impl MessageWriterProjector {
    /// `reader` tells the position, `writer` takes the rows: two halves of one store.
    pub fn new(reader: Arc<dyn MessageReader>, writer: Arc<dyn MessageWriter>) -> Self {
        Self { reader, writer }
    }

    async fn load(&self, needs: Needs) -> PortResult<MessageRows> {
        let messages = needs.messages.into_iter().map(|(room, seq)| async move {
            Ok::<_, klatch_ports::PortError>(((room, seq), self.writer.load(room, seq).await?))
        });
        let heads = needs.heads.into_iter().map(|room| async move {
            Ok::<_, klatch_ports::PortError>((room, self.writer.load_head(room).await?))
        });
        Ok(MessageRows {
            messages: Rows::loaded(try_join_all(messages).await?),
            heads: Rows::loaded(try_join_all(heads).await?),
            ..MessageRows::default()
        })
    }
}

#[async_trait]
impl Projector for MessageWriterProjector {
    fn name(&self) -> &'static str {
        "message-writer"
    }

    fn stream(&self) -> StreamId {
        StreamId::Messages
    }

    async fn position(&self, partition: Partition) -> PortResult<Applied> {
        self.reader.applied(partition).await
    }

    async fn apply(
        &self,
        partition: Partition,
        through: Applied,
        records: &[Record],
    ) -> Result<(), ApplyError> {
        let events = decode::events(records)?;
        let rows = fold(self.load(needs(&events)).await?, &events)?;
        let commit = MessageCommit {
            partition,
            applied: through,
            messages: rows.messages.into_changed().map(|(_, message)| message).collect(),
            heads: rows.heads.into_changed().collect(),
            externals: rows.externals,
            events: rows.events,
            stays: rows.stays,
        };
        Ok(self.writer.commit(commit).await?)
    }

    async fn advance(&self, partition: Partition, through: Applied) -> PortResult<()> {
        self.writer.advance(partition, through).await
    }
}
