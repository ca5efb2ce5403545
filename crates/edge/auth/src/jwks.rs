//! Keys as issuers publish them (RFC 7517), read with suspicion: each key belongs to one algorithm,
//! whatever a token says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

/// Longer documents are refused, whoever brought them.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Documents with more keys are refused.
const KEYS_MAX: usize = 64;
/// Keys with a longer name are left out.
const ID_BYTES_MAX: usize = 256;
/// Bytes of an RSA modulus: 2,048 to 4,096 bits. Longer ones only cost time.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// Most bytes of an RSA exponent; nearly all are 65,537.
const EXPONENT_BYTES_MAX: usize = 4;

/// The keys of an issuer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeySet(Vec<PublicKey>);

#[derive(Debug, PartialEq, Eq)]
struct PublicKey {
    id: Option<String>,
    material: Material,
}

/// What a signature is checked with. The kind decides on the algorithm.
#[derive(Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point: 4, x, y.
    P256(Vec<u8>),
    Ed25519(Box<VerifyingKey>),
}

/// What a key set says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is signed by one of the keys.
    Good,
    /// The key that it names is there, and did not sign it; or no key may ever sign like this.
    Forged,
    /// There is no key of this name.
    UnknownKey,
}

/// A key as it is written down. Keys of other kinds and for other purposes are left out.
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a document; why it is none otherwise. A set without a key that can be used is none:
    /// it would lock everyone out.
    pub(crate) fn read(document: &[u8]) -> Result<Self, &'static str> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err("the key set is longer than 64 KiB");
        }
        let Document { keys } =
            serde_json::from_slice(document).map_err(|_| "what came is no key set")?;
        if keys.len() > KEYS_MAX {
            return Err("the key set has more than 64 keys");
        }
        let usable: Vec<_> = keys
            .into_iter()
            .filter_map(|value| PublicKey::read(serde_json::from_value(value).ok()?))
            .collect();
        if usable.is_empty() {
            Err("the key set has no key that can be used")
        } else {
            Ok(Self(usable))
        }
    }

    /// Whether `signature` over `signed` is by the key called `id`, as `algorithm` says. A token
    /// that names no key must leave no choice.
    pub(crate) fn judge(
        &self,
        (id, algorithm): (Option<&str>, &str),
        signed: &[u8],
        signature: &[u8],
    ) -> Verdict {
        if !ALGORITHMS.contains(&algorithm) {
            return Verdict::Forged;
        }
        let named = |key: &&PublicKey| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => key.material.algorithm() == algorithm,
        };
        let candidates: Vec<_> = self.0.iter().filter(named).collect();
        match candidates.as_slice() {
            [] => Verdict::UnknownKey,
            [_, _, ..] if id.is_none() => Verdict::Forged,
            keys => {
                let signs = |key: &&PublicKey| {
                    key.material.algorithm() == algorithm
                        && key.material.verifies(signed, signature)
                };
                if keys.iter().any(signs) { Verdict::Good } else { Verdict::Forged }
            }
        }
    }
}

/// The algorithms that a published key can have. None of them has a secret that two share.
const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

impl PublicKey {
    fn read(written: Written) -> Option<Self> {
        let for_signatures = written.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let verifies =
            written.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        let short = written.kid.as_ref().is_none_or(|id| id.len() <= ID_BYTES_MAX);
        if !(for_signatures && verifies && short) {
            return None;
        }
        let material = Material::read(&written)?;
        let fits = written.alg.as_deref().is_none_or(|alg| alg == material.algorithm());
        fits.then_some(Self { id: written.kid, material })
    }
}

impl Material {
    fn read(written: &Written) -> Option<Self> {
        let bytes = |text: &Option<String>| BASE64.decode(text.as_deref()?).ok();
        match (written.kty.as_str(), written.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes(&written.n)?, bytes(&written.e)?);
                // A leading zero would count as length.
                let n_fits = MODULUS_BYTES.contains(&n.len()) && n.first() != Some(&0);
                let e_fits = (1..=EXPONENT_BYTES_MAX).contains(&e.len()) && e.first() != Some(&0);
                let e_is_odd = e.last().is_some_and(|last| last % 2 == 1) && e != [1];
                (n_fits && e_fits && e_is_odd).then_some(Self::Rsa { n, e })
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&written.x)?, bytes(&written.y)?);
                let fits = x.len() == 32 && y.len() == 32;
                fits.then(|| Self::P256([&[4], x.as_slice(), y.as_slice()].concat()))
            }
            ("OKP", Some("Ed25519")) => {
                let point: [u8; 32] = bytes(&written.x)?.try_into().ok()?;
                let key = VerifyingKey::from_bytes(&point).ok()?;
                (!key.is_weak()).then(|| Self::Ed25519(Box::new(key)))
            }
            _ => None,
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
                .is_ok(),
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature)
                .is_ok(),
            Self::Ed25519(key) => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
        }
    }
}
