//! The issuers that the configuration trusts, and where their keys come from.

use std::io::{Error, ErrorKind as IoErrorKind, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use klatch_auth::{PublishedKeys, TrustedIssuer, TrustedKeys};
use klatch_issuers::{AddressError, DOCUMENT_BYTES_MAX};
use klatch_ports::issuers::IssuerKeys;
use klatch_ports::{ErrorKind, PortError, PortResult};

use crate::config::{Config, ConfigError, Issuer, mail};

const KEY: &str = "auth.issuers";

/// All of them. Keys are fetched later.
///
/// # Errors
/// An issuer has no keys or too many, or a file cannot be read.
pub(crate) fn trusted_issuers(config: &Config) -> Result<Vec<TrustedIssuer>, ConfigError> {
    config.auth.issuers.iter().map(trusted).collect()
}

fn trusted(issuer: &Issuer) -> Result<TrustedIssuer, ConfigError> {
    let refuse = |problem: String| ConfigError::Refused {
        key: KEY,
        problem: format!("{}: {problem}", issuer.name),
    };
    let Issuer { name, secret, jwks_url, jwks_file, ca, audience, provision } = issuer;
    let keys = match (secret, jwks_url, jwks_file) {
        (Some(secret), None, None) => TrustedKeys::Secret(secret.0.clone().into_bytes()),
        (None, Some(url), None) => {
            let ca = ca.as_ref().map(|file| mail::read(KEY, file)).transpose()?;
            let keys = klatch_issuers::PublishedKeys::new(url, ca.as_deref());
            let keys = keys.map_err(|error| {
                let setting = if error == AddressError::Ca { "ca" } else { "jwks_url" };
                refuse(format!("{setting}: {error}"))
            })?;
            TrustedKeys::Published(PublishedKeys::new(Arc::new(keys)))
        }
        (None, None, Some(file)) => {
            let keys = KeysInFile(file.clone());
            keys.read().map_err(|error| refuse(format!("{}: {error}", file.display())))?;
            TrustedKeys::Published(PublishedKeys::new(Arc::new(keys)))
        }
        _ => return Err(refuse("it needs one of secret, jwks_url and jwks_file".to_owned())),
    };
    if ca.is_some() && jwks_url.is_none() {
        return Err(refuse("ca is for jwks_url".to_owned()));
    }
    if matches!(keys, TrustedKeys::Published(_)) && audience.is_none() {
        let problem = "with published keys it needs an audience: others get tokens there too";
        return Err(refuse(problem.to_owned()));
    }
    let (issuer, audience) = (name.clone(), audience.clone());
    Ok(TrustedIssuer { issuer, keys, audience, provision: *provision })
}

/// Keys in a file, read again as often as others are fetched.
struct KeysInFile(PathBuf);

impl KeysInFile {
    fn read(&self) -> std::io::Result<Bytes> {
        let mut bytes = Vec::new();
        let most = DOCUMENT_BYTES_MAX as u64;
        std::fs::File::open(&self.0)?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(Error::new(IoErrorKind::FileTooLarge, "it is longer than 64 KiB"));
        }
        Ok(bytes.into())
    }
}

#[async_trait]
impl IssuerKeys for KeysInFile {
    async fn fetch(&self) -> PortResult<Bytes> {
        let file = Self(self.0.clone());
        let failed =
            |kind, error: String| PortError::new(kind, "issuer", "read keys").because(error);
        let read = tokio::task::spawn_blocking(move || file.read()).await;
        read.map_err(|error| failed(ErrorKind::Closed, error.to_string()))?
            .map_err(|error| failed(ErrorKind::Unavailable, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::result_large_err, reason = "figment's jail wants its own error")]

    use super::*;
    use crate::config;

    fn told(issuers: &str) -> String {
        let mut shown = String::new();
        figment::Jail::expect_with(|jail| {
            jail.create_file("keys.json", r#"{"keys":[]}"#)?;
            jail.set_env("KLATCH_AUTH__ISSUERS", issuers);
            let args = crate::cli::ConfigArgs { config: None };
            let config = config::load(&args).map_err(|error| error.to_string())?;
            shown =
                trusted_issuers(&config).err().map(|error| error.to_string()).unwrap_or_default();
            Ok(())
        });
        shown
    }

    #[test]
    fn an_issuer_has_one_kind_of_keys_and_published_ones_need_https_and_an_audience() {
        for good in [
            r#"[{name="x", secret="0123456789012345678901234567890123456789"}]"#,
            r#"[{name="x", jwks_url="https://x.example/keys", audience="chat"}]"#,
            r#"[{name="x", jwks_url="http://127.0.0.1:9/keys", audience="chat"}]"#,
            r#"[{name="x", jwks_file="keys.json", audience="chat"}]"#,
        ] {
            assert_eq!(told(good), "", "{good}");
        }
        for (bad, what) in [
            (r#"[{name="x"}]"#, "one of"),
            (r#"[{name="x", secret="s", jwks_file="keys.json", audience="c"}]"#, "one of"),
            (r#"[{name="x", jwks_url="http://x.example/", audience="c"}]"#, "https"),
            (r#"[{name="x", jwks_url="https://x.example/"}]"#, "audience"),
            (r#"[{name="x", jwks_file="nowhere", audience="c"}]"#, "nowhere"),
            (r#"[{name="x", jwks_file="keys.json", ca="c", audience="c"}]"#, "ca"),
        ] {
            let told = told(bad);
            assert!(told.contains("auth.issuers") && told.contains(what), "{bad}: {told}");
        }
    }
}
