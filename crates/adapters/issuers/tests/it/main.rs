//! Keys fetched from a real HTTP server, and from one that means no good.
#![cfg(test)]

use std::time::{Duration, Instant};

use klatch_issuers::{AddressError, DOCUMENT_BYTES_MAX, PublishedKeys};
use klatch_outside::Certificate;
use klatch_outside::issuer::{Issuer, Kind, Manner, SigningKey};
use klatch_ports::ErrorKind;
use klatch_ports::issuers::IssuerKeys as _;

fn key() -> SigningKey {
    SigningKey::new("one", Kind::Ed25519).unwrap()
}

#[tokio::test]
async fn keys_come_by_http_on_this_machine_and_by_https_from_whom_is_believed() {
    let (key, certificate) = (key(), Certificate::new().unwrap());
    let wanted = serde_json::json!({"keys": [key.public()]}).to_string();
    let plain = Issuer::open(&[&key], None).await.unwrap();
    let keys = PublishedKeys::new(&plain.url(), None).unwrap();
    assert_eq!(keys.fetch().await.unwrap(), wanted);
    let acceptor = certificate.acceptor().unwrap();
    let secret = Issuer::open(&[&key], Some(acceptor)).await.unwrap();
    let ca = certificate.pem();
    let keys = PublishedKeys::new(&secret.url(), Some(ca.as_bytes())).unwrap();
    assert_eq!(keys.fetch().await.unwrap(), wanted);
    // Somebody else's certificate, or one that only this issuer itself vouches for.
    let strange = Certificate::new().unwrap().pem();
    for ca in [None, Some(strange.as_bytes())] {
        let keys = PublishedKeys::new(&secret.url(), ca).unwrap();
        assert_eq!(keys.fetch().await.unwrap_err().kind, ErrorKind::Unavailable);
    }
    assert_eq!(secret.asked(), 1);
}

#[tokio::test]
async fn answers_that_are_none_or_too_long_or_lead_elsewhere_are_refused() {
    let issuer = Issuer::open(&[&key()], None).await.unwrap();
    let keys = PublishedKeys::new(&issuer.url(), None).unwrap();
    let longest = "x".repeat(DOCUMENT_BYTES_MAX);
    issuer.behave(Manner::Says(200, longest.clone()));
    assert_eq!(keys.fetch().await.unwrap().len(), DOCUMENT_BYTES_MAX);
    let bad = [
        (200, format!("{longest}x")),
        (200, "x".repeat(50_000_000)),
        (204, String::new()),
        (301, "{}".to_owned()),
        (302, "{}".to_owned()),
        (404, "{}".to_owned()),
        (500, "{}".to_owned()),
    ];
    for (status, text) in bad {
        issuer.behave(Manner::Says(status, text));
        let before = issuer.asked();
        let error = keys.fetch().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{status}");
        assert_eq!(issuer.asked(), before + 1, "followed a redirect");
    }
    let address = issuer.address();
    drop(issuer);
    assert_eq!(keys.fetch().await.unwrap_err().kind, ErrorKind::Unavailable);
    // It comes back.
    let _again = Issuer::open_at(address, &[&key()], None).await.unwrap();
    keys.fetch().await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_says_nothing_is_left_after_five_seconds() {
    let issuer = Issuer::open(&[&key()], None).await.unwrap();
    issuer.behave(Manner::Silent);
    let keys = PublishedKeys::new(&issuer.url(), None).unwrap();
    let begun = Instant::now();
    assert_eq!(keys.fetch().await.unwrap_err().kind, ErrorKind::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn certificates_that_are_none_are_refused() {
    let start = |ca: &str| PublishedKeys::new("https://issuer.example", Some(ca.as_bytes()));
    for ca in ["nothing", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"] {
        assert_eq!(start(ca).unwrap_err(), AddressError::Ca);
    }
}
