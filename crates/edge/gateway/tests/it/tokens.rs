//! Tokens that must not open anything.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::{SECRET, SEED, World, text};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let text =
        format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn forged_and_broken_tokens_open_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (header, claims) = (part(&ann.token, 0), part(&ann.token, 1));
    let mut none = header.clone();
    none["alg"] = json!("none");
    let mut hs = header.clone();
    hs["alg"] = json!("HS256");
    let mut kid = header.clone();
    kid["kid"] = json!("another");
    let signed = |header: &Value| {
        let tail = ann.token.split_once('.').unwrap().1;
        format!("{}.{tail}", BASE64.encode(header.to_string()))
    };
    let unsigned = signed(&none);
    let unsigned = unsigned.rsplit_once('.').unwrap().0;
    let mut forged = vec![
        format!("{unsigned}."),
        unsigned.to_owned(),
        signed(&none),
        signed(&kid),
        hs256(&SEED, &hs, &claims),
        hs256(SECRET, &hs, &claims),
        hs256(
            b"a guess of at least thirty-two bytes",
            &json!({"alg": "HS256"}),
            &json!({
                "iss": "shop", "sub": "ann", "exp": 4_102_444_800_u64,
            }),
        ),
        "x".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(10_000),
    ];
    let mut tampered = claims;
    tampered["sub"] = json!("0192f7a0-5c3e-7abc-8def-0123456789ab");
    let mut parts = ann.token.split('.');
    let (head, _, tail) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
    forged.push(format!("{head}.{}.{tail}", BASE64.encode(tampered.to_string())));
    for token in &forged {
        let answer = world.call("GET", "users/me").token(token).send().await;
        assert_eq!(answer.problem(401), "invalid_token", "{token}");
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"klatch\", error=\"invalid_token\""
        );
    }
    world.call("GET", "rooms").token(&ann.token).send().await.ok(200);
}

#[tokio::test]
async fn an_expired_token_says_so_and_the_refresh_token_helps() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    world.clock.advance(Duration::from_mins(15));
    let answer = world.call("GET", "rooms").token(&ann.token).send().await;
    assert_eq!(answer.problem(401), "token_expired");
    let body = json!({"refreshToken": ann.refresh});
    let fresh = world.call("POST", "auth/refresh").json(&body).send().await.ok(200);
    world.call("GET", "rooms").token(&text(&fresh, "accessToken")).send().await.ok(200);
}

#[tokio::test]
async fn requests_without_a_usable_header_are_asked_to_sign_in() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let get = || world.call("GET", "rooms");
    assert_eq!(get().send().await.problem(401), "unauthorized");
    for value in ["Basic YTpi", "Bearer", "bearer", "token x", ""] {
        let answer = get().header("authorization", value).send().await;
        assert_eq!(answer.problem(401), "unauthorized", "{value}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"klatch\"");
    }
    let twice = get().token(&ann.token).token(&ann.token).send().await;
    assert_eq!(twice.problem(401), "unauthorized");
    get().header("authorization", &format!("bearer {}", ann.token)).send().await.ok(200);
    // Never in the address.
    let answer = world.call("GET", &format!("rooms?access_token={}", ann.token)).send().await;
    assert_eq!(answer.problem(401), "unauthorized");
}

#[tokio::test]
async fn a_trusted_issuers_token_opens_what_its_user_may_see() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let now = part(&ann.token, 1)["iat"].as_u64().unwrap();
    let token = |subject: &str| {
        hs256(
            SECRET,
            &json!({"alg": "HS256"}),
            &json!({"iss": "shop", "sub": subject, "exp": now + 60}),
        )
    };
    let room = world.channel(&ann, "den", "private").await;
    let path = format!("rooms/{room}");
    world.call("GET", &path).token(&token("ann")).send().await.ok(200);
    let other = world.call("GET", &path).token(&token("customer-1")).send().await;
    assert_eq!(other.problem(404), "room_not_found");
    // There is no session to end.
    world.call("POST", "auth/logout").token(&token("ann")).send().await.ok(204);
    world.call("GET", &path).token(&token("ann")).send().await.ok(200);
}
