//! Users by name. Names lie sealed in the store, so the index over them is made here, in memory.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use klatch_domain::event::{UserChange, UserEvent};
use klatch_domain::{Event, Sealed, UserId};
use klatch_ports::log::{Kind, LogReader, Record};
use klatch_ports::metadata::MetadataReader;
use klatch_ports::{ErrorKind, Offset, Partition, PortError, PortResult, StreamId};
use klatch_protocol::event;
use klatch_protocol::sealed::KeyRing;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::names::Names;

/// Users read at once when the index is made.
const LOAD_CHUNK: usize = 500;
/// Records read at once when it is kept fresh.
const FOLLOW_CHUNK: usize = 200;
/// How long one look for something new waits, and how long a failure is waited out.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The names of up to a configured number of users, kept in step with META.
///
/// Made from the metadata store when [`Directory::run`] begins, then kept fresh from the log.
/// Searches wait until it is made. Memory: about 300 bytes a user.
pub struct Directory {
    metadata: Arc<dyn MetadataReader>,
    log: Arc<dyn LogReader>,
    keys: Arc<KeyRing>,
    users_max: usize,
    names: RwLock<Names>,
    /// How far each partition of META is followed; empty until the index is made.
    followed: watch::Sender<BTreeMap<Partition, Offset>>,
    full: AtomicBool,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("users_max", &self.users_max).finish_non_exhaustive()
    }
}

impl Directory {
    /// An empty directory for up to `users_max` users. Making it opens every profile once: give
    /// it a key ring of its own, a small one, or it will push out the keys of those who speak.
    pub fn new(
        metadata: Arc<dyn MetadataReader>,
        log: Arc<dyn LogReader>,
        keys: Arc<KeyRing>,
        users_max: usize,
    ) -> Self {
        let (names, followed) = (RwLock::default(), watch::Sender::default());
        Self { metadata, log, keys, users_max, names, followed, full: AtomicBool::new(false) }
    }

    /// How many users can be found by name.
    pub fn users(&self) -> usize {
        self.names.read().users()
    }

    /// Whether users were left out because there are more than the configured number.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Makes the index and keeps it fresh. Never returns: drop the future to stop it. Failures are
    /// waited out; what was read stays.
    pub async fn run(&self) {
        loop {
            match self.load().await {
                Ok(from) => {
                    let partitions = from.into_iter();
                    let follow =
                        partitions.map(|(partition, offset)| self.follow(partition, offset));
                    // Ends only when the log has forgotten what was to be followed.
                    futures::future::select_all(follow.map(Box::pin)).await;
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    /// Reads all users, and tells from where on to follow: where the store was before, since an
    /// event taken in twice does no harm.
    async fn load(&self) -> PortResult<BTreeMap<Partition, Offset>> {
        let mut from = BTreeMap::new();
        for number in 0..self.log.partitions(StreamId::Meta) {
            let partition = Partition(number);
            from.insert(partition, self.metadata.applied(partition).await?.offset);
        }
        let mut after = None;
        loop {
            let users = self.metadata.list_users(after, LOAD_CHUNK).await?;
            for user in &users {
                self.take_in(user.id, &user.profile).await?;
            }
            after = users.last().map(|user| user.id);
            if users.len() < LOAD_CHUNK {
                self.followed.send_replace(from.clone());
                return Ok(from);
            }
        }
    }

    async fn follow(&self, partition: Partition, from: Offset) {
        let mut at = from;
        loop {
            match self.follow_once(partition, at).await {
                Ok(through) => at = through,
                Err(error) => {
                    pause(&error).await;
                    if error.kind == ErrorKind::Forgotten {
                        return;
                    }
                }
            }
        }
    }

    async fn follow_once(&self, partition: Partition, at: Offset) -> PortResult<Offset> {
        let batch = self.log.read(StreamId::Meta, partition, at, FOLLOW_CHUNK).await?;
        for record in &batch.records {
            self.take_in_record(record).await?;
        }
        if batch.through > at {
            self.followed.send_modify(|followed| {
                followed.insert(partition, batch.through);
            });
        } else {
            self.log.wait(StreamId::Meta, partition, at, LOOK_AGAIN).await?;
        }
        Ok(batch.through)
    }

    async fn take_in_record(&self, record: &Record) -> PortResult<()> {
        if record.kind != Kind::User {
            return Ok(());
        }
        // A record that is no event is the meta-writer's to bury; it names nobody here.
        let Ok(Event::User(UserEvent { user, change, .. })) = event::decode(record.body.clone())
        else {
            return Ok(());
        };
        match change {
            UserChange::Registered { profile, .. } | UserChange::ProfileChanged { profile } => {
                self.take_in(user, &profile).await
            }
            UserChange::RoleChanged { .. } => Ok(()),
            UserChange::Erased => {
                self.keys.forget(user);
                self.names.write().remove(user);
                Ok(())
            }
        }
    }

    async fn take_in(&self, user: UserId, profile: &Sealed) -> PortResult<()> {
        let profile = match self.keys.open_profile(profile).await {
            Ok(profile) => profile,
            Err(error) if error.kind == ErrorKind::Corrupt => {
                tracing::error!(%user, %error, "a profile does not open; not found by name");
                None
            }
            Err(error) => return Err(error),
        };
        let mut names = self.names.write();
        match profile {
            None => names.remove(user),
            Some(profile) if names.has(user) || names.users() < self.users_max => {
                names.put(user, &profile);
            }
            Some(_) => {
                if !self.full.swap(true, Ordering::Relaxed) {
                    let users_max = self.users_max;
                    tracing::warn!(users_max, "more users than the directory may hold by name");
                }
            }
        }
        Ok(())
    }

    /// Returns true once the index is made and has taken in META up to each of these offsets;
    /// false when `deadline` passes before.
    pub(crate) async fn reach(
        &self,
        offsets: impl IntoIterator<Item = (Partition, Offset)>,
        deadline: Instant,
    ) -> bool {
        let wanted: Vec<_> = offsets.into_iter().collect();
        let mut followed = self.followed.subscribe();
        let there = followed.wait_for(|at| {
            let has = |(partition, offset)| at.get(partition).is_some_and(|at| at >= offset);
            !at.is_empty() && wanted.iter().all(|(partition, offset)| has((partition, offset)))
        });
        tokio::time::timeout_at(deadline, there).await.is_ok_and(|there| there.is_ok())
    }

    /// Up to `limit` users by name; see [`Names::find`].
    pub(crate) fn find(
        &self,
        prefix: &str,
        after: Option<(String, UserId)>,
        limit: usize,
    ) -> Vec<(Arc<str>, UserId)> {
        self.names.read().find(prefix.trim(), after, limit)
    }

    /// [`Directory::find`] among some people only; see [`Names::find_among`].
    pub(crate) fn find_among(
        &self,
        people: &HashSet<UserId>,
        prefix: &str,
        after: Option<(String, UserId)>,
        limit: usize,
    ) -> Vec<(Arc<str>, UserId)> {
        self.names.read().find_among(people, prefix.trim(), after, limit)
    }
}

async fn pause(error: &PortError) {
    tracing::warn!(%error, "the directory could not be kept fresh; trying again");
    tokio::time::sleep(LOOK_AGAIN).await;
}
