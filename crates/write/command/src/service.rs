//! The command service: checks what needs no room, then hands the wish to the room's queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::member::MemberRole;
use klatch_domain::permission::Actor;
use klatch_domain::room::{RoomTextsPatch, RoomType, Visibility};
use klatch_domain::{Clock, ContentType, Entropy, MessageId, Rejection, RoomId, UserId, limits};
use klatch_domain::{message, room::Room};
use klatch_ports::accounts::Claims;
use klatch_ports::api::auth::Provisioner;
use klatch_ports::api::commands::{
    Changed, CommandApi, CreateRoom, Reply, RoomMade, SendMessage, Sent,
};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::key_index::KeyIndex;
use klatch_ports::log::{EventAppender, LogReader};
use klatch_ports::messages::MessageReader;
use klatch_ports::metadata::MetadataReader;
use klatch_ports::{ErrorKind, PortError};
use klatch_protocol::hash;
use klatch_protocol::sealed::KeyRing;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::keys::{KeyFeeder, KeyMemory};
use crate::sequencer::Sequencer;
use crate::wish::{Answer, Job, SendWish, Wish};

/// How the command role behaves.
#[derive(Clone, Debug)]
pub struct CommandConfig {
    /// How long a command waits for a read model to reach the room's head before it gives up.
    pub read_model_wait: Duration,
    /// How long a sender's own key is remembered; at most two days.
    pub keys_remembered: Duration,
}

impl Default for CommandConfig {
    fn default() -> Self {
        Self { read_model_wait: Duration::from_secs(3), keys_remembered: Duration::from_hours(24) }
    }
}

/// Everything the command role may touch. It holds no writer of any store or read model.
pub struct Deps {
    /// Appends.
    pub log: Arc<dyn EventAppender>,
    /// Finds heads, and first answers of repeated sends.
    pub reader: Arc<dyn LogReader>,
    /// Rooms' ends, and messages to edit.
    pub messages: Arc<dyn MessageReader>,
    /// Rooms and memberships.
    pub metadata: Arc<dyn MetadataReader>,
    /// Unique names of rooms.
    pub claims: Arc<dyn Claims>,
    /// People's keys, to seal their words.
    pub key_ring: Arc<KeyRing>,
    /// Senders' own keys.
    pub key_index: Arc<dyn KeyIndex>,
    /// Users for imports.
    pub provisioner: Arc<dyn Provisioner>,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and nonces.
    pub entropy: Arc<dyn Entropy>,
    /// Settings.
    pub config: CommandConfig,
}

/// The command role.
pub struct CommandService {
    pub(crate) deps: Arc<Deps>,
    pub(crate) sequencer: Arc<Sequencer>,
    keys: Arc<KeyMemory>,
    pub(crate) importing: Arc<tokio::sync::Semaphore>,
}

impl std::fmt::Debug for CommandService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CommandService")
    }
}

impl CommandService {
    /// The role over its ports, on the current runtime. `tasks` runs what must be read before a
    /// decision.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(deps: Deps, tasks: TaskTracker) -> Self {
        let deps = Arc::new(deps);
        let (index, reader) = (Arc::clone(&deps.key_index), Arc::clone(&deps.reader));
        let clock = Arc::clone(&deps.clock);
        let remembered = deps.config.keys_remembered;
        let keys = Arc::new(KeyMemory::new(index, reader, clock, remembered));
        let sequencer = Arc::new(Sequencer::new(Arc::clone(&deps), Arc::clone(&keys), tasks));
        Self { deps, sequencer, keys, importing: Arc::new(tokio::sync::Semaphore::new(1)) }
    }

    /// What keeps the key index up to the log: catch it up before serving, then run it.
    pub fn key_feeder(&self) -> KeyFeeder {
        KeyFeeder::new(Arc::clone(&self.keys))
    }

    async fn change(&self, actor: Actor, room: RoomId, wish: Wish) -> ServiceResult<Changed> {
        let (sender, receiver) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            // A caller that went away has no use for the outcome.
            let _ = sender.send(outcome);
        });
        self.sequencer.submit(room, Job::new(actor, wish, Answer::Changed(reply)));
        receiver.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The answer was dropped: the role is shutting down.
pub(crate) fn gone() -> ServiceError {
    ServiceError::OutcomeUnknown(PortError::new(ErrorKind::Closed, "command", "answer"))
}

/// Checks a message as far as it can be without its room.
fn check(message: &SendMessage) -> Result<(), Rejection> {
    if message.content_type == ContentType::System {
        return Err(Rejection::InvalidField("contentType"));
    }
    message::content(&message.content, !message.attachments.is_empty())?;
    if let Some(key) = &message.client_key {
        message::client_key(key)?;
    }
    if message.metadata.len() > limits::METADATA_BYTES_MAX {
        return Err(Rejection::InvalidField("metadata"));
    }
    // Uploads come with the media role; until then no id can name one.
    if !message.attachments.is_empty() {
        return Err(Rejection::InvalidField("attachments"));
    }
    Ok(())
}

