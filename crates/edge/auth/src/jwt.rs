//! JSON Web Tokens: written in one way, read with suspicion.
//!
//! Reading takes a token apart and believes nothing; only a caller that has chosen the key by its
//! own lists, and checked the signature, may look at the claims as facts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use klatch_domain::{SessionId, Timestamp, UserId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::signing::SigningKeys;

/// Longer texts are no tokens.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// `typ` of the server's own access tokens (RFC 9068).
pub(crate) const ACCESS_TYPE: &str = "at+jwt";

#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    /// Extensions that must be understood; none are.
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// The claims anyone may send; every other claim is left alone. Times are seconds, whole or not.
#[derive(Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) sid: Option<String>,
    pub(crate) exp: f64,
    pub(crate) nbf: Option<f64>,
    pub(crate) iat: Option<f64>,
    pub(crate) aud: Option<Audience>,
    pub(crate) preferred_username: Option<String>,
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(crate) fn holds(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

/// A token taken apart. Nothing in it is proven.
pub(crate) struct Unproven<'a> {
    pub(crate) header: Header,
    pub(crate) claims: Claims,
    /// What the signature is over.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

/// Takes a token apart; `None` when it is not one.
pub(crate) fn take_apart(token: &str) -> Option<Unproven<'_>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = read(header)?;
    if header.crit.is_some() {
        return None;
    }
    Some(Unproven {
        header,
        claims: read(claims)?,
        signed: signed.as_bytes(),
        signature: BASE64.decode(signature).ok()?,
    })
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64.decode(part).ok()?).ok()
}

/// Seconds of a claim as a time; what lies before 1970 or beyond all measure is held at the end.
pub(crate) fn time(seconds: f64) -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "casts from f64 saturate, which is what is wanted"
    )]
    let ms = (seconds * 1_000.0) as u64;
    Timestamp(ms.min(Timestamp::MAX.0))
}

/// What an access token of this server says.
pub(crate) struct Access<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) issued_at: Timestamp,
    /// A whole second; see [`whole_seconds`].
    pub(crate) expires_at: Timestamp,
}

/// A time as tokens write it.
pub(crate) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - at.0 % 1_000)
}

/// Writes an access token.
pub(crate) fn access_token(access: &Access<'_>, keys: &SigningKeys) -> String {
    #[derive(Serialize)]
    struct Head<'a> {
        alg: &'a str,
        typ: &'a str,
        kid: &'a str,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        iss: &'a str,
        sub: String,
        sid: String,
        iat: u64,
        exp: u64,
    }
    let Access { issuer, user, session, issued_at, expires_at } = access;
    let head = part(&Head { alg: "EdDSA", typ: ACCESS_TYPE, kid: keys.current_id() });
    let body = part(&Body {
        iss: issuer,
        sub: user.to_string(),
        sid: session.to_string(),
        iat: issued_at.0 / 1_000,
        exp: expires_at.0 / 1_000,
    });
    let signed = format!("{head}.{body}");
    let signature = BASE64.encode(keys.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn part<T: Serialize>(value: &T) -> String {
    // Structs of texts and numbers always serialise.
    BASE64.encode(serde_json::to_vec(value).unwrap_or_default())
}
