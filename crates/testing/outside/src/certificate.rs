//! A certificate that vouches for itself.

use std::io;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate of `localhost` that vouches for itself, and its key.
pub struct Certificate(CertifiedKey<KeyPair>);

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

impl Certificate {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new() -> io::Result<Self> {
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]);
        made.map(Self).map_err(io::Error::other)
    }

    /// The certificate as PEM, for those who are to believe it.
    pub fn pem(&self) -> String {
        self.0.cert.pem()
    }

    /// Who shows it.
    ///
    /// # Errors
    /// Certificate and key do not fit.
    pub fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let key =
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![self.0.cert.der().clone()], key)
            .map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
