//! Who the load's users are: tokens minted here, for an issuer that the server was told to trust.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::http::Http;

/// The issuer's name in its tokens.
const ISSUER: &str = "klatch-bench";
/// The secret that the bare server knows. Its tokens are worth nothing anywhere else.
pub(crate) const BARE_SECRET: &str = "klatch-bench-bare-server-0123456789";
/// The user name of the administrator that imports.
const ADMIN: &str = "bench-admin";
/// Longer than any run.
const LIFETIME_S: u64 = 4 * 3600;

/// Mints HS256 tokens with a secret shared with the server.
#[derive(Clone)]
pub(crate) struct Issuer {
    secret: String,
    issued_at: u64,
}

impl Issuer {
    /// An issuer. `unix_seconds` is the time now; the secret is only as random as a bench on
    /// loopback needs it.
    pub(crate) fn new(unix_seconds: u64, nonce: u64) -> Self {
        let secret = format!("klatch-bench-secret-{nonce:016x}-{unix_seconds:016x}");
        Self { secret, issued_at: unix_seconds }
    }

    /// What the server's environment must hold to trust this issuer, and to make this
    /// administrator.
    pub(crate) fn server_environment(&self) -> Vec<(String, String)> {
        let issuers = format!(r#"[{{name="{ISSUER}", secret="{}"}}]"#, self.secret);
        [("KLATCH_AUTH__ISSUERS", issuers), ("KLATCH_AUTH__SETUP_TOKEN", self.secret.clone())]
            .map(|(key, value)| (key.to_owned(), value))
            .into()
    }

    /// Registers the administrator at a server that has none.
    ///
    /// # Errors
    /// The server has one, or did not get [`Issuer::server_environment`].
    pub(crate) fn make_admin(&self, http: &mut Http) -> Result<()> {
        let wish = serde_json::json!({
            "username": ADMIN,
            "email": format!("{ADMIN}@example.org"),
            "password": self.secret,
            "setupToken": self.secret,
        });
        let headers = [("Content-Type", "application/json")];
        let body = wish.to_string();
        let answer = http.request("POST", "/api/v1/auth/register", &headers, body.as_bytes())?;
        answer.success().context("making the administrator")?;
        Ok(())
    }

    /// An issuer whose secret a running server knows already.
    pub(crate) fn with_secret(unix_seconds: u64, secret: &str) -> Self {
        Self { secret: secret.to_owned(), issued_at: unix_seconds }
    }

    /// A token of the administrator.
    pub(crate) fn admin_token(&self) -> Result<String> {
        self.token(ADMIN)
    }

    /// A token whose `sub` is the user's name.
    ///
    /// # Errors
    /// None that can happen with a secret of this size.
    pub(crate) fn token(&self, subject: &str) -> Result<String> {
        let claims = serde_json::json!({
            "iss": ISSUER,
            "sub": subject,
            "iat": self.issued_at,
            "exp": self.issued_at + LIFETIME_S,
        });
        sign(self.secret.as_bytes(), &claims)
    }
}

/// Checks a token as a server does: its form, its signature, its end.
pub(crate) fn check(secret: &str, token: &str, unix_seconds: u64) -> Result<()> {
    let (signed, signature) = token.rsplit_once('.').context("no signature")?;
    let (head, body) = signed.split_once('.').context("no body")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("the secret")?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&BASE64.decode(signature)?).context("the signature")?;
    let head: serde_json::Value = serde_json::from_slice(&BASE64.decode(head)?)?;
    let claims: serde_json::Value = serde_json::from_slice(&BASE64.decode(body)?)?;
    ensure!(head.get("alg").is_some_and(|alg| alg == "HS256"), "another algorithm");
    ensure!(claims.get("iss").is_some_and(|issuer| issuer == ISSUER), "another issuer");
    let end = claims.get("exp").and_then(serde_json::Value::as_u64).context("no end")?;
    ensure!(unix_seconds < end, "the token has ended");
    Ok(())
}

fn sign(secret: &[u8], claims: &serde_json::Value) -> Result<String> {
    let head = BASE64.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let body = BASE64.encode(claims.to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).context("the secret's length")?;
    mac.update(head.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let signature = BASE64.encode(mac.finalize().into_bytes());
    Ok(format!("{head}.{body}.{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector made with openssl: `printf head.body | openssl dgst -sha256 -hmac your-secret`.
    #[test]
    fn a_token_is_signed_as_rfc_7515_says() {
        let token = sign(b"your-secret", &serde_json::json!({"sub": "ada"})).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts[0], "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9");
        assert_eq!(parts[1], "eyJzdWIiOiJhZGEifQ");
        assert_eq!(parts[2], "kg1lgc7Lc-jyOPoPloc95D0oJ8dil_3HYyuPU3HQaMI");
    }

    #[test]
    fn a_token_names_issuer_subject_and_a_life_of_hours() {
        let token = Issuer::new(1_000, 7).token("u1").unwrap();
        let body = BASE64.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(claims["iss"], "klatch-bench");
        assert_eq!(claims["sub"], "u1");
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), LIFETIME_S);
    }
}
