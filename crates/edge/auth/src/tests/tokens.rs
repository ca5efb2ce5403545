use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use klatch_domain::user::ServerRole;
use klatch_ports::accounts::{Account, AccountStore};
use klatch_ports::api::auth::{TokenError, TokenVerifier as _};
use serde_json::{Value, json};
use sha2::Sha256;

use klatch_domain::audit::By;
use klatch_domain::permission::Actor;
use klatch_ports::api::accounts::AccountApi as _;

use super::*;

fn part(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

fn hs256(secret: &[u8], signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

/// A token with this header and these claims, signed with HS256.
fn signed(secret: &[u8], header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    format!("{text}.{}", hs256(secret, &text))
}

/// A token with this header and these claims, signed as the server does.
fn by_server(seed: u8, header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    let signature = SigningKeys::new(&[seed; 32], &[]).sign(text.as_bytes());
    format!("{text}.{}", BASE64.encode(signature))
}

fn decoded(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

fn with(value: &Value, key: &str, new: Value) -> Value {
    let mut value = value.clone();
    value[key] = new;
    value
}

#[tokio::test]
async fn an_access_token_says_who_and_until_when_and_nothing_of_roles() {
    let world = World::new();
    let signed_in = world.register("ann").await;
    let header = decoded(&signed_in.access_token, 0);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    let now = world.now_seconds();
    let wanted = json!({
        "iss": "klatch",
        "sub": signed_in.user.to_string(),
        "sid": signed_in.session.to_string(),
        "iat": now,
        "exp": now + 900,
    });
    assert_eq!(decoded(&signed_in.access_token, 1), wanted);
}

#[tokio::test]
async fn a_token_ends_when_it_says_also_if_it_was_checked_before() {
    let world = World::new();
    let token = world.register("ann").await.access_token;
    assert!(world.auth.verify(&token).await.is_ok());
    world.clock.advance(Duration::from_secs(899));
    assert!(world.auth.verify(&token).await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.auth.verify(&token).await, Err(TokenError::Expired));
    assert_eq!(world.restarted().auth.verify(&token).await, Err(TokenError::Expired));
}

#[tokio::test]
async fn a_token_that_this_process_signed_is_known_and_ends_like_any_other() {
    let world = World::new();
    let known = |token: &str| world.auth.verifier.knows(token);
    let ann = world.register("ann").await;
    assert!(known(&ann.access_token));
    world.auth.verify(&ann.access_token).await.unwrap();
    let again = world.auth.refresh(&ann.refresh_token).await.unwrap();
    assert!(known(&again.access_token));
    // Its session ends.
    world.auth.logout(ann.session).await.unwrap();
    for token in [&ann.access_token, &again.access_token] {
        assert_eq!(world.auth.verify(token).await, Err(TokenError::Revoked));
    }
    // Its key is forgotten.
    let bea = world.register("bea").await;
    world.auth.rotate_keys(By::Operator, true).await.unwrap();
    assert!(!known(&bea.access_token));
    assert_eq!(world.auth.verify(&bea.access_token).await, Err(TokenError::Invalid));
    // Its time is up, to the second.
    let cleo = world.register("cleo").await;
    assert!(known(&cleo.access_token));
    let ends = decoded(&cleo.access_token, 1)["exp"].as_u64().unwrap() * 1_000;
    world.clock.advance(Duration::from_millis(ends - world.clock.now().0 - 1));
    world.auth.verify(&cleo.access_token).await.unwrap();
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.auth.verify(&cleo.access_token).await, Err(TokenError::Expired));
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::new();
    let signed_in = world.register("ann").await;
    let token = &signed_in.access_token;
    let (header, claims) = (decoded(token, 0), decoded(token, 1));
    let text = format!("{}.{}", part(&header), part(&claims));
    let public = {
        let seed = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        seed.verifying_key().to_bytes()
    };
    let unsigned =
        |alg: &str| format!("{}.{}.", part(&with(&header, "alg", json!(alg))), part(&claims));
    let forged = [
        // No signature at all, by any spelling of "none".
        unsigned("none"),
        unsigned("None"),
        unsigned("EdDSA"),
        format!("{text}."),
        text.clone(),
        // The public key, known to all, taken for a shared secret.
        signed(&public, &with(&header, "alg", json!("HS256")), &claims),
        signed(SECRET, &with(&header, "alg", json!("HS256")), &claims),
        // Another server's key, under our key's name and its own.
        by_server(2, &header, &claims),
        by_server(2, &with(&header, "kid", json!("x")), &claims),
        // Another's key that the token itself brings, or says where to fetch.
        by_server(2, &with(&header, "jku", json!("https://evil.example/keys")), &claims),
        by_server(2, &with(&header, "x5u", json!("https://evil.example/cert.pem")), &claims),
        by_server(2, &with(&header, "jwk", own_key(2)), &claims),
        by_server(2, &with(&header, "kid", json!("' or 1=1 --")), &claims),
        // Our key, but not as we sign.
        by_server(1, &with(&header, "kid", json!("../../etc/passwd")), &claims),
        by_server(1, &with(&header, "kid", Value::Null), &claims),
        by_server(1, &with(&header, "typ", json!("JWT")), &claims),
        by_server(1, &with(&header, "alg", json!("RS256")), &claims),
        by_server(1, &with(&header, "crit", json!(["b64"])), &claims),
        by_server(1, &header, &with(&claims, "iss", json!("another"))),
        by_server(1, &header, &with(&claims, "sub", json!("admin"))),
        by_server(1, &header, &with(&claims, "sid", Value::Null)),
        by_server(1, &header, &with(&claims, "exp", Value::Null)),
        by_server(1, &header, &with(&claims, "nbf", json!(world.now_seconds() + 61))),
        by_server(1, &header, &with(&claims, "iat", json!(world.now_seconds() + 61))),
    ];
    for (index, forged) in forged.iter().enumerate() {
        assert_eq!(world.auth.verify(forged).await, Err(TokenError::Invalid), "{index}");
    }
    for text in
        ["", ".", "..", "...", "a.b.c", "Bearer x", &"x".repeat(100_000), &signed_in.refresh_token]
    {
        assert_eq!(world.auth.verify(text).await, Err(TokenError::Invalid));
    }
    // The tools above make good tokens of good claims.
    assert!(world.auth.verify(&by_server(1, &header, &claims)).await.is_ok());
}

/// The public half of a key as a token may bring it.
fn own_key(seed: u8) -> Value {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
    json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(key.to_bytes())})
}

