//! Keys that sign tokens.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

/// Two RSA keys of 2,048 bits that protect nothing: our library of cryptography makes none.
const RSA: [&[u8]; 2] =
    [include_bytes!("../../keys/rsa-a.pk8"), include_bytes!("../../keys/rsa-b.pk8")];

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RS256, with one of two fixed keys.
    Rsa(usize),
    /// ES256, a new key.
    P256,
    /// `EdDSA`, a new key.
    Ed25519,
}

/// A key with its name.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A key called `id`.
    ///
    /// # Errors
    /// There is no randomness, or no such RSA key.
    pub fn new(id: &str, kind: Kind) -> io::Result<Self> {
        let random = SystemRandom::new();
        let bad = |_| io::Error::other("no key");
        let refused = |_| io::Error::other("no good key");
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match kind {
            Kind::Rsa(index) => {
                let bytes = RSA.get(index).copied().unwrap_or_default();
                Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(bytes).map_err(refused)?))
            }
            Kind::P256 => {
                let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(bad)?;
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random);
                Pair::P256(pair.map_err(refused)?)
            }
            Kind::Ed25519 => {
                let made = Ed25519KeyPair::generate_pkcs8(&random).map_err(bad)?;
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8(made.as_ref()).map_err(refused)?)
            }
        };
        Ok(Self { id: id.to_owned(), pair })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `alg` of tokens signed with it.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public half as a JSON Web Key.
    pub fn public(&self) -> Value {
        let (id, alg) = (&self.id, self.algorithm());
        match &self.pair {
            Pair::Rsa(pair) => {
                let PublicKeyComponents { n, e } =
                    PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (BASE64.encode(n), BASE64.encode(e));
                json!({"kty": "RSA", "use": "sig", "alg": alg, "kid": id, "n": n, "e": e})
            }
            Pair::P256(pair) => {
                // 4, then the two coordinates.
                let point = pair.public_key().as_ref();
                let (x, y) =
                    point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
                let (x, y) = (BASE64.encode(x), BASE64.encode(y));
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": alg, "kid": id,
                       "x": x, "y": y})
            }
            Pair::Ed25519(pair) => {
                let x = BASE64.encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": alg, "kid": id, "x": x})
            }
        }
    }

    /// A token of these claims.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn token(&self, claims: &Value) -> io::Result<String> {
        let head = json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.id});
        self.signed(&head, claims)
    }

    /// A token of these claims under this head, signed as the key signs whatever the head says.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn signed(&self, head: &Value, claims: &Value) -> io::Result<String> {
        let (head, claims) = (head.to_string(), claims.to_string());
        let text = format!("{}.{}", BASE64.encode(head), BASE64.encode(claims));
        let random = SystemRandom::new();
        let bad = |_| io::Error::other("cannot sign");
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .map_err(bad)?;
                signature
            }
            Pair::P256(pair) => pair.sign(&random, text.as_bytes()).map_err(bad)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
        };
        Ok(format!("{text}.{}", BASE64.encode(signature)))
    }
}
