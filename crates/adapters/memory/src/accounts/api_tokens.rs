//! Programs' tokens, and resets of passwords.

use async_trait::async_trait;
use klatch_domain::{ApiTokenId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Reset, ResetStore, Swept};
use klatch_ports::api_tokens::{ApiToken, ApiTokenStore};

use super::{Accounts, sweep};

#[async_trait]
impl ApiTokenStore for Accounts {
    async fn create_token(&self, token: &ApiToken) -> PortResult<()> {
        self.rows.lock().tokens.insert(token.id, token.clone());
        Ok(())
    }

    async fn token(&self, id: ApiTokenId) -> PortResult<Option<ApiToken>> {
        Ok(self.rows.lock().tokens.get(&id).cloned())
    }

    async fn tokens(&self, user: UserId) -> PortResult<Vec<ApiToken>> {
        let rows = self.rows.lock();
        Ok(rows.tokens.values().rev().filter(|token| token.user == user).cloned().collect())
    }

    async fn revoke_token(&self, id: ApiTokenId) -> PortResult<bool> {
        Ok(self.rows.lock().tokens.remove(&id).is_some())
    }
}

#[async_trait]
impl ResetStore for Accounts {
    async fn put_reset(&self, reset: &Reset) -> PortResult<()> {
        self.rows.lock().resets.insert(reset.user, reset.clone());
        Ok(())
    }

    async fn reset(&self, hash: [u8; 32]) -> PortResult<Option<Reset>> {
        Ok(self.rows.lock().resets.values().find(|reset| reset.hash == hash).cloned())
    }

    async fn take_reset(&self, hash: [u8; 32]) -> PortResult<Option<Reset>> {
        let mut rows = self.rows.lock();
        let found = rows.resets.values().find(|reset| reset.hash == hash).map(|reset| reset.user);
        Ok(found.and_then(|user| rows.resets.remove(&user)))
    }

    async fn sweep_resets(
        &self,
        after: Option<UserId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<UserId>> {
        let has_ended = |reset: &Reset| reset.expires_at < ended_before;
        Ok(sweep(&mut self.rows.lock().resets, after, limit, has_ended))
    }
}