#[tokio::test]
async fn a_role_in_a_token_counts_for_nothing() {
    let world = World::new();
    let signed_in = world.register("ann").await;
    let token = &signed_in.access_token;
    let (header, mut claims) = (decoded(token, 0), decoded(token, 1));
    for claim in ["role", "roles", "admin", "scope", "scopes", "groups"] {
        claims[claim] = json!("admin");
    }
    let own = world.auth.verify(&by_server(1, &header, &claims)).await.unwrap();
    assert_eq!(own.actor.role, ServerRole::Member);
    let mut claims = shop_claims(&world, "ann");
    claims["role"] = json!("admin");
    let foreign = signed(SECRET, &json!({"alg": "HS256", "typ": "JWT"}), &claims);
    let foreign = world.auth.verify(&foreign).await.unwrap();
    assert_eq!(foreign.actor.role, ServerRole::Member);
}

#[tokio::test]
async fn every_changed_letter_makes_a_token_invalid() {
    let world = World::new();
    let token = world.register("ann").await.access_token;
    assert!(world.auth.verify(&token).await.is_ok());
    for position in 0..token.len() {
        let mut bent = token.clone().into_bytes();
        bent[position] = if bent[position] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).unwrap();
        assert_eq!(world.auth.verify(&bent).await, Err(TokenError::Invalid), "{position}");
    }
}

#[tokio::test]
async fn a_token_of_another_persons_session_is_refused() {
    let world = World::new();
    let ann = world.register("ann").await;
    let eve = world.register("eve").await;
    let (header, claims) = (decoded(&ann.access_token, 0), decoded(&ann.access_token, 1));
    let mixed = by_server(1, &header, &with(&claims, "sid", json!(eve.session.to_string())));
    assert_eq!(world.auth.verify(&mixed).await, Err(TokenError::Revoked));
}

