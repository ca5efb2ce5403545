//! Accounts, sessions and claims as maps: the oracle other adapters are compared with.

mod api_tokens;
mod erase;
mod invitations;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use klatch_domain::user::ServerRole;
use klatch_domain::{ApiTokenId, InvitationId, SessionId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{
    Account, AccountStore, Claim, ClaimKind, Claimed, Claims, Replaced, Reset, Session,
    SessionStore, Swept,
};
use klatch_ports::api_tokens::ApiToken;
use klatch_ports::invitations::Invitation;
use parking_lot::Mutex;

/// All accounts, sessions and claims, in memory. Gone with the process.
#[derive(Debug, Default)]
pub struct Accounts {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    claims: HashMap<(ClaimKind, String), Held>,
    accounts: BTreeMap<UserId, Account>,
    sessions: BTreeMap<SessionId, Session>,
    resets: BTreeMap<UserId, Reset>,
    invitations: BTreeMap<InvitationId, Invitation>,
    /// Whether each use is finished.
    uses: HashMap<(InvitationId, UserId), bool>,
    tokens: BTreeMap<ApiTokenId, ApiToken>,
}

/// Whether the account can run the server.
fn runs(account: &Account) -> bool {
    account.role == ServerRole::Admin && !account.banned
}

#[derive(Clone, Copy, Debug)]
struct Held {
    holder: u128,
    confirmed: bool,
}

impl Accounts {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Removes what has ended of up to `limit` entries after `after`.
fn sweep<Id: Copy + Ord, T>(
    all: &mut BTreeMap<Id, T>,
    after: Option<Id>,
    limit: usize,
    has_ended: impl Fn(&T) -> bool,
) -> Swept<Id> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let looked_at: Vec<Id> =
        all.range((from, Bound::Unbounded)).map(|(id, _)| *id).take(limit).collect();
    let next = looked_at.last().copied().filter(|_| looked_at.len() == limit);
    let before = all.len();
    for id in looked_at {
        if all.get(&id).is_some_and(&has_ended) {
            all.remove(&id);
        }
    }
    Swept { removed: before - all.len(), next }
}

#[async_trait]
impl Claims for Accounts {
    async fn claim(
        &self,
        claims: &[Claim],
        _at: Timestamp,
    ) -> PortResult<Result<(), (usize, Claimed)>> {
        let mut rows = self.rows.lock();
        let mut wanted: HashMap<(ClaimKind, String), Held> = HashMap::new();
        for (index, claim) in claims.iter().enumerate() {
            let key = (claim.kind, claim.name.clone());
            let held = rows.claims.get(&key).or_else(|| wanted.get(&key)).copied();
            match held {
                Some(Held { holder, confirmed }) if holder != claim.holder => {
                    return Ok(Err((index, Claimed::Taken { holder, confirmed })));
                }
                Some(_) => {}
                None => {
                    wanted.insert(key, Held { holder: claim.holder, confirmed: false });
                }
            }
        }
        rows.claims.extend(wanted);
        Ok(Ok(()))
    }

    async fn confirm(&self, claims: &[Claim]) -> PortResult<()> {
        let mut rows = self.rows.lock();
        for claim in claims {
            if let Some(held) = rows.claims.get_mut(&(claim.kind, claim.name.clone())) {
                held.confirmed |= held.holder == claim.holder;
            }
        }
        Ok(())
    }

    async fn release(&self, claims: &[Claim]) -> PortResult<()> {
        let mut rows = self.rows.lock();
        for claim in claims {
            let key = (claim.kind, claim.name.clone());
            if rows.claims.get(&key).is_some_and(|held| held.holder == claim.holder) {
                rows.claims.remove(&key);
            }
        }
        Ok(())
    }

    async fn holder(&self, kind: ClaimKind, name: &str) -> PortResult<Option<u128>> {
        Ok(self.rows.lock().claims.get(&(kind, name.to_owned())).map(|held| held.holder))
    }
}

#[async_trait]
impl AccountStore for Accounts {
    async fn put(&self, accounts: &[Account]) -> PortResult<()> {
        let mut rows = self.rows.lock();
        rows.accounts.extend(accounts.iter().map(|account| (account.user, account.clone())));
        Ok(())
    }

    async fn replace(&self, account: &Account, expected: &Account) -> PortResult<Replaced> {
        let mut rows = self.rows.lock();
        if rows.accounts.get(&account.user) != Some(expected) {
            return Ok(Replaced::Changed);
        }
        let others = || rows.accounts.values().filter(|other| other.user != account.user);
        if runs(expected) && !runs(account) && !others().any(runs) {
            return Ok(Replaced::LastAdmin);
        }
        rows.accounts.insert(account.user, account.clone());
        Ok(Replaced::Done)
    }

    async fn mark_announced(&self, users: &[UserId]) -> PortResult<()> {
        let mut rows = self.rows.lock();
        for user in users {
            if let Some(account) = rows.accounts.get_mut(user) {
                account.announced = true;
            }
        }
        Ok(())
    }

    async fn get(&self, user: UserId) -> PortResult<Option<Account>> {
        Ok(self.rows.lock().accounts.get(&user).cloned())
    }

    async fn unannounced(&self, limit: usize) -> PortResult<Vec<Account>> {
        let rows = self.rows.lock();
        Ok(rows.accounts.values().filter(|a| !a.announced).take(limit).cloned().collect())
    }

    async fn has_admin(&self) -> PortResult<bool> {
        Ok(self.rows.lock().accounts.values().any(runs))
    }

    async fn page(&self, after: Option<UserId>, limit: usize) -> PortResult<Vec<Account>> {
        let rows = self.rows.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let accounts = rows.accounts.range((from, Bound::Unbounded));
        Ok(accounts.map(|(_, account)| account.clone()).take(limit).collect())
    }
}

#[async_trait]
impl SessionStore for Accounts {
    async fn create(&self, session: &Session) -> PortResult<()> {
        self.rows.lock().sessions.insert(session.id, session.clone());
        Ok(())
    }

    async fn rotate(&self, session: &Session, expected: [u8; 32]) -> PortResult<bool> {
        let mut rows = self.rows.lock();
        let Some(stored) = rows.sessions.get_mut(&session.id) else { return Ok(false) };
        let fits = stored.refresh_hash == expected;
        if fits {
            stored.clone_from(session);
        }
        Ok(fits)
    }

    async fn get(&self, id: SessionId) -> PortResult<Option<Session>> {
        Ok(self.rows.lock().sessions.get(&id).cloned())
    }

    async fn list(&self, user: UserId) -> PortResult<Vec<Session>> {
        let rows = self.rows.lock();
        let mut found: Vec<_> =
            rows.sessions.values().filter(|session| session.user == user).cloned().collect();
        found.sort_by_key(|session| std::cmp::Reverse((session.created_at, session.id)));
        Ok(found)
    }

    async fn revoke(&self, id: SessionId) -> PortResult<bool> {
        Ok(self.rows.lock().sessions.remove(&id).is_some())
    }

    async fn sweep_sessions(
        &self,
        after: Option<SessionId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<SessionId>> {
        let has_ended = |session: &Session| session.expires_at < ended_before;
        Ok(sweep(&mut self.rows.lock().sessions, after, limit, has_ended))
    }
}
