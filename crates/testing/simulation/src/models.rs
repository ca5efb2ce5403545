//! The read models of a life, as its roles see them.

use std::sync::Arc;

use klatch_embedded::stores::Stores;
use klatch_memory::messages::MessageStore;
use klatch_memory::metadata::MetadataStore;
use klatch_ports::activity::ActivityReader;
use klatch_ports::messages::{MessageReader, MessageWriter};
use klatch_ports::metadata::{MetadataProgress, MetadataReader, MetadataWriter};
use klatch_pump::Projector;
use klatch_workers::{MessageWriterProjector, MetaWriterProjector};

/// Handles to both.
pub(crate) struct Models {
    pub(crate) messages: Arc<dyn MessageReader>,
    pub(crate) activity: Arc<dyn ActivityReader>,
    pub(crate) metadata: Arc<dyn MetadataReader>,
    progress: Arc<dyn MetadataProgress>,
    message_writer: Arc<dyn MessageWriter>,
    metadata_writer: Arc<dyn MetadataWriter>,
}

impl Models {
    /// Empty ones in memory: the log holds everything.
    pub(crate) fn in_memory() -> Self {
        Self::of(&Arc::<MessageStore>::default(), &Arc::new(MetadataStore::new()))
    }

    /// Those on files.
    pub(crate) fn on_files(stores: &Stores) -> Self {
        Self::of(&stores.messages, &stores.metadata)
    }

    fn of<M, D>(messages: &Arc<M>, metadata: &Arc<D>) -> Self
    where
        M: MessageReader + MessageWriter + ActivityReader + 'static,
        D: MetadataReader + MetadataWriter + 'static,
    {
        Self {
            messages: Arc::clone(messages) as _,
            activity: Arc::clone(messages) as _,
            metadata: Arc::clone(metadata) as _,
            progress: Arc::clone(metadata) as _,
            message_writer: Arc::clone(messages) as _,
            metadata_writer: Arc::clone(metadata) as _,
        }
    }

    /// The workers that keep them.
    pub(crate) fn projectors(&self) -> [Arc<dyn Projector>; 2] {
        let (messages, writer) = (Arc::clone(&self.messages), Arc::clone(&self.message_writer));
        let (progress, rows) = (Arc::clone(&self.progress), Arc::clone(&self.metadata_writer));
        [
            Arc::new(MessageWriterProjector::new(messages, writer)),
            Arc::new(MetaWriterProjector::new(progress, rows)),
        ]
    }
}