#[tokio::test]
async fn tokens_of_an_older_key_are_accepted_while_it_is_known() {
    let world = World::new();
    let signed_in = world.register("ann").await;
    let World { clock, accounts, keys, ring, log, entropy, secrets: _, auth: _ } = world;
    let start = |signing: SigningKeys| {
        let durable = Durable {
            accounts: Arc::clone(&accounts),
            keys: Arc::clone(&keys),
            ring: Arc::clone(&ring),
            log: Arc::clone(&log),
        };
        let world = World::start(clock.clone(), Arc::clone(&entropy), durable, config());
        *world.auth.keys.write() = Arc::new(signing);
        world
    };
    let rotated = start(SigningKeys::new(&[9; 32], &[[1; 32]]));
    assert!(rotated.auth.verify(&signed_in.access_token).await.is_ok());
    let forgotten = start(SigningKeys::new(&[9; 32], &[]));
    assert_eq!(forgotten.auth.verify(&signed_in.access_token).await, Err(TokenError::Invalid));
    assert!(forgotten.auth.refresh(&signed_in.refresh_token).await.is_err());
    let refreshed = rotated.auth.refresh(&signed_in.refresh_token).await.unwrap();
    assert!(forgotten.auth.verify(&refreshed.access_token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_role_comes_from_the_account_within_a_second() {
    let world = World::new();
    let signed_in = world.register("ann").await;
    let role = async || world.auth.verify(&signed_in.access_token).await.unwrap().actor.role;
    assert_eq!(role().await, ServerRole::Member);
    let account = AccountStore::get(&*world.accounts, signed_in.user).await.unwrap().unwrap();
    world.accounts.put(&[Account { role: ServerRole::Admin, ..account }]).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(role().await, ServerRole::Admin);
}

fn shop_claims(world: &World, subject: &str) -> Value {
    json!({"iss": "shop", "sub": subject, "exp": world.now_seconds() + 60})
}

#[tokio::test]
async fn a_trusted_issuer_names_users_and_brings_its_own() {
    let world = World::new();
    let ann = world.register("ann").await;
    let header = json!({"alg": "HS256"});
    let token = |subject| signed(SECRET, &header, &shop_claims(&world, subject));
    let identity = world.auth.verify(&token("Ann")).await.unwrap();
    assert_eq!((identity.actor.user, identity.session()), (ann.user, None));
    let claims = with(&shop_claims(&world, "customer/77"), "name", json!("Zoë Q."));
    let first = world.auth.verify(&signed(SECRET, &header, &claims)).await.unwrap();
    let again = world.auth.verify(&token("customer/77")).await.unwrap();
    assert_eq!(first.actor, again.actor);
    assert_ne!(first.actor.user, ann.user);
    let account = AccountStore::get(&*world.accounts, first.actor.user).await.unwrap().unwrap();
    let profile = world.ring.open_profile(&account.profile).await.unwrap().unwrap();
    assert_eq!(
        (profile.username.as_str(), profile.display_name.as_str()),
        ("customer-77", "Zoë Q.")
    );
    assert_eq!(world.events().await.len(), 2);
    // Known after a restart too.
    let world = world.restarted();
    let later = signed(SECRET, &header, &shop_claims(&world, "customer/77"));
    assert_eq!(world.auth.verify(&later).await.unwrap().actor, first.actor);
}

#[tokio::test]
async fn a_new_subject_seen_by_many_at_once_becomes_one_user() {
    let world = World::new();
    let header = json!({"alg": "HS256"});
    let tokens: Vec<String> = (0..10)
        .map(|n| signed(SECRET, &header, &with(&shop_claims(&world, "new"), "n", json!(n))))
        .collect();
    let answers =
        futures::future::join_all(tokens.iter().map(|token| world.auth.verify(token))).await;
    let mut users: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().actor.user).collect();
    users.dedup();
    assert_eq!(users.len(), 1);
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test]
async fn a_trusted_issuer_is_bound_to_its_own_secret_algorithm_and_audience() {
    let issuer = |issuer: &str, secret: &[u8], audience: Option<&str>, provision| TrustedIssuer {
        issuer: issuer.to_owned(),
        keys: TrustedKeys::Secret(secret.to_vec()),
        audience: audience.map(str::to_owned),
        provision,
    };
    let other = b"the other one's secret, also thirty-two";
    let trusted =
        vec![issuer("shop", SECRET, Some("chat"), false), issuer("other", other, None, false)];
    let world = World::with(Config { trusted, ..config() });
    world.register("ann").await;
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let claims = with(&shop_claims(&world, "ann"), "aud", json!(["web", "chat"]));
    let good = signed(SECRET, &header, &claims);
    assert!(world.auth.verify(&good).await.is_ok());
    let now = world.now_seconds();
    let bad = [
        signed(other, &header, &claims),
        signed(SECRET, &header, &with(&claims, "aud", json!("web"))),
        signed(SECRET, &header, &shop_claims(&world, "ann")),
        signed(SECRET, &header, &with(&claims, "iss", json!("unknown"))),
        signed(SECRET, &header, &with(&claims, "iss", json!("klatch"))),
        signed(SECRET, &header, &with(&claims, "sub", json!("nobody"))),
        signed(SECRET, &header, &with(&claims, "sub", json!(""))),
        signed(SECRET, &with(&header, "alg", json!("HS512")), &claims),
        signed(SECRET, &with(&header, "alg", json!("none")), &claims),
        signed(SECRET, &with(&header, "typ", json!("id+jwt")), &claims),
        signed(SECRET, &header, &with(&claims, "nbf", json!(now + 61))),
        by_server(1, &with(&header, "alg", json!("EdDSA")), &claims),
    ];
    for (index, bad) in bad.iter().enumerate() {
        assert_eq!(world.auth.verify(bad).await, Err(TokenError::Invalid), "{index}");
    }
    let old = signed(SECRET, &header, &with(&claims, "exp", json!(now - 31)));
    assert_eq!(world.auth.verify(&old).await, Err(TokenError::Expired));
    let with_fraction = signed(SECRET, &header, &with(&claims, "exp", json!(4_102_444_800.5)));
    assert!(world.auth.verify(&with_fraction).await.is_ok());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let start = |config: Config| config.validate().err().map(|error| error.to_string());
    let issuer = |name: &str, secret: &[u8]| TrustedIssuer {
        issuer: name.to_owned(),
        keys: TrustedKeys::Secret(secret.to_vec()),
        audience: None,
        provision: false,
    };
    let with = |trusted| start(Config { trusted, ..config() });
    assert_eq!(with(vec![issuer("shop", SECRET)]), None);
    assert!(with(vec![issuer("shop", b"short")]).unwrap().contains("32 bytes"));
    assert!(with(vec![issuer("klatch", SECRET)]).unwrap().contains("twice"));
    assert!(with(vec![issuer("a", SECRET), issuer("a", SECRET)]).unwrap().contains("twice"));
    let zero = Config { access_life: Duration::ZERO, ..config() };
    assert!(start(zero).is_some());
}

#[tokio::test]
async fn after_a_rotation_old_tokens_stay_good_until_their_key_is_forgotten() {
    let world = World::new();
    let old = world.register("ann").await;
    world.auth.rotate_keys(By::Operator, false).await.unwrap();
    assert_eq!(world.secrets.lock()[1..], [[1; 32]], "the older one behind");
    world.auth.verify(&old.access_token).await.unwrap();
    let new = world.auth.refresh(&old.refresh_token).await.unwrap();
    let head = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(head(&old.access_token), head(&new.access_token));
    world.auth.verify(&new.access_token).await.unwrap();
    // Signed with the new key under the old one's name: nothing.
    let mixed = new.access_token.replacen(&head(&new.access_token), &head(&old.access_token), 1);
    assert_eq!(world.auth.verify(&mixed).await, Err(TokenError::Invalid));
    for _ in 0..20 {
        world.auth.rotate_keys(By::Operator, false).await.unwrap();
    }
    assert_eq!(world.secrets.lock().len(), 8, "a bounded number");
    assert!(world.auth.refresh(&new.refresh_token).await.is_err(), "its key is gone by then");
    // A key that got out is forgotten, with everything it has signed, seen before or not.
    let last = world.auth.login("ann", PASSWORD, "test", "here").await.unwrap();
    world.auth.verify(&last.access_token).await.unwrap();
    world.auth.rotate_keys(By::Operator, true).await.unwrap();
    assert_eq!(world.secrets.lock().len(), 1);
    assert_eq!(world.auth.verify(&last.access_token).await, Err(TokenError::Invalid));
    assert!(world.auth.refresh(&last.refresh_token).await.is_err());
    let member = Actor { user: last.user, role: ServerRole::Member };
    assert!(world.auth.rotate_keys(By::User(member), false).await.is_err());
}
