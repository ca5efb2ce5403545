//! What this process remembers of people, and how it forgets them.

use std::sync::Arc;

use async_trait::async_trait;
use klatch_auth::Auth;
use klatch_compliance::Memory;
use klatch_domain::UserId;
use klatch_ports::PortResult;
use klatch_presence::PresenceService;
use klatch_query::Query;

use super::Roles;

/// All of them. Names in the directory go with the event on the log.
pub(super) fn all(roles: &Roles) -> Vec<Arc<dyn Memory>> {
    vec![
        Arc::new(OpenedPages(Arc::clone(&roles.queries))),
        Arc::new(Tokens(Arc::clone(&roles.auth))),
        Arc::new(Presence(Arc::clone(&roles.people))),
    ]
}

struct OpenedPages(Arc<Query>);

#[async_trait]
impl Memory for OpenedPages {
    fn name(&self) -> &'static str {
        "opened pages and keys"
    }

    async fn forget(&self, user: UserId) -> PortResult<()> {
        self.0.forget(user);
        Ok(())
    }
}

struct Tokens(Arc<Auth>);

#[async_trait]
impl Memory for Tokens {
    fn name(&self) -> &'static str {
        "tokens and connections"
    }

    async fn forget(&self, user: UserId) -> PortResult<()> {
        self.0.account_gone(user);
        Ok(())
    }
}

struct Presence(Arc<PresenceService>);

#[async_trait]
impl Memory for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    async fn forget(&self, user: UserId) -> PortResult<()> {
        self.0.forget(user).await
    }
}
