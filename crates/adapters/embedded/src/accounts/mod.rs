//! Accounts, sessions and claims of names: a fjall database of its own, every write synced before
//! it is answered.
//!
//! One thread writes. It takes whatever waits, decides each write on what the ones before it will
//! leave, and commits them as one batch with one sync; only then can anybody read them. So a name
//! is never given twice, a read never shows what a power cut could take back, and a thousand
//! people who register at once cost a few syncs. Reads are done in place: some microseconds.

mod api_tokens;
mod copy;
mod draft;
mod erase;
mod invitation_row;
mod invitations;
mod life;
mod row;
mod settle;
mod sweep;
mod whereabouts;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::user::ServerRole;
use klatch_domain::{SessionId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{
    Account, AccountStore, Claim, ClaimKind, Claimed, Claims, Replaced, Session, SessionStore,
    Swept,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::engine::failed_io;
use crate::engine::group::Group;
use draft::{Draft, Job, work};
use life::Rows;
use row::{ACCOUNT, ADMIN, Held, SESSION, UNANNOUNCED, USER_SESSION};
use whereabouts::Leavers;

pub use settle::Settled;

const CHANNEL_NAME: u8 = ClaimKind::ChannelName as u8;
const DIRECT_PAIR: u8 = ClaimKind::DirectPair as u8;

/// Accounts, sessions and claims on disk.
#[derive(Debug)]
pub struct Accounts {
    rows: Rows,
    writer: Group<Job>,
    leavers: Mutex<Leavers>,
}

impl Accounts {
    /// Opens the accounts in `<dir>/accounts`, or begins with none. Waits for the disk; one process
    /// may have them open at a time.
    ///
    /// # Errors
    /// `Misconfigured` when another process has them open or they may not be written, `Corrupt`
    /// when something that was acknowledged is damaged, `Full`, `Unavailable`.
    pub fn open(dir: &Path) -> PortResult<Self> {
        let rows = Rows::open(&dir.join("accounts"))?;
        let writer = {
            let rows = rows.clone();
            Group::start("accounts", move |jobs| work(&rows, jobs))
        };
        let writer = writer.map_err(|error| failed_io("opening", error))?;
        Ok(Self { rows, writer, leavers: Mutex::default() })
    }

    /// Why nothing more is written until they are opened again, once a write or sync failed; what
    /// was committed can still be read. Not told while the disk has no space: then it may be that.
    pub fn broken(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.rows.broken.watch()
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        decide: impl FnOnce(&mut Draft<'_>) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        self.writer.run(operation, |reply| Job::new(decide, reply)).await
    }
}

#[async_trait]
impl Claims for Accounts {
    async fn claim(
        &self,
        claims: &[Claim],
        at: Timestamp,
    ) -> PortResult<Result<(), (usize, Claimed)>> {
        let claims = claims.to_vec();
        let decide = move |draft: &mut Draft<'_>| {
            for (index, claim) in claims.iter().enumerate() {
                let key = row::claim_key(claim.kind, &claim.name);
                match draft.get(&key)?.map(|bytes| Held::decode(&bytes)).transpose()? {
                    Some(held) if held.holder != claim.holder => {
                        draft.forget();
                        let Held { holder, confirmed, .. } = held;
                        return Ok(Err((index, Claimed::Taken { holder, confirmed })));
                    }
                    Some(_) => {}
                    None => {
                        let held = Held { holder: claim.holder, confirmed: false, at };
                        draft.put(&key, held.encode());
                    }
                }
            }
            Ok(Ok(()))
        };
        self.write("claiming", decide).await
    }

    async fn confirm(&self, claims: &[Claim]) -> PortResult<()> {
        let claims = claims.to_vec();
        let decide = move |draft: &mut Draft<'_>| {
            for claim in &claims {
                let key = row::claim_key(claim.kind, &claim.name);
                let held = draft.get(&key)?.map(|bytes| Held::decode(&bytes)).transpose()?;
                if let Some(mut held) = held.filter(|h| h.holder == claim.holder && !h.confirmed) {
                    held.confirmed = true;
                    draft.put(&key, held.encode());
                }
            }
            Ok(())
        };
        self.write("confirming", decide).await
    }

    async fn release(&self, claims: &[Claim]) -> PortResult<()> {
        let claims = claims.to_vec();
        let decide = move |draft: &mut Draft<'_>| {
            for claim in &claims {
                let key = row::claim_key(claim.kind, &claim.name);
                let held = draft.get(&key)?.map(|bytes| Held::decode(&bytes)).transpose()?;
                if held.is_some_and(|held| held.holder == claim.holder) {
                    draft.remove(&key);
                }
            }
            Ok(())
        };
        self.write("releasing", decide).await
    }

    async fn holder(&self, kind: ClaimKind, name: &str) -> PortResult<Option<u128>> {
        let bytes = self.rows.get(&row::claim_key(kind, name))?;
        bytes.map(|bytes| Held::decode(&bytes).map(|held| held.holder)).transpose()
    }
}

fn account(rows: &Rows, user: UserId) -> PortResult<Option<Account>> {
    let bytes = rows.get(&row::key(ACCOUNT, user.bits()))?;
    bytes.map(|bytes| row::decode_account(user, &bytes)).transpose()
}

fn session(rows: &Rows, id: SessionId) -> PortResult<Option<Session>> {
    let bytes = rows.get(&row::key(SESSION, id.bits()))?;
    bytes.map(|bytes| row::decode_session(id, &bytes)).transpose()
}

