//! Access tokens of an issuer that the server was told to trust.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// The issuer's name in its tokens.
pub const ISSUER: &str = "e2e";
const SECRET: &str = "a secret of the end-to-end tests, on loopback only";
/// Longer than any test.
const LIFE_S: u64 = 4 * 3600;

/// Milliseconds since 1970.
pub fn unix_millis() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "tokens end at a time of day")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The variable that makes a server trust the issuer; whoever is new becomes a user.
pub fn server_variable() -> (String, String) {
    let value = format!(r#"[{{name="{ISSUER}", secret="{SECRET}", provision=true}}]"#);
    ("KLATCH_AUTH__ISSUERS".to_owned(), value)
}

/// A good token for the user of this name.
pub fn of(username: &str) -> String {
    let now = unix_millis() / 1000;
    let claims = json!({"iss": ISSUER, "sub": username, "iat": now, "exp": now + LIFE_S});
    signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET)
}

/// A token that ended `seconds` ago.
pub fn ended(username: &str, seconds: u64) -> String {
    let end = unix_millis() / 1000 - seconds;
    let claims = json!({"iss": ISSUER, "sub": username, "iat": end - 60, "exp": end});
    signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET)
}

/// Tokens that must not be taken, each with what is wrong with it.
pub fn forged(username: &str) -> Vec<(&'static str, String)> {
    let now = unix_millis() / 1000;
    let good = json!({"iss": ISSUER, "sub": username, "iat": now, "exp": now + LIFE_S});
    let head = json!({"alg": "HS256", "typ": "JWT"});
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        if let Some(place) = claims.get_mut(key) {
            *place = value;
        }
        signed(&head, &claims, SECRET)
    };
    let unsigned = |alg: &str| {
        let whole = signed(&json!({"alg": alg, "typ": "JWT"}), &good, SECRET);
        let stem = whole.rsplit_once('.').map_or("", |(stem, _)| stem).to_owned();
        format!("{stem}.")
    };
    let mut flipped = of(username).into_bytes();
    if let Some(byte) = flipped.last_mut() {
        *byte = if *byte == b'A' { b'Q' } else { b'A' };
    }
    vec![
        ("another secret", signed(&head, &good, "another secret, of thirty-two bytes and more")),
        ("no algorithm", unsigned("none")),
        ("no algorithm, otherwise written", unsigned("nOnE")),
        ("no signature", unsigned("HS256")),
        ("another algorithm", signed(&json!({"alg": "HS512", "typ": "JWT"}), &good, SECRET)),
        ("another issuer", with("iss", json!("nobody"))),
        ("no end", with("exp", Value::Null)),
        ("an end that is no number", with("exp", json!("never"))),
        ("nobody named", with("sub", json!(""))),
        ("a flipped bit", String::from_utf8_lossy(&flipped).into_owned()),
        ("two parts", of(username).rsplit_once('.').map_or("", |(stem, _)| stem).to_owned()),
        ("not a token", "x".to_owned()),
        ("a megabyte would be too long; this is long enough", "x".repeat(9_000)),
    ]
}

fn signed(head: &Value, claims: &Value, secret: &str) -> String {
    let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return text };
    mac.update(text.as_bytes());
    format!("{text}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with openssl: `printf head.body | openssl dgst -sha256 -hmac your-secret`.
    #[test]
    fn a_token_is_signed_as_rfc_7515_says() {
        let token =
            signed(&json!({"alg": "HS256", "typ": "JWT"}), &json!({"sub": "ada"}), "your-secret");
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts[1], "eyJzdWIiOiJhZGEifQ");
        assert_eq!(parts[2], "kg1lgc7Lc-jyOPoPloc95D0oJ8dil_3HYyuPU3HQaMI");
    }

    #[test]
    fn no_forged_token_is_a_good_one() {
        let good = of("ada");
        assert!(forged("ada").iter().all(|(_, token)| *token != good));
    }
}
