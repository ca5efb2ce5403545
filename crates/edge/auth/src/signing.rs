//! The keys that make this server itself: access tokens are signed with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use klatch_domain::Entropy;
use sha2::{Digest as _, Sha256};

use crate::known_key::KnownKey;

/// The key that signs now, and older ones whose tokens are still accepted.
pub struct SigningKeys {
    current: Key,
    older: Vec<Key>,
}

struct Key {
    id: String,
    signing: SigningKey,
    verifying: KnownKey,
    /// For refresh tokens; derived, so that there is one secret to guard.
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKeys({}, {} older)", self.current.id, self.older.len())
    }
}

impl Key {
    fn new(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let verifying = signing.verifying_key();
        let digest = Sha256::digest(verifying.as_bytes());
        let secret = Sha256::new().chain_update(b"klatch/refresh/1").chain_update(seed).finalize();
        Self {
            id: BASE64.encode(digest.get(..9).unwrap_or_default()),
            mac: Hmac::new(&padded(&secret.into())),
            signing,
            verifying: KnownKey::new(verifying),
        }
    }
}

/// HMAC's key block: shorter keys are padded with zeros.
fn padded(secret: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(secret) {
        *to = *from;
    }
    block
}

impl SigningKeys {
    /// Keys from their 32-byte secrets.
    pub fn new(current: &[u8; 32], older: &[[u8; 32]]) -> Self {
        Self { current: Key::new(current), older: older.iter().map(Key::new).collect() }
    }

    /// Keys from the secrets that `SigningKeys::secrets` told, the current one first.
    pub fn of(secrets: &[[u8; 32]]) -> Option<Self> {
        let (current, older) = secrets.split_first()?;
        Some(Self::new(current, older))
    }

    /// All secrets, the current one first.
    pub(crate) fn secrets(&self) -> Vec<[u8; 32]> {
        self.all().map(|key| key.signing.to_bytes()).collect()
    }

    /// A fresh secret for [`SigningKeys::new`].
    pub fn generate(entropy: &dyn Entropy) -> [u8; 32] {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        seed
    }

    pub(crate) fn current_id(&self) -> &str {
        &self.current.id
    }

    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.current.signing.sign(text).to_bytes()
    }

    /// Whether `signature` over `text` is by the key called `id`.
    pub(crate) fn verifies(&self, id: &str, text: &[u8], signature: &[u8]) -> bool {
        self.all().any(|key| key.id == id && key.verifying.verifies(text, signature))
    }

    /// Keyed digests of `parts` for refresh tokens, the current key's first.
    pub(crate) fn macs<'a>(&'a self, parts: &'a [&[u8]]) -> impl Iterator<Item = [u8; 32]> + 'a {
        self.all().map(move |key| {
            let mut mac = key.mac.clone();
            for part in parts {
                mac.update(part);
            }
            mac.finalize().into_bytes().into()
        })
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.older)
    }
}
