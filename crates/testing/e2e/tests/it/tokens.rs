//! Tokens that must not be taken, and sessions that end while a connection is open.

use std::time::{Duration, Instant};

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::{socket, token};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_ended_tokens_are_refused_on_every_surface() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    server.rest_as("ada").get("/api/v1/users/me").await.unwrap().success().unwrap();
    let mut bad = token::forged("ada");
    bad.push(("ended an hour ago", token::ended("ada", 3600)));
    bad.push(("empty", String::new()));
    for (what, token) in bad {
        let code = if what.starts_with("ended") { "token_expired" } else { "invalid_token" };
        let rest = Rest::new(server.address(), Some(token.clone()));
        let answer = rest.get("/api/v1/users/me").await.unwrap();
        // Nothing after `Bearer` is no token at all.
        let (status, found) = (answer.status, answer.code());
        let expected = found == code || (token.len() != 3 && found == "unauthorized");
        let too_long = token.len() > 8_192 && status == 431;
        assert!((status == 401 && expected) || too_long, "{what}: {status} {found}");
        let refused = socket::connect(server.address(), &token, "").await;
        let refused = refused.expect_err(what).to_string();
        assert!(refused.contains("401") || refused.contains("431"), "{what}: {refused}");
    }
    // Within the leeway of clocks that differ.
    let rest = Rest::new(server.address(), Some(token::ended("ada", 5)));
    let status = rest.get("/api/v1/users/me").await.unwrap().status;
    assert!([200, 401].contains(&status), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_ends_open_connections_within_a_second() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let body =
        json!({"username": "bob", "email": "bob@example.org", "password": "a long password"});
    let answer = server.rest().post("/api/v1/auth/register", &body).await.unwrap();
    assert_eq!(answer.status, 201);
    let token = answer.success().unwrap().text("accessToken").unwrap();
    let (_sender, mut receiver) = socket::connect(server.address(), &token, "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    let rest = Rest::new(server.address(), Some(token.clone()));
    let begun = Instant::now();
    assert_eq!(rest.post("/api/v1/auth/logout", &json!({})).await.unwrap().status, 204);
    assert_eq!(receiver.closed(SOON).await.unwrap(), Some(4020));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let answer = rest.get("/api/v1/users/me").await.unwrap();
    answer.problem(401, "session_revoked").unwrap();
    assert!(socket::connect(server.address(), &token, "").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_works_once_and_its_second_use_ends_the_session() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let body = json!({"username": "cy", "email": "cy@example.org", "password": "a long password"});
    let answer = server.rest().post("/api/v1/auth/register", &body).await.unwrap();
    let first = answer.success().unwrap().text("refreshToken").unwrap();
    let refresh = async |token: &str| {
        server.rest().post("/api/v1/auth/refresh", &json!({ "refreshToken": token })).await.unwrap()
    };
    let second = refresh(&first).await.success().unwrap();
    let third = refresh(&second.text("refreshToken").unwrap()).await.success().unwrap();
    // Two generations old: not a retry of someone who missed the answer.
    refresh(&first).await.problem(401, "invalid_refresh_token").unwrap();
    let access = third.text("accessToken").unwrap();
    let answer = Rest::new(server.address(), Some(access)).get("/api/v1/users/me").await.unwrap();
    answer.problem(401, "session_revoked").unwrap();
}
