//! Access tokens of an issuer that the server was told to trust.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// The issuer's name in its tokens.
pub const ISSUER: &str = "soak";
/// What it signs with; the servers that trust it listen on loopback and hold nothing of anybody.
pub const SECRET: &str = "a secret of servers under test, on loopback only";
/// Seconds that a token is good for: longer than any run, also one in which months pass.
pub const LIFE_S: u64 = 3 * 366 * 24 * 3600;

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
    of_at(username, unix_millis() / 1000)
}

/// A token that was made at this time, in seconds since 1970.
pub fn of_at(username: &str, now: u64) -> String {
    let claims = json!({"iss": ISSUER, "sub": username, "iat": now, "exp": now + LIFE_S});
    signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET)
}

/// Claims under the issuer's own secret or another one, as RFC 7515 wants them written.
pub fn signed(head: &Value, claims: &Value, secret: &str) -> String {
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
}