fn put_account(draft: &mut Draft<'_>, account: &Account) -> PortResult<()> {
    let user = account.user.bits();
    draft.put(&row::key(ACCOUNT, user), row::encode_account(account));
    draft.mark(&row::key(UNANNOUNCED, user), !account.announced)?;
    draft.mark(&row::key(ADMIN, user), runs(account))
}

/// Whether the account can run the server.
fn runs(account: &Account) -> bool {
    account.role == ServerRole::Admin && !account.banned
}

#[async_trait]
impl AccountStore for Accounts {
    async fn put(&self, accounts: &[Account]) -> PortResult<()> {
        let accounts = accounts.to_vec();
        let decide = move |draft: &mut Draft<'_>| {
            for account in &accounts {
                put_account(draft, account)?;
            }
            Ok(())
        };
        self.write("storing accounts", decide).await
    }

    async fn replace(&self, account: &Account, expected: &Account) -> PortResult<Replaced> {
        let (account, expected) = (account.clone(), expected.clone());
        let decide = move |draft: &mut Draft<'_>| {
            let stored = draft.get(&row::key(ACCOUNT, account.user.bits()))?;
            let stored =
                stored.map(|bytes| row::decode_account(account.user, &bytes)).transpose()?;
            if stored.as_ref() != Some(&expected) {
                return Ok(Replaced::Changed);
            }
            if runs(&expected) && !runs(&account) && draft.count(&[ADMIN], 2)? < 2 {
                return Ok(Replaced::LastAdmin);
            }
            put_account(draft, &account)?;
            Ok(Replaced::Done)
        };
        self.write("changing an account", decide).await
    }

    async fn mark_announced(&self, users: &[UserId]) -> PortResult<()> {
        let users = users.to_vec();
        let decide = move |draft: &mut Draft<'_>| {
            for user in &users {
                let key = row::key(ACCOUNT, user.bits());
                let Some(bytes) = draft.get(&key)? else { continue };
                let account = row::decode_account(*user, &bytes)?;
                put_account(draft, &Account { announced: true, ..account })?;
            }
            Ok(())
        };
        self.write("marking accounts", decide).await
    }

    async fn get(&self, user: UserId) -> PortResult<Option<Account>> {
        account(&self.rows, user)
    }

    async fn unannounced(&self, limit: usize) -> PortResult<Vec<Account>> {
        let mut found = Vec::new();
        for key in self.rows.keys(&[UNANNOUNCED]).take(limit) {
            found.extend(account(&self.rows, UserId::from_bits(row::last_id(&key?)?))?);
        }
        Ok(found)
    }

    async fn page(&self, after: Option<UserId>, limit: usize) -> PortResult<Vec<Account>> {
        let mut found = Vec::new();
        for key in self.rows.keys_after(ACCOUNT, after.map_or(0, UserId::bits)).take(limit) {
            found.extend(account(&self.rows, UserId::from_bits(row::last_id(&key?)?))?);
        }
        Ok(found)
    }

    async fn has_admin(&self) -> PortResult<bool> {
        Ok(self.rows.keys(&[ADMIN]).next().transpose()?.is_some())
    }
}

fn put_session(draft: &mut Draft<'_>, session: &Session) {
    let id = session.id.bits();
    draft.put(&row::key(SESSION, id), row::encode_session(session));
    draft.put(&row::pair(USER_SESSION, session.user.bits(), id), Vec::new());
}

#[async_trait]
impl SessionStore for Accounts {
    async fn create(&self, session: &Session) -> PortResult<()> {
        let session = session.clone();
        let decide = move |draft: &mut Draft<'_>| {
            put_session(draft, &session);
            Ok(())
        };
        self.write("storing a session", decide).await
    }

    async fn rotate(&self, session: &Session, expected: [u8; 32]) -> PortResult<bool> {
        let session = session.clone();
        let decide = move |draft: &mut Draft<'_>| {
            let stored = draft.get(&row::key(SESSION, session.id.bits()))?;
            let stored = stored.map(|bytes| row::decode_session(session.id, &bytes)).transpose()?;
            let fits = stored.is_some_and(|stored| stored.refresh_hash == expected);
            if fits {
                put_session(draft, &session);
            }
            Ok(fits)
        };
        self.write("rotating a session", decide).await
    }

    async fn get(&self, id: SessionId) -> PortResult<Option<Session>> {
        session(&self.rows, id)
    }

    async fn list(&self, user: UserId) -> PortResult<Vec<Session>> {
        let mut found = Vec::new();
        for key in self.rows.keys(&row::key(USER_SESSION, user.bits())) {
            found.extend(session(&self.rows, SessionId::from_bits(row::last_id(&key?)?))?);
        }
        found.sort_by_key(|session| std::cmp::Reverse((session.created_at, session.id)));
        Ok(found)
    }

    async fn revoke(&self, id: SessionId) -> PortResult<bool> {
        let decide = move |draft: &mut Draft<'_>| {
            let key = row::key(SESSION, id.bits());
            let Some(bytes) = draft.get(&key)? else { return Ok(false) };
            let session = row::decode_session(id, &bytes)?;
            draft.remove(&key);
            draft.remove(&row::pair(USER_SESSION, session.user.bits(), id.bits()));
            Ok(true)
        };
        self.write("revoking a session", decide).await
    }

    async fn sweep_sessions(
        &self,
        after: Option<SessionId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<SessionId>> {
        self.sweep::<Session>(after, ended_before, limit).await
    }
}
