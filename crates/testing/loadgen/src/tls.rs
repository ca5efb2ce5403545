//! TLS to a server under load: a certificate of `localhost` made for it, and who trusts just that.
//!
//! The certificate is written here, some thirty lines of DER around a key of ring's, which TLS
//! brings along: a crate that makes certificates would bring seven others into the server.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Whom the certificate names.
const NAME: &str = "localhost";

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const TEXT: u8 = 0x0c;
const TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// A DNS name among alternative names.
const DNS: u8 = 0x82;
/// The fields of a certificate that may be absent: its version, its extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// 1.2.840.10045.4.3.2, 1.2.840.10045.2.1, 1.2.840.10045.3.1.7, 2.5.4.3, 2.5.29.17.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 29, 17];

/// A certificate that vouches for itself until 2049, with its key (ECDSA P-256).
pub(crate) struct Certificate {
    der: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub(crate) fn new() -> Result<Self> {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let failed = |_| anyhow!("no key could be made");
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random)
            .map_err(|error| anyhow!("the key just made: {error}"))?;
        let said = to_be_signed(pair.public_key().as_ref());
        let signature = pair.sign(&random, &said).map_err(failed)?;
        let der = of(SEQUENCE, &[&said, &signature_kind(), &bits(signature.as_ref())]);
        Ok(Self { der, key: key.as_ref().to_vec() })
    }

    pub(crate) fn cert_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }
}

/// Everything but the signature.
fn to_be_signed(public_key: &[u8]) -> Vec<u8> {
    let object = |id: &[u8]| of(OBJECT, &[id]);
    let common_name = of(SEQUENCE, &[&object(COMMON_NAME), &of(TEXT, &[NAME.as_bytes()])]);
    let who = of(SEQUENCE, &[&of(SET, &[&common_name])]);
    let time = |text: &[u8]| of(TIME, &[text]);
    let validity = of(SEQUENCE, &[&time(b"000101000000Z"), &time(b"491231235959Z")]);
    let key_kind = of(SEQUENCE, &[&object(EC_KEY), &object(P256)]);
    let names = of(OCTETS, &[&of(SEQUENCE, &[&of(DNS, &[NAME.as_bytes()])])]);
    let extension = of(SEQUENCE, &[&object(ALTERNATIVE_NAMES), &names]);
    of(
        SEQUENCE,
        &[
            // The third version.
            &of(VERSION, &[&of(INTEGER, &[&[2]])]),
            &of(INTEGER, &[&[1]]),
            &signature_kind(),
            &who,
            &validity,
            &who,
            &of(SEQUENCE, &[&key_kind, &bits(public_key)]),
            &of(EXTENSIONS, &[&of(SEQUENCE, &[&extension])]),
        ],
    )
}

fn signature_kind() -> Vec<u8> {
    of(SEQUENCE, &[&of(OBJECT, &[ECDSA_WITH_SHA256])])
}

/// A string of bits whose number is one of whole bytes.
fn bits(bytes: &[u8]) -> Vec<u8> {
    of(BITS, &[&[0], bytes])
}

/// Tag, length and content; a certificate is far below the 64 KiB that two bytes can tell.
fn of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, 0..0x80) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend(content);
    out
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines = der.chunks(48).map(|line| STANDARD.encode(line) + "\n");
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}

/// Trusts one certificate and nothing else, speaks TLS 1.3, and shakes hands in full each time.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    pub(crate) fn only(certificate: &Certificate) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certificate.der.clone()))?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// The client's side of a new connection.
    pub(crate) fn client(&self) -> Result<ClientConnection> {
        let client = ClientConnection::new(Arc::clone(&self.0), ServerName::try_from(NAME)?);
        client.context("a TLS client")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::{Error, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};

    use super::*;

    fn server(certificate: &Certificate) -> ServerConnection {
        let cert = CertificateDer::from_pem_slice(certificate.cert_pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .unwrap();
        ServerConnection::new(Arc::new(config)).unwrap()
    }

    fn shake_hands(
        client: &mut ClientConnection,
        server: &mut ServerConnection,
    ) -> Result<(), Error> {
        while client.is_handshaking() || client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_certificate_made_here_is_trusted_by_who_knows_it_and_by_nobody_else() {
        let certificate = Certificate::new().unwrap();
        let trust = Trust::only(&certificate).unwrap();
        for _ in 0..2 {
            let (mut client, mut server) = (trust.client().unwrap(), server(&certificate));
            shake_hands(&mut client, &mut server).unwrap();
            assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full), "none is resumed");
            server.writer().write_all(b"hello").unwrap();
            shake_hands(&mut client, &mut server).unwrap();
            let mut heard = [0; 5];
            client.reader().read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
        }
        let mut other = Trust::only(&Certificate::new().unwrap()).unwrap().client().unwrap();
        let refused = shake_hands(&mut other, &mut server(&certificate)).unwrap_err();
        assert!(matches!(refused, Error::InvalidCertificate(_)), "{refused}");
    }

    #[test]
    fn lengths_of_der_take_one_two_or_three_bytes() {
        assert_eq!(of(4, &[&[7; 3]])[..2], [4, 3]);
        assert_eq!(of(4, &[&[7; 200]])[..3], [4, 0x81, 200]);
        assert_eq!(of(4, &[&[7; 300], &[8]])[..4], [4, 0x82, 1, 45]);
    }
}
