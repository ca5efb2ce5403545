//! A plain address in front of a server that speaks TLS, so that every client here can reach it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

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
    pub fn new() -> Result<Self> {
        Ok(Self(generate_simple_self_signed(vec!["localhost".to_owned()])?))
    }

    /// One that ends so long after 1970.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn ending(since_1970: Duration) -> Result<Self> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970;
        let signing_key = KeyPair::generate()?;
        Ok(Self(CertifiedKey { cert: params.self_signed(&signing_key)?, signing_key }))
    }

    /// The certificate as PEM.
    pub fn cert_pem(&self) -> String {
        self.0.cert.pem()
    }

    /// The key as PEM.
    pub fn key_pem(&self) -> String {
        self.0.signing_key.serialize_pem()
    }

    /// A client that trusts it and nothing else.
    ///
    /// # Errors
    /// It is no certificate.
    pub fn connector(&self) -> Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.cert.der().clone())?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// Connects to `server` and shakes hands.
///
/// # Errors
/// Nobody listens, or the server is not who it should be.
pub async fn connect(server: SocketAddr, connector: &TlsConnector) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    connector.connect(name, stream).await.context("the TLS handshake")
}

/// Listens on a port of its own and carries every connection to `server` through TLS, for as long
/// as the runtime lives. A connection that cannot be made is hung up on.
///
/// # Errors
/// No port.
pub async fn open(server: SocketAddr, certificate: &Certificate) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let connector = certificate.connector()?;
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                near.set_nodelay(true)?;
                let mut far = connect(server, &connector).await?;
                copy_bidirectional(&mut near, &mut far).await?;
                anyhow::Ok(())
            });
        }
    });
    Ok(address)
}
