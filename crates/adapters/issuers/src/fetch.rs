//! One request, one answer, nobody followed.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use klatch_ports::issuers::IssuerKeys;
use klatch_ports::{ErrorKind, PortError, PortResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::address::{Address, AddressError};
use crate::{DOCUMENT_BYTES_MAX, TIME_MOST};

const ENGINE: &str = "issuer";

/// Keys at an address.
pub struct PublishedKeys {
    address: Address,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for PublishedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublishedKeys({})", self.address.authority)
    }
}

impl PublishedKeys {
    /// Keys at `url`; `ca` is PEM of certificates that are believed besides those that the system
    /// trusts. Asks nobody yet.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong with which.
    pub fn new(url: &str, ca: Option<&[u8]>) -> Result<Self, AddressError> {
        let address = Address::parse(url)?;
        let tls = if address.tls {
            let name = ServerName::try_from(address.host.clone());
            Some((trust(ca)?, name.map_err(|_| AddressError::Malformed)?))
        } else {
            None
        };
        Ok(Self { address, tls })
    }

    async fn ask(&self) -> PortResult<Bytes> {
        let Address { host, port, .. } = &self.address;
        let unreachable = |error: std::io::Error| fault(ErrorKind::Unavailable, &error);
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
        match &self.tls {
            None => self.get(stream).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                self.get(stream.map_err(unreachable)?).await
            }
        }
    }

    async fn get(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> PortResult<Bytes> {
        let odd = |error: &dyn std::fmt::Display| fault(ErrorKind::Unavailable, error);
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| odd(&error))?;
        let request = Request::get(&self.address.path)
            .header(http::header::HOST, &self.address.authority)
            .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|error| odd(&error))?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(|error| odd(&error))?;
            if answer.status() != StatusCode::OK {
                return Err(odd(&format!("it answered {}", answer.status().as_u16())));
            }
            let body = Limited::new(answer.into_body(), DOCUMENT_BYTES_MAX).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|error| odd(&error))
        };
        // Bytes come while the connection is looked after; how it ends, the answer tells.
        let looked_after = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            answer = answer => answer,
            never = looked_after => never,
        }
    }
}

#[async_trait]
impl IssuerKeys for PublishedKeys {
    async fn fetch(&self) -> PortResult<Bytes> {
        let late = |_| PortError::new(ErrorKind::Timeout, ENGINE, "fetch keys");
        timeout(TIME_MOST, self.ask()).await.map_err(late)?
    }
}

fn fault(kind: ErrorKind, reason: &dyn std::fmt::Display) -> PortError {
    PortError::new(kind, ENGINE, "fetch keys").because(reason.to_string())
}

/// The system's certificates and those of `ca`.
fn trust(ca: Option<&[u8]>) -> Result<TlsConnector, AddressError> {
    let mut roots = RootCertStore::empty();
    let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = ca {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let found = found.ok().filter(|found| !found.is_empty()).ok_or(AddressError::Ca)?;
        for certificate in found {
            roots.add(certificate).map_err(|_| AddressError::Ca)?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| AddressError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
