//! Secrets of links and of programs: told once, kept as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use klatch_domain::{ApiTokenId, Entropy};
use sha2::{Digest as _, Sha256};

/// What programs' tokens begin with, so that scanners of leaked secrets know them.
pub(crate) const API_PREFIX: &str = "kla_";
const SECRET_BYTES: usize = 32;

/// A fresh secret: 32 bytes at random as text, and the hash to keep. With so many bits nothing
/// slower than SHA-256 is needed against guesses.
pub(crate) fn fresh(entropy: &dyn Entropy) -> (String, [u8; 32]) {
    let text = BASE64.encode(bytes(entropy));
    let hash = Sha256::digest(&text).into();
    (text, hash)
}

/// The hash of a secret that somebody brings.
pub(crate) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A fresh token of a program: prefix, id and secret; and the hash to keep.
pub(crate) fn api_token(id: ApiTokenId, entropy: &dyn Entropy) -> (String, [u8; 32]) {
    let secret = bytes(entropy);
    let text = BASE64.encode([&id.to_bytes()[..], &secret].concat());
    (format!("{API_PREFIX}{text}"), hash_of(&secret))
}

/// Which token a program brings, and the hash of its secret; `None` when it is none.
pub(crate) fn read_api_token(text: &str) -> Option<(ApiTokenId, [u8; 32])> {
    let bytes = BASE64.decode(text.strip_prefix(API_PREFIX)?).ok()?;
    let (id, secret) = bytes.split_first_chunk::<16>()?;
    let secret: &[u8; SECRET_BYTES] = secret.try_into().ok()?;
    Some((ApiTokenId::from_bits(u128::from_be_bytes(*id)), hash_of(secret)))
}

fn hash_of(secret: &[u8; SECRET_BYTES]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn bytes(entropy: &dyn Entropy) -> [u8; SECRET_BYTES] {
    let mut bytes = [0; SECRET_BYTES];
    entropy.fill(&mut bytes);
    bytes
}
