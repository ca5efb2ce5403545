//! Reads what a room's queue is decided on, at the room's head.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use klatch_domain::member::Membership;
use klatch_domain::{MessageId, Rejection, RoomId, Seq, UserId};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::log::Key;
use klatch_ports::{Offset, Partition, StreamId};
use klatch_protocol::sealed::PersonCipher;

use crate::room_state::RoomState;
use crate::sequencer::{Sequencer, Slot};
use crate::service::Deps;
use crate::wish::{Facts, Wish};

/// Wishes looked at in one go.
const LOOK_AHEAD: usize = 256;
/// Remembered changes of stays above which the store is asked whether it has them by now.
const UNSETTLED_MAX: usize = 1024;

/// What a queue needs, as of a moment.
#[derive(Default)]
struct Needs {
    members: HashSet<UserId>,
    ciphers: HashSet<UserId>,
    facts: Option<FactsOf>,
    head: Option<Offset>,
    unsettled: usize,
}

/// What one wish needs from the stores.
struct FactsOf {
    message: Option<MessageId>,
    user: Option<UserId>,
}

/// What was found.
struct Found {
    members: HashMap<UserId, Option<Membership>>,
    ciphers: HashMap<UserId, Option<Arc<PersonCipher>>>,
    facts: Option<Facts>,
    changed_seq: Option<Seq>,
}

impl Needs {
    /// What the front of a room's queue needs now.
    fn of(slot: &Slot) -> Self {
        let inner = slot.inner.lock();
        let mut needs = Self::default();
        let Some(state) = &inner.state else { return needs };
        needs.head = state.head_offset;
        needs.unsettled = state.unsettled();
        for (index, job) in inner.queue.iter().take(LOOK_AHEAD).enumerate() {
            let members = [Some(job.actor.user), job.wish.target()];
            let unknown = |user: &UserId| state.member(*user).is_none();
            needs.members.extend(members.into_iter().flatten().filter(unknown));
            if job.cipher.is_none() {
                needs.ciphers.extend(job.wish.writer(job.actor));
            }
            if index == 0 && job.wish.needs_facts() {
                let message = match &job.wish {
                    Wish::Edit { message, .. } | Wish::Delete { message } => Some(*message),
                    _ => None,
                };
                needs.facts = Some(FactsOf { message, user: job.wish.target() });
            }
        }
        needs
    }
}

impl Sequencer {
    /// Makes the front of a busy room's queue ready, then drives it.
    pub(crate) async fn prepare(self: Arc<Self>, slot: Arc<Slot>) {
        match self.make_ready(&slot).await {
            Ok(()) => {
                slot.inner.lock().busy = false;
                self.drive(&slot);
            }
            Err(error) => {
                let known = slot.inner.lock().state.is_some();
                let mut first = Some(error);
                self.refuse_all(&slot, || match &first {
                    Some(ServiceError::Rejected(rejection)) => (*rejection).into(),
                    Some(ServiceError::Behind) => ServiceError::Behind,
                    _ => first.take().unwrap_or(ServiceError::Busy),
                });
                if !known {
                    self.forget(&slot);
                }
                // What arrived after the queue was taken waits for nobody else.
                self.drive(&slot);
            }
        }
    }

    async fn make_ready(&self, slot: &Slot) -> ServiceResult<()> {
        if slot.inner.lock().state.is_none() {
            let state = self.deps.load_room(slot.room).await?;
            let state = state.ok_or(Rejection::RoomNotFound)?;
            // Keys that other instances used in this room: everything later is this one's own.
            let key = Key(slot.room.bits());
            let partition = self.deps.reader.partition_of(StreamId::Messages, key);
            self.keys.reach(partition, state.head_offset.unwrap_or(Offset::ZERO)).await?;
            slot.inner.lock().load(state);
        }
        let needs = Needs::of(slot);
        let found = self.deps.find(slot.room, needs).await?;
        self.fill(slot, found);
        Ok(())
    }

    fn fill(&self, slot: &Slot, found: Found) {
        let mut without_key = Vec::new();
        {
            let mut guard = slot.inner.lock();
            let inner = &mut *guard;
            let Some(state) = &mut inner.state else { return };
            if let Some(seq) = found.changed_seq {
                state.settle(seq);
            }
            for (user, membership) in found.members {
                state.remember(user, membership);
            }
            if let Some(job) = inner.queue.front_mut() {
                job.facts = found.facts.or(job.facts.take());
            }
            for mut job in std::mem::take(&mut inner.queue) {
                let writer = job.wish.writer(job.actor);
                match writer.and_then(|user| found.ciphers.get(&user)) {
                    Some(Some(cipher)) => job.cipher = Some(Arc::clone(cipher)),
                    Some(None) if job.cipher.is_none() => {
                        without_key.push(job);
                        continue;
                    }
                    Some(None) | None => {}
                }
                inner.queue.push_back(job);
            }
        }
        self.answered(without_key.len());
        for job in without_key {
            // The account was erased while its token still lived.
            job.answer.refuse(Rejection::Forbidden.into());
        }
    }
}

