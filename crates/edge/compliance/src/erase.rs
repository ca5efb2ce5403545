//! Erasing a person.

use klatch_domain::audit::{Act, By};
use klatch_domain::user::ServerRole;
use klatch_domain::{Event, Rejection, Timestamp, UserChange, UserEvent, UserId};
use klatch_ports::accounts::{Account, Replaced};
use klatch_ports::api::compliance::{Checked, Erased};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::erasures::{Erasure, Traces};
use klatch_ports::log::{Append, AppendError, Expected};
use klatch_ports::{ErrorKind, PortError, PortResult, Position, StreamId};
use klatch_protocol::event;
use smallvec::smallvec;

use crate::Compliance;
use crate::look::READ_MODEL_MOST;

/// How often a change of an account is tried while others change it.
const CHANGES_TRIED: usize = 8;

/// What was destroyed.
#[derive(Clone, Debug)]
pub struct Destroyed {
    /// What the accounts held.
    pub traces: Traces,
    /// Whether there was a key.
    pub had_key: bool,
    /// Where the log tells it, if it did not before.
    pub position: Option<Position>,
    at: Timestamp,
}

impl Compliance {
    /// Erases `user`, whoever asks, and looks at every store.
    ///
    /// # Errors
    /// [`Rejection::UserNotFound`], [`Rejection::LastAdmin`], or as the ports report: then the
    /// erasure may be half done; do it again.
    pub(crate) async fn erase_person(&self, by: By, user: UserId) -> ServiceResult<Erased> {
        self.known(user).await?;
        self.lock_out(user).await?;
        // Decided, and nothing is destroyed yet. From its line in the ledger on, which `destroy`
        // begins with, an erasure is finished after a crash; one that crashes before that leaves a
        // locked account and an entry too many, and is to be done again.
        self.note(by, Act::UserErased, user).await?;
        let destroyed = self.destroy(user).await?;
        let checked = self.look(user, &destroyed).await?;
        let Destroyed { position, at, .. } = destroyed;
        let readable: u64 = checked.iter().map(|checked: &Checked| checked.readable).sum();
        tracing::info!(user.id = %user, readable, "a person was erased");
        Ok(Erased { user, at, position, checked })
    }

    /// Nobody signs in as one who is being erased, and someone stays who runs the server: that is
    /// decided in one step, so that two administrators cannot erase each other.
    async fn lock_out(&self, user: UserId) -> ServiceResult<()> {
        let accounts = &self.deps.accounts;
        for _ in 0..CHANGES_TRIED {
            let Some(before) = accounts.get(user).await? else { return Ok(()) };
            let after = Account { role: ServerRole::Member, banned: true, ..before.clone() };
            match accounts.replace(&after, &before).await? {
                Replaced::Done => return Ok(()),
                Replaced::LastAdmin => return Err(Rejection::LastAdmin.into()),
                Replaced::Changed => {}
            }
        }
        Err(ServiceError::Busy)
    }

    /// Destroys all there is of `user`, without looking whether anything is left.
    ///
    /// # Errors
    /// As the ports report; doing it again goes on.
    pub async fn destroy(&self, user: UserId) -> PortResult<Destroyed> {
        let deps = &self.deps;
        let before = deps.ledger.entries().await?;
        let at = before.iter().find(|entry| entry.user == user).map(|entry| entry.at);
        let at = at.unwrap_or_else(|| deps.clock.now());
        deps.ledger.add(Erasure { user, at }).await?;
        let position = self.tell(user).await?;
        let traces = deps.eraser.erase(user).await?;
        let had_key = deps.key_writer.destroy(user).await?;
        deps.ring.forget(user);
        for memory in &deps.memories {
            memory.forget(user).await?;
        }
        Ok(Destroyed { traces, had_key, position, at })
    }

    /// Finishes what is in the ledger and not done: after a crash, or when a backup from before an
    /// erasure was restored. Whom it erased.
    ///
    /// # Errors
    /// As the ports report; what was done until then stays done.
    pub async fn finish(&self) -> PortResult<Vec<UserId>> {
        let deps = &self.deps;
        let mut finished = Vec::new();
        for Erasure { user, .. } in deps.ledger.entries().await? {
            let there = deps.keys.key(user).await?.is_some()
                || deps.accounts.get(user).await?.is_some()
                || self.is_untold(user).await?;
            if there {
                self.destroy(user).await?;
                finished.push(user);
            }
        }
        Ok(finished)
    }

    /// Appends the event, unless the log never heard of the user or has told it.
    async fn tell(&self, user: UserId) -> PortResult<Option<Position>> {
        if !self.is_untold(user).await? {
            return Ok(None);
        }
        let at = self.deps.clock.now();
        let event = Event::User(UserEvent { user, at, change: UserChange::Erased });
        let append = Append {
            stream: StreamId::Meta,
            key: event::key(&event),
            expected: Expected::Any,
            records: smallvec![event::encode(&event)],
        };
        match self.deps.appender.append(append).await {
            Ok(appended) => Ok(Some(appended.last)),
            Err(AppendError::Port(error)) => Err(error),
            // Nothing was expected, so nothing can conflict.
            Err(AppendError::Conflict { .. }) => Ok(None),
        }
    }

    /// Whether the log speaks of the user, and not last of their erasure.
    async fn is_untold(&self, user: UserId) -> PortResult<bool> {
        let log = &self.deps.log;
        let key = klatch_ports::log::Key(user.bits());
        let partition = log.partition_of(StreamId::Meta, key);
        let Some(head) = log.head(StreamId::Meta, key).await? else {
            // It may have forgotten what it said of them: then the read model has it.
            let (metadata, start) = (&self.deps.metadata, log.start(StreamId::Meta, partition));
            if !metadata.wait_applied(partition, start.await?, READ_MODEL_MOST).await? {
                return Err(PortError::new(ErrorKind::Timeout, "metadata", "looking for a user"));
            }
            return Ok(metadata.user(user).await?.is_some_and(|row| !row.is_erased()));
        };
        let record = log.record(StreamId::Meta, partition, head).await?;
        let last = record.and_then(|record| event::decode(record.body).ok());
        Ok(!matches!(last, Some(Event::User(UserEvent { change: UserChange::Erased, .. }))))
    }
}
