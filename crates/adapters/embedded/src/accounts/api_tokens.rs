//! Programs' tokens, and resets of passwords.

use async_trait::async_trait;
use klatch_domain::scope::Scopes;
use klatch_domain::{ApiTokenId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Reset, ResetStore, Swept};
use klatch_ports::api_tokens::{ApiToken, ApiTokenStore};

use super::Accounts;
use super::draft::Draft;
use super::row::{self, RESET, TOKEN, USER_RESET, USER_TOKEN, bytes_of};
use crate::engine::codec::{Id, bits, decode, id, unreadable, wanted};

#[derive(Clone, PartialEq, ::prost::Message)]
struct TokenRow {
    #[prost(message, optional, tag = "1")]
    user: Option<Id>,
    #[prost(bytes = "vec", tag = "2")]
    hash: Vec<u8>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(uint32, tag = "4")]
    scopes: u32,
    #[prost(uint64, optional, tag = "5")]
    expires_at: Option<u64>,
    #[prost(message, optional, tag = "6")]
    made_by: Option<Id>,
}

fn encode_token(token: &ApiToken) -> Vec<u8> {
    bytes_of(&TokenRow {
        user: id(token.user.bits()),
        hash: token.hash.to_vec(),
        name: token.name.clone(),
        scopes: token.scopes.bits().into(),
        expires_at: token.expires_at.map(|at| at.0),
        made_by: token.made_by.and_then(|user| id(user.bits())),
    })
}

fn decode_token(id: ApiTokenId, bytes: &[u8]) -> PortResult<ApiToken> {
    let row: TokenRow = decode("token", bytes)?;
    let scopes = u8::try_from(row.scopes).ok().and_then(Scopes::from_bits);
    Ok(ApiToken {
        id,
        user: UserId::from_bits(wanted("user", row.user)?),
        hash: row.hash.try_into().map_err(|_| unreadable("a token's hash"))?,
        name: row.name,
        scopes: scopes.ok_or_else(|| unreadable("a token's scopes"))?,
        expires_at: row.expires_at.map(Timestamp),
        made_by: bits(row.made_by).map(UserId::from_bits),
    })
}

#[async_trait]
impl ApiTokenStore for Accounts {
    async fn create_token(&self, token: &ApiToken) -> PortResult<()> {
        let token = token.clone();
        let decide = move |draft: &mut Draft<'_>| {
            let id = token.id.bits();
            draft.put(&row::key(TOKEN, id), encode_token(&token));
            draft.put(&row::pair(USER_TOKEN, token.user.bits(), id), Vec::new());
            Ok(())
        };
        self.write("storing a token", decide).await
    }

    async fn token(&self, id: ApiTokenId) -> PortResult<Option<ApiToken>> {
        let bytes = self.rows.get(&row::key(TOKEN, id.bits()))?;
        bytes.map(|bytes| decode_token(id, &bytes)).transpose()
    }

    async fn tokens(&self, user: UserId) -> PortResult<Vec<ApiToken>> {
        let mut found = Vec::new();
        for key in self.rows.keys_before(&row::key(USER_TOKEN, user.bits()), None) {
            found.extend(self.token(ApiTokenId::from_bits(row::last_id(&key?)?)).await?);
        }
        Ok(found)
    }

    async fn revoke_token(&self, id: ApiTokenId) -> PortResult<bool> {
        let decide = move |draft: &mut Draft<'_>| {
            let key = row::key(TOKEN, id.bits());
            let Some(bytes) = draft.get(&key)? else { return Ok(false) };
            let token = decode_token(id, &bytes)?;
            draft.remove(&key);
            draft.remove(&row::pair(USER_TOKEN, token.user.bits(), id.bits()));
            Ok(true)
        };
        self.write("revoking a token", decide).await
    }
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct ResetRow {
    #[prost(message, optional, tag = "1")]
    user: Option<Id>,
    #[prost(uint64, tag = "2")]
    expires_at: u64,
}

pub(super) fn decode_reset(hash: [u8; 32], bytes: &[u8]) -> PortResult<Reset> {
    let row: ResetRow = decode("reset", bytes)?;
    let user = UserId::from_bits(wanted("user", row.user)?);
    Ok(Reset { hash, user, expires_at: Timestamp(row.expires_at) })
}

#[async_trait]
impl ResetStore for Accounts {
    async fn put_reset(&self, reset: &Reset) -> PortResult<()> {
        let reset = reset.clone();
        let decide = move |draft: &mut Draft<'_>| {
            let of_user = row::key(USER_RESET, reset.user.bits());
            if let Some(earlier) = draft.get(&of_user)? {
                draft.remove(&row::hash_key(RESET, &earlier));
            }
            let user = id(reset.user.bits());
            let bytes = bytes_of(&ResetRow { user, expires_at: reset.expires_at.0 });
            draft.put(&row::hash_key(RESET, &reset.hash), bytes);
            draft.put(&of_user, reset.hash.to_vec());
            Ok(())
        };
        self.write("storing a reset", decide).await
    }

    async fn reset(&self, hash: [u8; 32]) -> PortResult<Option<Reset>> {
        let bytes = self.rows.get(&row::hash_key(RESET, &hash))?;
        bytes.map(|bytes| decode_reset(hash, &bytes)).transpose()
    }

    async fn take_reset(&self, hash: [u8; 32]) -> PortResult<Option<Reset>> {
        let decide = move |draft: &mut Draft<'_>| {
            let key = row::hash_key(RESET, &hash);
            let Some(bytes) = draft.get(&key)? else { return Ok(None) };
            let reset = decode_reset(hash, &bytes)?;
            draft.remove(&key);
            draft.remove(&row::key(USER_RESET, reset.user.bits()));
            Ok(Some(reset))
        };
        self.write("taking a reset", decide).await
    }

    async fn sweep_resets(
        &self,
        after: Option<UserId>,
        ended_before: Timestamp,
        limit: usize,
    ) -> PortResult<Swept<UserId>> {
        self.sweep::<Reset>(after, ended_before, limit).await
    }
}
