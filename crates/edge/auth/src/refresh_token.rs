//! Refresh tokens: session, secret, and a tag by which the server knows its own.
//!
//! The first secret of a session is random. Each next one is a keyed digest of the one before and
//! of the time it was replaced, so that an identical retry can be given the same next token again:
//! a client that lost the answer, and two tabs that refreshed at once, end up with one token. The
//! tag keeps a guess from looking like the reuse of an old token, which ends the session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use klatch_domain::{Entropy, SessionId, Timestamp};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::signing::SigningKeys;

const TAG_BYTES: usize = 8;
const TOKEN_BYTES: usize = 16 + 32 + TAG_BYTES;

/// A refresh token that this server made at some time.
pub(crate) struct RefreshToken {
    pub(crate) session: SessionId,
    secret: [u8; 32],
}

impl RefreshToken {
    /// The first of a session.
    pub(crate) fn first(session: SessionId, entropy: &dyn Entropy) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self { session, secret }
    }

    /// Reads a token; `None` when this server never made it.
    pub(crate) fn read(text: &str, keys: &SigningKeys) -> Option<Self> {
        let bytes: [u8; TOKEN_BYTES] = BASE64.decode(text).ok()?.try_into().ok()?;
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let (secret, tag) = rest.split_first_chunk::<32>()?;
        let session = SessionId::from_bits(u128::from_be_bytes(*session));
        let token = Self { session, secret: *secret };
        let known = keys
            .macs(&[b"tag", &session.to_bytes(), secret])
            .any(|mac| mac.get(..TAG_BYTES).is_some_and(|own| own.ct_eq(tag).into()));
        known.then_some(token)
    }

    pub(crate) fn write(&self, keys: &SigningKeys) -> String {
        let session = self.session.to_bytes();
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend_from_slice(&session);
        bytes.extend_from_slice(&self.secret);
        // The current key comes first.
        let mac = keys.macs(&[b"tag", &session, &self.secret]).next().unwrap_or_default();
        bytes.extend_from_slice(mac.get(..TAG_BYTES).unwrap_or_default());
        BASE64.encode(bytes)
    }

    /// What the session store keeps of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.session.to_bytes())
            .chain_update(self.secret)
            .finalize()
            .into()
    }

    pub(crate) fn hashes_to(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }

    /// The token that replaced, or would replace, this one at `at`: with the current key first.
    pub(crate) fn successors(&self, at: Timestamp, keys: &SigningKeys) -> Vec<Self> {
        let parts: [&[u8]; 4] =
            [b"next", &self.session.to_bytes(), &self.secret, &at.0.to_be_bytes()];
        keys.macs(&parts).map(|secret| Self { session: self.session, secret }).collect()
    }
}
