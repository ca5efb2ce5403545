//! A client's first steps towards a server: finding it, TLS, a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

/// Most time for each step.
pub(super) const STEP: Duration = Duration::from_secs(5);
/// Most bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A connection, whatever is below it.
pub(super) type Stream = Box<dyn Duplex>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    /// Whose certificate is to be believed, if there is TLS.
    pub(super) tls: Option<Trust>,
    /// Where the interface begins: empty, or a path without a slash at its end.
    pub(super) prefix: String,
}

/// Whose certificate is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Those that this system trusts.
    System,
    /// This one and no other.
    Exactly(CertificateDer<'static>),
}

/// Why a place could not be reached, in words.
#[derive(Debug)]
pub(super) enum Unreachable {
    /// Nobody is there.
    Connect(String),
    /// Somebody is there, and their certificate or their TLS is no good.
    Tls(String),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) json: serde_json::Value,
}

impl Answer {
    /// A value of the answer; null when there is none.
    pub(super) fn value(&self, key: &str) -> &serde_json::Value {
        self.json.get(key).unwrap_or(&serde_json::Value::Null)
    }

    /// A text of the answer.
    pub(super) fn text(&self, key: &str) -> &str {
        self.value(key).as_str().unwrap_or("?")
    }
}

impl Place {
    /// `http(s)://host[:port][/prefix]`.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.trim_end_matches('/').parse().ok()?;
        let tls = match uri.scheme_str()? {
            "http" => None,
            "https" => Some(Trust::System),
            _ => return None,
        };
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Some(Self { host, port, tls, prefix })
    }

    /// A server that listens here.
    pub(super) fn here(address: SocketAddr, tls: Option<Trust>) -> Self {
        let host = address.ip().to_string();
        Self { host, port: address.port(), tls, prefix: String::new() }
    }

    /// What belongs into `Host`.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Connects; with TLS also gives the certificate that was shown.
    pub(super) async fn connect(
        &self,
    ) -> Result<(Stream, Option<CertificateDer<'static>>), Unreachable> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = match timeout(STEP, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Unreachable::Connect(error.to_string())),
            Err(_) => return Err(Unreachable::Connect(format!("no answer within {STEP:?}"))),
        };
        let Some(trust) = &self.tls else { return Ok((Box::new(stream), None)) };
        let wrong = |error: &dyn std::fmt::Display| Unreachable::Tls(error.to_string());
        let config = client_config(trust).map_err(|error| wrong(&error))?;
        let name = ServerName::try_from(self.host.clone()).map_err(|error| wrong(&error))?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        match timeout(STEP, handshake).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let first = shown.and_then(|chain| chain.first()).map(|c| c.clone().into_owned());
                Ok((Box::new(stream), first))
            }
            Ok(Err(error)) => Err(wrong(&error)),
            Err(_) => Err(Unreachable::Tls(format!("no handshake within {STEP:?}"))),
        }
    }

    /// GET of a path of the interface.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Unreachable> {
        let (stream, _) = self.connect().await?;
        let asked = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let request = Request::get(format!("{}{path}", self.prefix))
                .header("host", self.authority())
                .body(Empty::<Bytes>::new())?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let bytes = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            let json = serde_json::from_slice(&bytes).unwrap_or_default();
            anyhow::Ok(Answer { status: head.status.as_u16(), json })
        };
        match timeout(STEP, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Unreachable::Connect(format!("no HTTP: {error}"))),
            Err(_) => Err(Unreachable::Connect(format!("no answer within {STEP:?}"))),
        }
    }
}

fn client_config(trust: &Trust) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut config = match trust {
        Trust::System => {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            let (_, _) = roots.add_parsable_certificates(found.certs);
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::Exactly(certificate) => {
            let verifier = Pinned { certificate: certificate.clone(), provider };
            let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
            builder.with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Believes one certificate, whatever its name and dates; signatures are checked all the same.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(TlsError::General("another certificate was shown".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let place = |url: &str| {
            let Place { host, port, tls, prefix } = Place::parse(url)?;
            Some((host, port, tls.is_some(), prefix))
        };
        let of = |host: &str, port, tls, prefix: &str| {
            Some((host.to_owned(), port, tls, prefix.to_owned()))
        };
        assert_eq!(place("http://chat.example"), of("chat.example", 80, false, ""));
        assert_eq!(place("https://chat.example/"), of("chat.example", 443, true, ""));
        assert_eq!(place("https://[::1]:8443/chat/"), of("::1", 8443, true, "/chat"));
        for bad in ["", "chat.example", "ftp://x", "http://", "ws://x"] {
            assert_eq!(place(bad), None, "{bad}");
        }
        assert_eq!(Place::parse("http://[::1]:1").unwrap().authority(), "[::1]:1");
    }
}
