use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use klatch_outside::issuer::{Kind, SigningKey};
use klatch_ports::PortResult;
use klatch_ports::api::auth::{Credential, TokenError, TokenVerifier as _};
use klatch_ports::issuers::IssuerKeys;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::{advance, sleep};

use super::*;
use crate::{PublishedKeys, TrustedKeys};

/// An issuer's key set, and whether it can be asked for it.
#[derive(Default)]
struct Source {
    document: Mutex<String>,
    away: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl IssuerKeys for Source {
    async fn fetch(&self) -> PortResult<Bytes> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(PortError::new(ErrorKind::Unavailable, "issuer", "fetch keys"));
        }
        Ok(Bytes::from(self.document.lock().clone()))
    }
}

impl Source {
    fn publish(&self, keys: &[Value]) {
        *self.document.lock() = json!({ "keys": keys }).to_string();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }
}

/// A server that trusts `https://login.example` for the audience `chat`, and its keys.
fn trusting(keys: &[Value]) -> (World, Arc<Source>) {
    let source = Arc::new(Source::default());
    source.publish(keys);
    let keys = TrustedKeys::Published(PublishedKeys::new(Arc::clone(&source) as _));
    let trusted = vec![TrustedIssuer {
        issuer: "https://login.example".to_owned(),
        keys,
        audience: Some("chat".to_owned()),
        provision: true,
    }];
    (World::with(Config { trusted, ..config() }), source)
}

fn key(id: &str, kind: Kind) -> SigningKey {
    SigningKey::new(id, kind).unwrap()
}

fn claims(world: &World, subject: &str) -> Value {
    let exp = world.now_seconds() + 24 * 3_600;
    json!({"iss": "https://login.example", "sub": subject, "aud": "chat", "exp": exp})
}

fn with(value: &Value, field: &str, new: Value) -> Value {
    let mut value = value.clone();
    value[field] = new;
    value
}

async fn refusal(world: &World, token: &str) -> TokenError {
    world.auth.verify(token).await.expect_err(token)
}

#[tokio::test(start_paused = true)]
async fn published_keys_of_every_kind_let_their_users_in_and_are_fetched_once() {
    let keys = [key("r", Kind::Rsa(0)), key("e", Kind::P256), key("d", Kind::Ed25519)];
    let public: Vec<_> = keys.iter().map(SigningKey::public).collect();
    let (world, source) = trusting(&public);
    let mut users = Vec::new();
    for key in &keys {
        let token = key.token(&claims(&world, "zoe@login")).unwrap();
        let identity = world.auth.verify(&token).await.unwrap();
        assert_eq!(identity.credential, Credential::Issuer);
        users.push(identity.actor.user);
    }
    users.dedup();
    assert_eq!((users.len(), source.asked()), (1, 1), "one person, one request");
    // A token that names no key is taken when the algorithm leaves no choice.
    let nameless = json!({"alg": "ES256"});
    let token = keys[1].signed(&nameless, &claims(&world, "zoe@login")).unwrap();
    world.auth.verify(&token).await.unwrap();
    let second = key("e2", Kind::P256);
    source.publish(&[&public[..], &[second.public()]].concat());
    advance(Duration::from_secs(11)).await;
    world.auth.verify(&second.token(&claims(&world, "zoe@login")).unwrap()).await.unwrap();
    let token = keys[1].signed(&nameless, &claims(&world, "other")).unwrap();
    assert_eq!(refusal(&world, &token).await, TokenError::Invalid);
}

