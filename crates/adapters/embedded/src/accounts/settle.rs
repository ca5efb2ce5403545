//! Bringing restored accounts in line with the log beside them.
//!
//! In a backup the accounts are copied a moment after the log, so that nobody whom the log knows is
//! missing. Who came in that moment is known here and not there.

use std::collections::BTreeSet;

use fjall::{Readable as _, Slice};
use klatch_domain::{RoomId, UserId};
use klatch_ports::log::{Key, LogReader};
use klatch_ports::metadata::MetadataReader;
use klatch_ports::{PortResult, StreamId};

use super::draft::Draft;
use super::row::{self, ACCOUNT, CLAIM, Held, SESSION, UNANNOUNCED, USER_SESSION};
use super::{Accounts, CHANNEL_NAME, DIRECT_PAIR};
use crate::engine::failed;

/// What was brought in line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Accounts there are.
    pub accounts: u64,
    /// Of them, those whose first event is to be appended again.
    pub unannounced: u64,
    /// Names that nothing holds, given back.
    pub released: u64,
    /// Sessions ended. A backup knows neither which of them were ended since nor which of their
    /// tokens were used up.
    pub sessions: u64,
}

#[derive(Default)]
struct Changes {
    put: Vec<(Slice, Vec<u8>)>,
    remove: Vec<Slice>,
}

impl Accounts {
    /// Ends all sessions, marks accounts that neither `log` nor `metadata`, which was made from it,
    /// knows as not announced, and gives back names that are held for nothing. For a restored copy,
    /// before it is served. Cost: a look at every row.
    ///
    /// # Errors
    /// What the disk or the log says.
    pub async fn settle(
        &self,
        log: &dyn LogReader,
        metadata: &dyn MetadataReader,
    ) -> PortResult<Settled> {
        let (mut settled, mut changes) = (Settled::default(), Changes::default());
        let people = self.people()?;
        let life = self.rows.life();
        for row in life.database.snapshot().iter(&life.keyspace) {
            let (key, value) = row.into_inner().map_err(failed("settling accounts"))?;
            match key.first().copied() {
                Some(ACCOUNT) => {
                    settled.accounts += 1;
                    let user = UserId::from_bits(row::last_id(&key)?);
                    let account = row::decode_account(user, &value)?;
                    let is_told = log.head(StreamId::Meta, Key(user.bits())).await?.is_some()
                        || metadata.user(user).await?.is_some();
                    if account.announced && !is_told {
                        let unannounced =
                            klatch_ports::accounts::Account { announced: false, ..account };
                        settled.unannounced += 1;
                        changes.put.push((key, row::encode_account(&unannounced)));
                        let mark = row::key(UNANNOUNCED, user.bits());
                        changes.put.push((Slice::from(mark), Vec::new()));
                    }
                }
                Some(CLAIM) => {
                    let holder = Held::decode(&value)?.holder;
                    let is_of_room = matches!(key.get(1), Some(&(CHANNEL_NAME | DIRECT_PAIR)));
                    let stays = if is_of_room {
                        log.head(StreamId::Messages, Key(holder)).await?.is_some()
                            || metadata.room(RoomId::from_bits(holder)).await?.is_some()
                    } else {
                        people.contains(&holder)
                    };
                    if !stays {
                        settled.released += 1;
                        changes.remove.push(key);
                    }
                }
                Some(SESSION) => {
                    settled.sessions += 1;
                    changes.remove.push(key);
                }
                Some(USER_SESSION) => changes.remove.push(key),
                _ => {}
            }
        }
        let apply = move |draft: &mut Draft<'_>| {
            let Changes { put, remove } = changes;
            for (key, value) in put {
                draft.put(&key, value);
            }
            for key in &remove {
                draft.remove(key);
            }
            Ok(())
        };
        self.write("settling accounts", apply).await?;
        Ok(settled)
    }

    fn people(&self) -> PortResult<BTreeSet<u128>> {
        self.rows.keys(&[ACCOUNT]).map(|key| row::last_id(&key?)).collect()
    }
}
