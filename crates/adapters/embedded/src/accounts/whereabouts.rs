//! When people were there last, and what they chose to show.
//!
//! Leaving costs no write: who left is remembered, and written with all others when
//! [`Accounts::keep_whereabouts`] is called. So someone who comes and goes all the time is written
//! once in between, and a server that ends with thousands connected pays a few syncs.

use std::collections::HashMap;

use async_trait::async_trait;
use klatch_domain::presence::{Choice, Status};
use klatch_domain::{Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::whereabouts::{Whereabouts, WhereaboutsStore};

use super::Accounts;
use super::draft::Draft;
use super::row::{self, ACCOUNT, WHEREABOUTS, bytes_of};
use crate::engine::codec::{decode, unreadable, words};
use crate::engine::failed;

/// People written with one sync, so that whoever signs in meanwhile waits a few milliseconds.
const BATCH: usize = 1_000;
/// From so many on their rows are put into a table at once, which is a tenth of what they take in
/// memory.
const MANY: usize = 4_096;

/// Who left and is not written yet.
#[derive(Debug, Default)]
pub(super) struct Leavers {
    fresh: HashMap<UserId, Timestamp>,
    /// Being written.
    taken: HashMap<UserId, Timestamp>,
}

impl Leavers {
    fn left(&self, user: UserId) -> Option<Timestamp> {
        self.fresh.get(&user).max(self.taken.get(&user)).copied()
    }

    fn note(&mut self, user: UserId, at: Timestamp) {
        let known = self.fresh.entry(user).or_insert(at);
        *known = at.max(*known);
    }

    fn forget(&mut self, user: UserId) {
        self.fresh.remove(&user);
        self.taken.remove(&user);
    }
}

words!(write_status, read_status, Status, [Offline = 1, Away = 2, Online = 3, Dnd = 4]);

#[derive(Clone, PartialEq, ::prost::Message)]
struct WhereaboutsRow {
    #[prost(fixed64, optional, tag = "1")]
    left: Option<u64>,
    #[prost(message, optional, tag = "2")]
    choice: Option<ChoiceRow>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct ChoiceRow {
    #[prost(uint32, optional, tag = "1")]
    status: Option<u32>,
    #[prost(string, optional, tag = "2")]
    text: Option<String>,
    #[prost(string, optional, tag = "3")]
    emoji: Option<String>,
    #[prost(uint64, optional, tag = "4")]
    until: Option<u64>,
    #[prost(uint64, tag = "5")]
    since: u64,
}

fn encode(known: &Whereabouts) -> Vec<u8> {
    let choice = known.choice.as_ref().map(|choice| ChoiceRow {
        status: choice.status.map(write_status),
        text: choice.text.clone(),
        emoji: choice.emoji.clone(),
        until: choice.until.map(|at| at.0),
        since: choice.since.0,
    });
    bytes_of(&WhereaboutsRow { left: known.left.map(|at| at.0), choice })
}

fn read(bytes: Option<&[u8]>) -> PortResult<Whereabouts> {
    let Some(bytes) = bytes else { return Ok(Whereabouts::default()) };
    let row: WhereaboutsRow = decode("whereabouts", bytes)?;
    let choice = |row: ChoiceRow| {
        let status = row.status.map(read_status).transpose()?;
        let until = row.until.map(Timestamp);
        Ok(Choice { status, text: row.text, emoji: row.emoji, until, since: Timestamp(row.since) })
    };
    let choice = row.choice.map(choice).transpose();
    let choice = choice.map_err(|error: klatch_ports::PortError| {
        unreadable(&format!("what somebody chose: {error}"))
    })?;
    Ok(Whereabouts { left: row.left.map(Timestamp), choice })
}

/// Changes what is known of somebody who has an account.
fn change(
    draft: &mut Draft<'_>,
    user: UserId,
    change: impl FnOnce(&mut Whereabouts),
) -> PortResult<()> {
    // Of who was erased nothing may come back.
    if draft.get(&row::key(ACCOUNT, user.bits()))?.is_none() {
        return Ok(());
    }
    let key = row::key(WHEREABOUTS, user.bits());
    let before = read(draft.get(&key)?.as_deref())?;
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        return Ok(());
    }
    if after == Whereabouts::default() {
        draft.remove(&key);
    } else {
        draft.put(&key, encode(&after));
    }
    Ok(())
}

impl Accounts {
    /// Writes down who left since the last call, with one sync for each thousand people. Call it
    /// about once a minute, and at the end. What fails is tried again by the next call.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn keep_whereabouts(&self) -> PortResult<()> {
        let taken: Vec<_> = {
            let mut leavers = self.leavers.lock();
            let fresh = std::mem::take(&mut leavers.fresh);
            for (user, at) in fresh {
                let known = leavers.taken.entry(user).or_insert(at);
                *known = at.max(*known);
            }
            leavers.taken.iter().map(|(user, at)| (*user, *at)).collect()
        };
        for batch in taken.chunks(BATCH) {
            let batch = batch.to_vec();
            let write = move |draft: &mut Draft<'_>| {
                for (user, at) in batch {
                    change(draft, user, |known| known.left = known.left.max(Some(at)))?;
                }
                Ok(())
            };
            self.write("keeping whereabouts", write).await?;
        }
        self.leavers.lock().taken = HashMap::new();
        if taken.len() >= MANY {
            let life = self.rows.life();
            life.keyspace.rotate_memtable().map_err(failed("keeping whereabouts"))?;
        }
        Ok(())
    }
}

#[async_trait]
impl WhereaboutsStore for Accounts {
    async fn whereabouts(&self, user: UserId) -> PortResult<Whereabouts> {
        let left = self.leavers.lock().left(user);
        let mut known = read(self.rows.get(&row::key(WHEREABOUTS, user.bits()))?.as_deref())?;
        known.left = known.left.max(left);
        Ok(known)
    }

    async fn left(&self, user: UserId, at: Timestamp) -> PortResult<()> {
        self.leavers.lock().note(user, at);
        Ok(())
    }

    async fn chose(&self, user: UserId, choice: Option<&Choice>) -> PortResult<()> {
        let choice = choice.cloned();
        let write = move |draft: &mut Draft<'_>| change(draft, user, |known| known.choice = choice);
        self.write("keeping a choice", write).await
    }

    async fn forget(&self, user: UserId) -> PortResult<()> {
        self.leavers.lock().forget(user);
        let write = move |draft: &mut Draft<'_>| {
            let key = row::key(WHEREABOUTS, user.bits());
            // A removal names whom it removes: none where nothing is.
            if draft.get(&key)?.is_some() {
                draft.remove(&key);
            }
            Ok(())
        };
        self.write("forgetting whereabouts", write).await
    }
}