#[tokio::test(start_paused = true)]
async fn no_trick_with_algorithms_and_names_of_published_keys_opens_anything() {
    let keys = [key("r", Kind::Rsa(0)), key("e", Kind::P256), key("d", Kind::Ed25519)];
    let public: Vec<_> = keys.iter().map(SigningKey::public).collect();
    let (world, source) = trusting(&public);
    let good = claims(&world, "ann");
    world.auth.verify(&keys[0].token(&good).unwrap()).await.unwrap();
    let head = |alg: &str, kid: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let mut bad = Vec::new();
    // What everyone knows, taken for a shared secret.
    for (key, fields) in public.iter().zip([vec!["n"], vec!["x", "y"], vec!["x"]]) {
        for field in fields {
            let text = key[field].as_str().unwrap();
            for secret in [text.as_bytes().to_vec(), BASE64.decode(text).unwrap()] {
                for alg in ["HS256", "RS256", "ES256", "EdDSA"] {
                    bad.push(by_secret(&secret, &head(alg, key["kid"].as_str().unwrap()), &good));
                }
            }
        }
        bad.push(by_secret(key.to_string().as_bytes(), &head("HS256", "r"), &good));
    }
    // A key under another's name or algorithm; an algorithm that none of the keys has.
    for key in &keys {
        for kid in ["r", "e", "d"].into_iter().filter(|kid| *kid != key.id()) {
            bad.push(key.signed(&head(key.algorithm(), kid), &good).unwrap());
        }
        for alg in ["RS256", "ES256", "EdDSA", "HS256", "none", "RS512", "PS256", "ES384", ""] {
            if alg != key.algorithm() {
                bad.push(key.signed(&head(alg, key.id()), &good).unwrap());
            }
        }
    }
    // Somebody else's key that the token brings, or says where to fetch.
    let own = key("r", Kind::Rsa(1));
    for (field, value) in [
        ("jwk", own.public()),
        ("jku", json!("http://127.0.0.1:9/keys")),
        ("x5u", json!("http://127.0.0.1:9/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        bad.push(own.signed(&with(&head("RS256", "r"), field, value), &good).unwrap());
    }
    for (field, value) in [
        ("aud", json!("shop")),
        ("aud", Value::Null),
        ("iss", json!("https://login.example/")),
        ("sub", json!("")),
        ("nbf", json!(world.now_seconds() + 61)),
        ("iat", json!(world.now_seconds() + 61)),
        ("exp", Value::Null),
    ] {
        bad.push(keys[1].token(&with(&good, field, value)).unwrap());
    }
    let token = keys[2].token(&good).unwrap();
    bad.push(format!("{}.", token.rsplit_once('.').unwrap().0));
    for (index, token) in bad.iter().enumerate() {
        assert_eq!(refusal(&world, token).await, TokenError::Invalid, "{index}");
    }
    let old = keys[2].token(&with(&good, "exp", json!(world.now_seconds() - 31))).unwrap();
    assert_eq!(refusal(&world, &old).await, TokenError::Expired);
    assert_eq!(source.asked(), 1, "none of that makes the issuer be asked");
}

fn by_secret(secret: &[u8], head: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

#[tokio::test(start_paused = true)]
async fn a_new_key_works_at_once_and_names_of_none_ask_the_issuer_seldom() {
    let (old, new) = (key("old", Kind::Ed25519), key("new", Kind::P256));
    let (world, source) = trusting(&[old.public()]);
    world.auth.verify(&old.token(&claims(&world, "ann")).unwrap()).await.unwrap();
    advance(Duration::from_secs(11)).await;
    source.publish(&[old.public(), new.public()]);
    // A crowd comes with tokens of the new key at once.
    let tokens: Vec<_> =
        (0..20).map(|n| new.token(&claims(&world, &format!("p{n}"))).unwrap()).collect();
    let answers =
        futures::future::join_all(tokens.iter().map(|token| world.auth.verify(token))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(source.asked(), 2);
    // A thousand made-up names cost one request in ten seconds.
    for n in 0..1_000 {
        let made_up = key("old", Kind::Ed25519);
        let head = json!({"alg": "EdDSA", "kid": format!("made up {n}")});
        let token = made_up.signed(&head, &claims(&world, "eve")).unwrap();
        assert_eq!(refusal(&world, &token).await, TokenError::Invalid);
        if n == 500 {
            advance(Duration::from_secs(11)).await;
        }
    }
    assert_eq!(source.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_taken_back_works_no_more_and_what_it_proved_neither() {
    let (old, new) = (key("old", Kind::Ed25519), key("new", Kind::P256));
    let (world, source) = trusting(&[old.public(), new.public()]);
    let token = old.token(&claims(&world, "ann")).unwrap();
    let test = async {
        sleep(Duration::from_secs(1)).await;
        world.auth.verify(&token).await.unwrap();
        source.publish(&[new.public()]);
        sleep(Duration::from_mins(9)).await;
        world.auth.verify(&token).await.unwrap();
        sleep(Duration::from_mins(2)).await;
        assert_eq!(refusal(&world, &token).await, TokenError::Invalid);
    };
    tokio::select! {
        () = test => {}
        () = world.auth.run_issuers() => panic!("ended"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_key_is_taken_back_while_it_is_checked_has_to_be_proven_again() {
    let (old, new) = (key("old", Kind::Ed25519), key("new", Kind::P256));
    let (world, source) = trusting(&[old.public()]);
    world.auth.verify(&old.token(&claims(&world, "ann")).unwrap()).await.unwrap();
    let token = old.token(&claims(&world, "bea")).unwrap();
    // The signature is checked, and good; then who is seen for the first time waits.
    let waiting = world.auth.first_sight.lock().await;
    let taken_back = async {
        source.publish(&[new.public()]);
        advance(Duration::from_secs(11)).await;
        world.auth.verify(&new.token(&claims(&world, "ann")).unwrap()).await.unwrap();
        drop(waiting);
    };
    let (first, ()) = tokio::join!(world.auth.verify(&token), taken_back);
    assert!(first.is_ok(), "it was checked before: {first:?}");
    assert_eq!(refusal(&world, &token).await, TokenError::Invalid);
}

#[tokio::test(start_paused = true)]
async fn what_keys_proved_that_are_given_up_at_last_has_to_be_proven_again() {
    let old = key("old", Kind::Ed25519);
    let (world, source) = trusting(&[old.public()]);
    let exp = json!(world.now_seconds() + 30 * 24 * 3_600);
    let token = old.token(&with(&claims(&world, "ann"), "exp", exp)).unwrap();
    let test = async {
        sleep(Duration::from_secs(1)).await;
        world.auth.verify(&token).await.unwrap();
        source.is_away(true);
        sleep(Duration::from_hours(23)).await;
        world.auth.verify(&token).await.unwrap();
        sleep(Duration::from_mins(90)).await;
        assert_eq!(refusal(&world, &token).await, TokenError::Unavailable);
    };
    tokio::select! {
        () = test => {}
        () = world.auth.run_issuers() => panic!("ended"),
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_issuer_is_away_the_last_good_keys_count_for_a_day() {
    let (old, new) = (key("old", Kind::Ed25519), key("new", Kind::P256));
    let (world, source) = trusting(&[old.public()]);
    let fresh = |n: usize| old.token(&with(&claims(&world, "ann"), "n", json!(n))).unwrap();
    source.is_away(true);
    // Nothing is known yet: it may be good, so whoever has it is not sent away for good.
    assert_eq!(refusal(&world, &fresh(0)).await, TokenError::Unavailable);
    let test = async {
        source.is_away(false);
        sleep(Duration::from_secs(11)).await;
        world.auth.verify(&fresh(1)).await.unwrap();
        source.is_away(true);
        for hour in 0..23 {
            sleep(Duration::from_hours(1)).await;
            world.auth.verify(&fresh(hour)).await.unwrap();
        }
        // A key that might be new cannot be asked for; what comes in its place is no key set.
        let token = new.token(&claims(&world, "ann")).unwrap();
        assert_eq!(refusal(&world, &token).await, TokenError::Unavailable);
        source.is_away(false);
        for junk in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":{}}"#, "<html>"] {
            *source.document.lock() = junk.to_owned();
            sleep(Duration::from_secs(11)).await;
            assert_eq!(refusal(&world, &token).await, TokenError::Unavailable, "{junk}");
            world.auth.verify(&fresh(0)).await.unwrap();
        }
        sleep(Duration::from_hours(1)).await;
        assert_eq!(refusal(&world, &fresh(100)).await, TokenError::Unavailable);
        source.publish(&[old.public(), new.public()]);
        sleep(Duration::from_mins(10)).await;
        world.auth.verify(&token).await.unwrap();
    };
    tokio::select! {
        () = test => {}
        () = world.auth.run_issuers() => panic!("ended"),
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_keys_are_left_out_and_hostile_sets_refused() {
    let good = key("good", Kind::Ed25519);
    let (rsa, point) = (key("k", Kind::Rsa(0)).public(), key("k", Kind::P256).public());
    let edwards = key("k", Kind::Ed25519).public();
    let zeros = |count: usize| json!(BASE64.encode(vec![0; count]));
    let ones = |count: usize| json!(BASE64.encode(vec![255; count]));
    let hostile = [
        json!({"kty": "oct", "kid": "k", "k": BASE64.encode([7; 32])}),
        json!({"kty": "oct", "kid": "k", "alg": "HS256", "k": ""}),
        with(&rsa, "n", ones(128)),
        with(&rsa, "n", ones(1_024)),
        with(&rsa, "n", zeros(256)),
        with(&rsa, "e", json!("AQ")),
        with(&rsa, "e", json!("Ag")),
        with(&rsa, "e", ones(200)),
        with(&rsa, "alg", json!("HS256")),
        with(&rsa, "alg", json!("none")),
        with(&rsa, "use", json!("enc")),
        with(&rsa, "key_ops", json!(["encrypt"])),
        with(&rsa, "n", json!(7)),
        with(&point, "crv", json!("P-384")),
        with(&point, "x", zeros(31)),
        with(&edwards, "x", zeros(32)),
        with(&edwards, "x", ones(32)),
        with(&edwards, "crv", json!("X25519")),
        with(&edwards, "kid", json!("k".repeat(300))),
        with(&edwards, "kid", json!({"$ne": null})),
        json!(null),
        json!("k"),
        json!([[[[[]]]]]),
    ];
    let (world, source) = trusting(&[&hostile[..], &[good.public()]].concat());
    world.auth.verify(&good.token(&claims(&world, "ann")).unwrap()).await.unwrap();
    // None of them is there, so tokens that name them name nobody.
    for signer in [key("k", Kind::Rsa(0)), key("k", Kind::Ed25519)] {
        let token = signer.token(&claims(&world, "ann")).unwrap();
        assert_eq!(refusal(&world, &token).await, TokenError::Invalid);
    }
    // Points that are on no curve are there and let nobody in.
    let flat = with(&with(&point, "x", zeros(32)), "y", zeros(32));
    source.publish(&[flat, good.public()]);
    advance(Duration::from_secs(11)).await;
    let token = key("k", Kind::P256).token(&claims(&world, "ann")).unwrap();
    assert_eq!(refusal(&world, &token).await, TokenError::Invalid);
    // Sets that are too large are refused as a whole; the last good one stays.
    let new = key("new", Kind::Ed25519);
    let many: Vec<_> = std::iter::repeat_n(new.public(), 65).collect();
    let padded = with(&new.public(), "x5c", json!("x".repeat(70_000)));
    for keys in [many, vec![padded]] {
        source.publish(&keys);
        advance(Duration::from_secs(11)).await;
        let token = new.token(&claims(&world, "ann")).unwrap();
        assert_eq!(refusal(&world, &token).await, TokenError::Unavailable);
        world.auth.verify(&good.token(&claims(&world, "bea")).unwrap()).await.unwrap();
    }
}

#[test]
fn a_published_issuer_must_say_for_whom_its_tokens_are() {
    let keys = TrustedKeys::Published(PublishedKeys::new(Arc::new(Source::default())));
    let issuer = TrustedIssuer {
        issuer: "https://login.example".to_owned(),
        keys,
        audience: None,
        provision: false,
    };
    let refused = Config { trusted: vec![issuer], ..config() }.validate().unwrap_err();
    assert!(refused.to_string().contains("audience"), "{refused}");
}
