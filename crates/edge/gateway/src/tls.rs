//! TLS 1.3 in front of everything else.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Who the server is to clients that ask for TLS. Clones are one: what one of them is renewed with,
/// all show.
#[derive(Clone)]
pub struct Tls {
    /// Replaced as a whole.
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why a certificate and a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate was found, or one that cannot be read.
    #[error("{0}")]
    Certificate(String),
    /// No private key was found, or one that cannot be used.
    #[error("{0}")]
    Key(String),
    /// The key is another certificate's.
    #[error("the key does not belong to the first certificate")]
    Mismatch,
}

impl Tls {
    /// `cert` is PEM: the server's certificate first, then those that vouch for it. `key` is its
    /// private key, in PEM too. TLS 1.3 alone is spoken.
    ///
    /// # Errors
    /// Which of the two is of no use, and why.
    pub fn new(cert: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self { config: Arc::new(RwLock::new(Arc::new(config(cert, key)?))) })
    }

    /// Shows this certificate from now on. Connections that are open, and handshakes under way,
    /// keep what they began with; tickets of before are not taken any more, so whoever comes back
    /// sees the new one.
    ///
    /// # Errors
    /// As [`Tls::new`]; then nothing changes.
    pub fn renew(&self, cert: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let new = Arc::new(config(cert, key)?);
        *self.config.write() = new;
        Ok(())
    }

    /// The handshake; `None` when it fails or takes longer than `most`.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        most: Duration,
    ) -> Option<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config.read()));
        match timeout(most, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                None
            }
        }
    }
}

fn config(cert: &[u8], key: &[u8]) -> Result<ServerConfig, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Certificate(format!("it is not PEM: {error}")))?;
    if chain.is_empty() {
        let missing = "there is no certificate in it (BEGIN CERTIFICATE)";
        return Err(TlsError::Certificate(missing.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        PemError::NoItemsFound => {
            TlsError::Key("there is no private key in it (BEGIN PRIVATE KEY)".to_owned())
        }
        error => TlsError::Key(format!("it is not PEM: {error}")),
    })?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::Key(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(refusal)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Who comes back shows a ticket that only this process can read: nothing is kept for them.
    config.ticketer = ring::Ticketer::new().map_err(|error| TlsError::Key(error.to_string()))?;
    Ok(config)
}

fn refusal(error: Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => TlsError::Mismatch,
        Error::InvalidCertificate(error) => {
            TlsError::Certificate(format!("the certificate cannot be used: {error:?}"))
        }
        error => TlsError::Key(format!("the key cannot be used: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn told(cert: &str, key: &str) -> String {
        let error = Tls::new(cert.as_bytes(), key.as_bytes()).unwrap_err();
        format!("{error:?} {error}")
    }

    #[test]
    fn a_certificate_with_its_key_is_taken_and_any_other_pair_is_named() {
        let ((cert, key), (_, other)) = (pair(), pair());
        Tls::new(cert.as_bytes(), key.as_bytes()).unwrap();
        Tls::new(format!("{cert}{cert}").as_bytes(), key.as_bytes()).unwrap();
        assert!(told(&cert, &other).starts_with("Mismatch"));
        assert!(told("", &key).contains("BEGIN CERTIFICATE"));
        assert!(told(&key, &key).contains("BEGIN CERTIFICATE"));
        assert!(told(&cert, &cert).contains("BEGIN PRIVATE KEY"));
        assert!(told(&cert.replace('M', "!"), &key).starts_with("Certificate"));
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(told(empty, &key).starts_with("Certificate"));
        let empty = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(told(&cert, empty).starts_with("Key"));
    }

    #[test]
    fn a_pair_that_cannot_be_used_changes_nothing_and_a_good_one_is_shown_by_every_clone() {
        let ((cert, key), (other_cert, other_key)) = (pair(), pair());
        let tls = Tls::new(cert.as_bytes(), key.as_bytes()).unwrap();
        let (clone, first) = (tls.clone(), Arc::clone(&tls.config.read()));
        tls.renew(other_cert.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(Arc::ptr_eq(&clone.config.read(), &first));
        tls.renew(other_cert.as_bytes(), other_key.as_bytes()).unwrap();
        assert!(!Arc::ptr_eq(&clone.config.read(), &first));
    }
}
