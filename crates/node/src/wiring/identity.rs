//! The secrets that make this server itself, and the demo's own issuer.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use klatch_auth::{KeepKeys, SigningKeys, TrustedIssuer, TrustedKeys};
use klatch_domain::{Clock, Entropy};
use sha2::Sha256;

/// The file of the signing secrets, 32 bytes each, readable by its owner alone.
const FILE: &str = "signing.key";
/// Life of the demo's printed token in milliseconds.
const DEMO_TOKEN_MS: u64 = 24 * 3_600_000;

/// The keys that sign access tokens; made at the first start.
pub(crate) fn signing_keys(dir: &Path, entropy: &dyn Entropy) -> anyhow::Result<SigningKeys> {
    let path = dir.join(FILE);
    let secrets = match fs::read(&path) {
        Ok(bytes) => match bytes.as_chunks::<32>() {
            (secrets, []) if !secrets.is_empty() => secrets.to_vec(),
            _ => {
                bail!("{} is damaged: restore it, or remove it to end all sessions", path.display())
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = SigningKeys::generate(entropy);
            write_once(dir, &path, &secret)
                .with_context(|| format!("writing {}", path.display()))?;
            vec![secret]
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    SigningKeys::of(&secrets).context("no signing key")
}

/// What writes the secrets down when keys are rotated, the current one first.
pub(crate) fn keep_keys(dir: &Path) -> KeepKeys {
    let dir = dir.to_owned();
    Arc::new(move |secrets| write_once(&dir, &dir.join(FILE), secrets.as_flattened()))
}

/// Whole or not at all, and still there after a power cut.
fn write_once(dir: &Path, path: &Path, secrets: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(secrets)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(dir)?.sync_all()
}

/// An issuer that lives as long as the process, for the line that the demo prints.
pub(crate) struct DemoIssuer {
    secret: [u8; 32],
}

impl DemoIssuer {
    const NAME: &str = "klatch-demo";

    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self { secret }
    }

    pub(crate) fn trusted(&self) -> TrustedIssuer {
        TrustedIssuer {
            issuer: Self::NAME.to_owned(),
            keys: TrustedKeys::Secret(self.secret.to_vec()),
            audience: None,
            provision: false,
        }
    }

    /// An access token for the user called `name`.
    pub(crate) fn token(&self, name: &str, clock: &dyn Clock) -> anyhow::Result<String> {
        let now = clock.now();
        let claims = serde_json::json!({
            "iss": Self::NAME,
            "sub": name,
            "iat": now.0 / 1000,
            "exp": now.plus_ms(DEMO_TOKEN_MS).0 / 1000,
        });
        let head = BASE64.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let body = BASE64.encode(claims.to_string());
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).context("the key's length")?;
        mac.update(format!("{head}.{body}").as_bytes());
        Ok(format!("{head}.{body}.{}", BASE64.encode(mac.finalize().into_bytes())))
    }
}
