//! The first event of an account, and mending what a crash left half done.

use futures::future::join_all;
use klatch_domain::{Event, UserChange, UserEvent, UserId};
use klatch_ports::accounts::{Account, Claim};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::log::{Append, AppendError, Expected};
use klatch_ports::position::{Position, StreamId};
use klatch_protocol::event;
use smallvec::smallvec;

use crate::Auth;
use crate::accounts::claims_of;

/// How many accounts the sweeper mends at a time.
const SWEEP_BATCH: usize = 500;

impl Auth {
    /// Appends the first event of every account that has none, and marks it. Run it when the log
    /// and the stores are open, before requests are served; running it again, or while others
    /// register, does no harm.
    ///
    /// Returns how many accounts were mended.
    ///
    /// # Errors
    /// As the ports report; what was mended until then stays mended.
    pub async fn sweep(&self) -> ServiceResult<usize> {
        let mut mended = 0;
        loop {
            let accounts = self.parts.stores.accounts.unannounced(SWEEP_BATCH).await?;
            if accounts.is_empty() {
                return Ok(mended);
            }
            let count = accounts.len();
            self.announce(accounts).await?;
            mended += count;
            tracing::info!(accounts = count, "announced accounts whose registration was cut short");
        }
    }

    /// Appends the first events of `accounts`, which are stored and hold their names, and marks
    /// them as announced. Where each landed; `None` where it was on the log before.
    ///
    /// # Errors
    /// [`ServiceError::OutcomeUnknown`]: some events may be on the log or get there later, by the
    /// sweeper: the accounts are stored.
    pub(crate) async fn announce(
        &self,
        accounts: Vec<Account>,
    ) -> ServiceResult<Vec<Option<Position>>> {
        let appends = accounts.iter().map(|account| self.parts.log.append(first_event(account)));
        let mut positions = Vec::with_capacity(accounts.len());
        for outcome in join_all(appends).await {
            positions.push(match outcome {
                Ok(appended) => Some(appended.first),
                // Someone was first, and the key's first record can only be this one.
                Err(AppendError::Conflict { .. }) => None,
                Err(AppendError::Port(error)) => return Err(ServiceError::OutcomeUnknown(error)),
            });
        }
        let mut claims: Vec<Claim> = Vec::new();
        for account in &accounts {
            if let Some(profile) = self.profile(account).await? {
                claims.extend(claims_of(account.user, &profile.username, profile.email.as_deref()));
            }
        }
        let users: Vec<UserId> = accounts.iter().map(|account| account.user).collect();
        self.parts.stores.claims.confirm(&claims).await.map_err(ServiceError::OutcomeUnknown)?;
        let marked = self.parts.stores.accounts.mark_announced(&users).await;
        marked.map_err(ServiceError::OutcomeUnknown)?;
        Ok(positions)
    }
}

fn first_event(account: &Account) -> Append {
    let event = Event::User(UserEvent {
        user: account.user,
        at: account.created_at,
        change: UserChange::Registered {
            profile: account.profile.clone(),
            bot: account.bot,
            role: account.role,
            external: account.external,
        },
    });
    Append {
        stream: StreamId::Meta,
        key: event::key(&event),
        expected: Expected::Head(None),
        records: smallvec![event::encode(&event)],
    }
}