#[async_trait]
impl CommandApi for CommandService {
    fn submit_message(&self, actor: Actor, room: RoomId, message: SendMessage, reply: Reply<Sent>) {
        if let Err(rejection) = check(&message) {
            return reply(Err(rejection.into()));
        }
        let key = message.client_key.as_deref();
        let key = key.map(|key| hash::client_key(room, actor.user, key));
        let request_hash = key.map_or([0; 16], |_| hash::request(&message));
        let wish = Wish::Send(Box::new(SendWish { message, key, request_hash }));
        self.sequencer.submit(room, Job::new(actor, wish, Answer::Sent(reply)));
    }

    async fn send_message(
        &self,
        actor: Actor,
        room: RoomId,
        message: SendMessage,
    ) -> ServiceResult<Sent> {
        let (sender, receiver) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        self.submit_message(actor, room, message, reply);
        receiver.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn edit_message(
        &self,
        actor: Actor,
        room: RoomId,
        message: MessageId,
        content: String,
    ) -> ServiceResult<Changed> {
        message::content(&content, false)?;
        self.change(actor, room, Wish::Edit { message, content }).await
    }

    async fn delete_message(
        &self,
        actor: Actor,
        room: RoomId,
        message: MessageId,
    ) -> ServiceResult<Changed> {
        self.change(actor, room, Wish::Delete { message }).await
    }

    async fn create_room(&self, actor: Actor, wish: CreateRoom) -> ServiceResult<RoomMade> {
        self.make_room(actor, wish).await
    }

    async fn update_room(
        &self,
        actor: Actor,
        room: RoomId,
        texts: RoomTextsPatch,
        visibility: Option<Visibility>,
    ) -> ServiceResult<Changed> {
        let Some(Some(name)) = texts.name.clone() else {
            return self.change(actor, room, Wish::Update { texts, visibility }).await;
        };
        self.rename(actor, room, &name, Wish::Update { texts, visibility }).await
    }

    async fn archive_room(
        &self,
        actor: Actor,
        room: RoomId,
        archived: bool,
    ) -> ServiceResult<Changed> {
        self.change(actor, room, Wish::Archive { archived }).await
    }

    async fn delete_room(&self, actor: Actor, room: RoomId) -> ServiceResult<Changed> {
        let row = self.deps.metadata.room(room).await?;
        let changed = self.change(actor, room, Wish::DeleteRoom).await?;
        if let Some(Room { kind: RoomType::Channel, texts, .. }) = row {
            self.release_name(room, texts.name.as_deref()).await?;
        }
        Ok(changed)
    }

    async fn join(&self, actor: Actor, room: RoomId) -> ServiceResult<Changed> {
        self.change(actor, room, Wish::Join).await
    }

    async fn leave(&self, actor: Actor, room: RoomId) -> ServiceResult<Changed> {
        self.change(actor, room, Wish::Leave).await
    }

    async fn add_member(
        &self,
        actor: Actor,
        room: RoomId,
        user: UserId,
        role: MemberRole,
    ) -> ServiceResult<Changed> {
        self.change(actor, room, Wish::Add { user, role }).await
    }

    async fn remove_member(
        &self,
        actor: Actor,
        room: RoomId,
        user: UserId,
    ) -> ServiceResult<Changed> {
        self.change(actor, room, Wish::Remove { user }).await
    }

    async fn change_role(
        &self,
        actor: Actor,
        room: RoomId,
        user: UserId,
        role: MemberRole,
    ) -> ServiceResult<Changed> {
        self.change(actor, room, Wish::ChangeRole { user, role }).await
    }
}

impl CommandService {
    /// Renames a channel: the new name is claimed first, the old one given back last, so that a
    /// crash between leaves a name taken too long, never one held twice.
    async fn rename(
        &self,
        actor: Actor,
        room: RoomId,
        name: &str,
        wish: Wish,
    ) -> ServiceResult<Changed> {
        let row = self.deps.metadata.room(room).await?.ok_or(Rejection::RoomNotFound)?;
        if row.kind != RoomType::Channel {
            return self.change(actor, room, wish).await;
        }
        // Whoever may not rename must not learn which names are taken.
        let stay = self.deps.metadata.membership(room, actor.user).await?;
        let action = klatch_domain::permission::Action::Update;
        klatch_domain::permission::check(actor, &row, stay.as_ref(), action)?;
        let old = row.texts.name.as_deref();
        let same = old.is_some_and(|old| old.trim().to_lowercase() == name.trim().to_lowercase());
        if !same {
            self.claim_name(room, name).await?;
        }
        match self.change(actor, room, wish).await {
            Ok(changed) => {
                if !same {
                    self.release_name(room, old).await?;
                }
                Ok(changed)
            }
            Err(error) => {
                if !same && !matches!(error, ServiceError::OutcomeUnknown(_)) {
                    self.release_name(room, Some(name)).await?;
                }
                Err(error)
            }
        }
    }
}
