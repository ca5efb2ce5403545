//! Writes of several callers, each decided on what the ones before it will leave.

use std::collections::{BTreeMap, BTreeSet};

use fjall::Slice;
use futures::channel::oneshot;
use klatch_ports::{PortError, PortResult};

use super::Rows;
use crate::engine::failed;
use crate::engine::group::share;

/// What one caller wants, and how they are answered.
pub(super) struct Job {
    decide: Decide,
}

/// Puts what the caller wants into the draft; nobody is left to answer when it could not.
type Decide = Box<dyn FnOnce(&mut Draft<'_>) -> Option<Reply> + Send>;

/// Answers a caller once the commit is done or has failed.
type Reply = Box<dyn FnOnce(Option<&PortError>) + Send>;

impl Job {
    pub(super) fn new<T: Send + 'static>(
        decide: impl FnOnce(&mut Draft<'_>) -> PortResult<T> + Send + 'static,
        reply: oneshot::Sender<PortResult<T>>,
    ) -> Self {
        // A caller that went away is no longer to be told; the write counts all the same.
        let decide = move |draft: &mut Draft<'_>| match decide(draft) {
            Ok(answer) => Some(Box::new(move |failure: Option<&PortError>| {
                let answer = failure.map_or(Ok(answer), |error| Err(share(error)));
                reply.send(answer).ok();
            }) as Reply),
            Err(error) => {
                draft.forget();
                reply.send(Err(error)).ok();
                None
            }
        };
        Self { decide: Box::new(decide) }
    }
}

/// Decides all jobs, commits what they want with one sync, and answers.
pub(super) fn work(rows: &Rows, jobs: Vec<Job>) {
    let mut decided = BTreeMap::new();
    let mut replies = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut draft = Draft { rows, before: &decided, own: BTreeMap::new() };
        replies.extend((job.decide)(&mut draft));
        let own = draft.own;
        decided.extend(own);
    }
    let failure = commit(rows, decided).err();
    for reply in replies {
        reply(failure.as_ref());
    }
}

fn commit(rows: &Rows, decided: BTreeMap<Slice, Option<Slice>>) -> PortResult<()> {
    let life = rows.writable()?;
    let mut batch = fjall::OwnedWriteBatch::with_capacity(life.database.clone(), decided.len())
        // Synced before it is put where readers look. `fdatasync` does: the journal has its length
        // from its beginning, so most commits change no metadata, and the file system's own
        // journal, for which the log would have to wait as well, is left alone.
        .durability(Some(fjall::PersistMode::SyncData));
    for (key, value) in decided {
        match value {
            Some(value) => batch.insert(&life.keyspace, key, value),
            None => batch.remove(&life.keyspace, key),
        }
    }
    rows.broken.look(batch.commit().map_err(failed("committing")))
}

/// The rows as one caller's write finds them, and what it changes.
pub(super) struct Draft<'a> {
    rows: &'a Rows,
    before: &'a BTreeMap<Slice, Option<Slice>>,
    own: BTreeMap<Slice, Option<Slice>>,
}

impl Draft<'_> {
    pub(super) fn get(&self, key: &[u8]) -> PortResult<Option<Slice>> {
        match self.own.get(key).or_else(|| self.before.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.rows.get(key),
        }
    }

    pub(super) fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.own.insert(Slice::from(key), Some(Slice::from(value)));
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.own.insert(Slice::from(key), None);
    }

    /// Puts or removes a row whose key says all.
    pub(super) fn mark(&mut self, key: &[u8], want: bool) -> PortResult<()> {
        match (want, self.get(key)?.is_some()) {
            (true, false) => self.put(key, Vec::new()),
            (false, true) => self.remove(key),
            _ => {}
        }
        Ok(())
    }

    /// How many keys begin with `prefix`, counted up to `most`.
    pub(super) fn count(&self, prefix: &[u8], most: usize) -> PortResult<usize> {
        let is_there = |key: &Slice| {
            let decided = self.own.get(key).or_else(|| self.before.get(key));
            decided.is_none_or(Option::is_some)
        };
        let fresh = self.own.iter().chain(self.before);
        let mut keys: BTreeSet<Slice> = fresh
            .filter(|(key, _)| key.starts_with(prefix) && is_there(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in self.rows.keys(prefix) {
            if keys.len() >= most {
                break;
            }
            keys.extend(Some(key?).filter(|key| is_there(key)));
        }
        Ok(keys.len())
    }

    /// Changes nothing after all.
    pub(super) fn forget(&mut self) {
        self.own.clear();
    }
}
