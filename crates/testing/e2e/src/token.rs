//! Access tokens that must not be taken, beside the good ones.

use serde_json::{Value, json};

pub use klatch_soak::token::{ISSUER, LIFE_S, SECRET, of, server_variable, signed, unix_millis};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_forged_token_is_a_good_one() {
        let good = of("ada");
        assert!(forged("ada").iter().all(|(_, token)| *token != good));
    }
}
