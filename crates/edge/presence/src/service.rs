//! The service: what it reads and writes, and what it publishes.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use klatch_domain::permission::{Action, Actor, check};
use klatch_domain::presence::{Choice, Presence, Status};
use klatch_domain::{Clock, Rejection, RoomId, UserId};
use klatch_ports::PortResult;
use klatch_ports::api::presence::{OwnPresence, PresenceApi, PresenceView, StatusWords};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::bus::BusPublisher;
use klatch_ports::kv::{KvReader, Revision};
use klatch_ports::metadata::{MemberReader, RoomReader};
use klatch_ports::whereabouts::{Whereabouts, WhereaboutsStore};
use klatch_protocol::presence::{
    TypingNote, device_prefix, presence_subject, read_device_value, typing_subject,
};

use crate::bucket::Buckets;
use crate::circle;
use crate::config::PresenceConfig;
use crate::throttle::Typists;

/// People looked up at the same time.
const AT_ONCE: usize = 64;

/// Everything the service may touch. The readers are capabilities of the whole: it sees rooms and
/// who is in them, no messages.
pub struct Deps {
    /// What devices said.
    pub kv: Arc<dyn KvReader>,
    /// What people chose, and when they left.
    pub whereabouts: Arc<dyn WhereaboutsStore>,
    /// Tells the other instances.
    pub bus: Arc<dyn BusPublisher>,
    /// Rooms, to know who may type in them.
    pub rooms: Arc<dyn RoomReader>,
    /// Their members.
    pub members: Arc<dyn MemberReader>,
    /// Time of day, for what ends by itself.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").finish_non_exhaustive()
    }
}

/// Presence and typing. Any number may run; they agree through the KV.
#[derive(Debug)]
pub struct PresenceService {
    deps: Deps,
    config: PresenceConfig,
    status_words: Buckets,
    typing_words: Buckets,
    typists: Typists,
}

/// What is known about a person.
struct Found {
    devices: Status,
    oldest: Option<Revision>,
    choice: Option<Choice>,
    presence: Presence,
}

impl PresenceService {
    /// A service on `deps`.
    pub fn new(deps: Deps, config: PresenceConfig) -> Self {
        Self {
            status_words: Buckets::new(config.status_burst, config.status_refill),
            typing_words: Buckets::new(config.typing_burst, config.typing_refill),
            typists: Typists::new(config.typing_interval),
            deps,
            config,
        }
    }

    /// Forgets what `user` chose and when they were seen; others who watch them are told.
    ///
    /// # Errors
    /// As the ports report.
    pub async fn forget(&self, user: UserId) -> PortResult<()> {
        self.deps.whereabouts.forget(user).await?;
        self.deps.bus.publish(&presence_subject(user), Bytes::new()).await
    }

    async fn find(&self, user: UserId) -> PortResult<Found> {
        let prefix = device_prefix(user);
        let known = self.deps.whereabouts.whereabouts(user);
        let (devices, known) = futures::try_join!(self.deps.kv.list(&prefix), known)?;
        let oldest = devices.iter().map(|(_, entry)| entry.revision).min();
        let said = devices.iter().map(|(_, entry)| read_device_value(&entry.value));
        let devices = Status::merged(said);
        let now = self.deps.clock.now();
        let Whereabouts { left, choice } = known;
        let choice = choice.filter(|choice| !choice.is_over(now));
        let presence = Presence::seen(devices, choice.as_ref(), left, now);
        Ok(Found { devices, oldest, choice, presence })
    }

    async fn view(&self, user: UserId) -> PortResult<PresenceView> {
        let Found { oldest, presence, .. } = self.find(user).await?;
        Ok(PresenceView { user, presence, oldest })
    }

    async fn store(&self, user: UserId, choice: Choice) -> ServiceResult<()> {
        let now = self.deps.clock.now();
        let choice = choice.checked(now)?;
        let choice = Some(&choice).filter(|choice| !choice.is_empty());
        self.deps.whereabouts.chose(user, choice).await?;
        // Says nothing but that something changed: whoever hears it reads what.
        self.deps.bus.publish(&presence_subject(user), Bytes::new()).await?;
        Ok(())
    }
}

#[async_trait]
impl PresenceApi for PresenceService {
    async fn presence(&self, users: &[UserId]) -> PortResult<Vec<PresenceView>> {
        let found = futures::stream::iter(users.iter().copied()).map(|user| self.view(user));
        found.buffered(AT_ONCE).try_collect().await
    }

    async fn seen_by(&self, actor: Actor, users: &[UserId]) -> PortResult<HashSet<UserId>> {
        circle::seen_by(&*self.deps.members, actor, users).await
    }

    async fn own_presence(&self, actor: Actor) -> ServiceResult<OwnPresence> {
        let Found { devices, oldest, choice, presence } = self.find(actor.user).await?;
        Ok(OwnPresence {
            view: PresenceView { user: actor.user, presence, oldest },
            devices,
            chosen: choice.and_then(|choice| choice.status),
        })
    }

    async fn choose(&self, actor: Actor, choice: Choice) -> ServiceResult<()> {
        self.admit_status(actor)?;
        self.store(actor.user, choice).await
    }

    async fn say_status(&self, actor: Actor, words: StatusWords) -> ServiceResult<()> {
        self.admit_status(actor)?;
        let chosen = self.own_presence(actor).await?.chosen;
        let StatusWords { text, emoji, until } = words;
        let choice = Choice { status: chosen, text, emoji, until, ..Choice::default() };
        self.store(actor.user, choice).await
    }

    async fn left(&self, user: UserId) -> PortResult<()> {
        self.deps.whereabouts.left(user, self.deps.clock.now()).await
    }

    fn admit_status(&self, actor: Actor) -> ServiceResult<()> {
        self.status_words.take(actor.user).map_err(ServiceError::TooOften)
    }

    async fn typing(&self, actor: Actor, room: RoomId, is_typing: bool) -> ServiceResult<()> {
        self.typing_words.take(actor.user).map_err(ServiceError::TooOften)?;
        let row = self.deps.rooms.room(room).await?.ok_or(Rejection::RoomNotFound)?;
        let stay = self.deps.members.membership(room, actor.user).await?;
        check(actor, &row, stay.as_ref(), Action::Send)?;
        if row.member_count > self.config.typing_members_max
            || !self.typists.is_news(room, actor.user, is_typing)
        {
            return Ok(());
        }
        let note = TypingNote { user: actor.user, is_typing, changed_seq: row.changed_seq };
        self.deps.bus.publish(&typing_subject(room), note.encode()).await?;
        Ok(())
    }
}