impl Deps {
    /// A room at the head of the log: the stores are read when they have applied it.
    pub(crate) async fn load_room(&self, room: RoomId) -> ServiceResult<Option<RoomState>> {
        let key = Key(room.bits());
        let partition = self.reader.partition_of(StreamId::Messages, key);
        let head = self.reader.head(StreamId::Messages, key).await?;
        let start = self.reader.start(StreamId::Messages, partition).await?;
        // A room that the log does not know is new to it, or was quiet for longer than it goes
        // back: then the store has it, once it has all that was forgotten.
        self.wait_messages(partition, head.unwrap_or(start)).await?;
        let Some(stored) = self.messages.head(room).await? else { return Ok(None) };
        self.wait_metadata(partition, stored.offset.max(start)).await?;
        let Some(row) = self.metadata.room(room).await? else { return Ok(None) };
        // What an append expects is the newest event that the log still holds.
        let head_offset = Some(stored.offset).filter(|offset| *offset > start);
        Ok(Some(RoomState::new(row, stored.head, head_offset)))
    }

    async fn find(&self, room: RoomId, needs: Needs) -> ServiceResult<Found> {
        let mut found = Found {
            members: HashMap::with_capacity(needs.members.len()),
            ciphers: HashMap::with_capacity(needs.ciphers.len()),
            facts: None,
            changed_seq: None,
        };
        // Before the memberships: a change the row does not show yet stays remembered.
        if needs.unsettled > UNSETTLED_MAX {
            found.changed_seq = self.metadata.room(room).await?.map(|room| room.changed_seq);
        }
        if let Some(facts) = needs.facts {
            found.facts = Some(self.facts(room, needs.head, facts).await?);
        }
        for user in needs.members {
            let membership = self.metadata.membership(room, user).await?;
            found.members.insert(user, membership);
        }
        for user in needs.ciphers {
            let cipher = self.key_ring.cipher(user).await?;
            found.ciphers.insert(user, cipher);
        }
        Ok(found)
    }

    async fn facts(
        &self,
        room: RoomId,
        head: Option<Offset>,
        wanted: FactsOf,
    ) -> ServiceResult<Facts> {
        let partition = self.reader.partition_of(StreamId::Messages, Key(room.bits()));
        let head = head.unwrap_or(Offset::ZERO);
        self.wait_messages(partition, head).await?;
        self.wait_metadata(partition, head).await?;
        let mut facts = Facts { owners: self.metadata.owners(room).await?, ..Facts::default() };
        if let Some(message) = wanted.message.filter(|id| id.may_be_of(room)) {
            facts.message = self.messages.message(room, message.seq()).await?;
        }
        if let Some(user) = wanted.user {
            facts.user_exists = self.user_exists(user).await?;
        }
        Ok(facts)
    }

    /// Whether the log or the store knows `user`.
    pub(crate) async fn user_exists(&self, user: UserId) -> ServiceResult<bool> {
        let key = Key(user.bits());
        if self.reader.head(StreamId::Meta, key).await?.is_some() {
            return Ok(true);
        }
        self.wait_forgotten(key).await?;
        Ok(self.metadata.user(user).await?.is_some())
    }

    /// Returns once metadata has everything that the log has forgotten of `key`'s partition.
    pub(crate) async fn wait_forgotten(&self, key: Key) -> ServiceResult<()> {
        let partition = self.reader.partition_of(StreamId::Meta, key);
        let start = self.reader.start(StreamId::Meta, partition).await?;
        self.wait_metadata(partition, start).await
    }

    pub(crate) async fn wait_messages(
        &self,
        partition: Partition,
        offset: Offset,
    ) -> ServiceResult<()> {
        let most = self.config.read_model_wait;
        if self.messages.wait_applied(partition, offset, most).await? {
            Ok(())
        } else {
            Err(ServiceError::Behind)
        }
    }

    pub(crate) async fn wait_metadata(
        &self,
        partition: Partition,
        offset: Offset,
    ) -> ServiceResult<()> {
        let most = self.config.read_model_wait;
        if self.metadata.wait_applied(partition, offset, most).await? {
            Ok(())
        } else {
            Err(ServiceError::Behind)
        }
    }
}
