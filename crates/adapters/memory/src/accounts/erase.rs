//! Taking a person out of the maps.

use async_trait::async_trait;
use klatch_domain::UserId;
use klatch_ports::PortResult;
use klatch_ports::erasures::{AccountEraser, Traces};

use super::{Accounts, Rows};

fn traces(rows: &Rows, user: UserId) -> Traces {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Traces {
        accounts: u64::from(rows.accounts.contains_key(&user)),
        names: count(rows.claims.values().filter(|held| held.holder == user.bits()).count()),
        sessions: count(rows.sessions.values().filter(|session| session.user == user).count()),
        others: count(
            rows.tokens.values().filter(|token| token.user == user).count()
                + rows.invitations.values().filter(|made| made.created_by == user).count()
                + rows.uses.keys().filter(|(_, by)| *by == user).count()
                + usize::from(rows.resets.contains_key(&user)),
        ),
    }
}

#[async_trait]
impl AccountEraser for Accounts {
    async fn traces(&self, user: UserId) -> PortResult<Traces> {
        Ok(traces(&self.rows.lock(), user))
    }

    async fn erase(&self, user: UserId) -> PortResult<Traces> {
        let mut rows = self.rows.lock();
        let found = traces(&rows, user);
        rows.accounts.remove(&user);
        rows.claims.retain(|_, held| held.holder != user.bits());
        rows.sessions.retain(|_, session| session.user != user);
        rows.tokens.retain(|_, token| token.user != user);
        rows.invitations.retain(|_, made| made.created_by != user);
        rows.uses.retain(|(_, by), _| *by != user);
        rows.resets.remove(&user);
        Ok(found)
    }
}
