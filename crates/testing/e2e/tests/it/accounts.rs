//! Passwords, roles, locks: what people do with their accounts, and administrators with others'.

use std::time::{Duration, Instant};

use http::Method;
use klatch_e2e::rest::{Answer, Rest};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
const PASSWORD: &str = "a long password";
const OTHER_PASSWORD: &str = "quite another one";

/// A second by promise, another for a busy machine.
const WITHIN: Duration = Duration::from_secs(2);

async fn register(server: &Server, name: &str) -> (Rest, String, String) {
    let email = format!("{name}@example.org");
    let body = json!({"username": name, "email": email, "password": PASSWORD});
    let answer = server.rest().post("/api/v1/auth/register", &body).await.unwrap();
    let made = answer.success().unwrap();
    let token = made.text("accessToken").unwrap();
    let id = made.0["user"]["userId"].as_str().unwrap().to_owned();
    (Rest::new(server.address(), Some(token.clone())), token, id)
}

async fn login(server: &Server, name: &str, password: &str) -> Answer {
    let body = json!({"login": name, "password": password});
    server.rest().post("/api/v1/auth/login", &body).await.unwrap()
}

async fn patch(rest: &Rest, id: &str, body: &Value) -> Answer {
    rest.json(Method::PATCH, &format!("/api/v1/admin/users/{id}"), body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_all_other_sessions_and_their_connections_within_a_second() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (here, ..) = register(&server, "ann").await;
    let other = login(&server, "ann", PASSWORD).await.success().unwrap();
    let other_token = other.text("accessToken").unwrap();
    let there = socket::connect(server.address(), &other_token, "").await.unwrap();
    let (_sender, mut there) = there;
    there.next_of("hello", SOON).await.unwrap();
    let path = "/api/v1/users/me/password";
    let wrong = json!({"currentPassword": "not this one", "newPassword": OTHER_PASSWORD});
    here.post(path, &wrong).await.unwrap().problem(403, "wrong_password").unwrap();
    let short = json!({"currentPassword": PASSWORD, "newPassword": "short"});
    here.post(path, &short).await.unwrap().problem(422, "invalid_field").unwrap();
    let right = json!({"currentPassword": PASSWORD, "newPassword": OTHER_PASSWORD});
    let begun = Instant::now();
    assert_eq!(here.post(path, &right).await.unwrap().status, 204);
    assert_eq!(there.closed(SOON).await.unwrap(), Some(4020));
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
    // This session goes on, the other does not.
    here.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let elsewhere = Rest::new(server.address(), Some(other_token));
    let answer = elsewhere.get("/api/v1/users/me").await.unwrap();
    answer.problem(401, "session_revoked").unwrap();
    let refresh = json!({"refreshToken": other.text("refreshToken").unwrap()});
    let answer = server.rest().post("/api/v1/auth/refresh", &refresh).await.unwrap();
    answer.problem(401, "invalid_refresh_token").unwrap();
    login(&server, "ann", PASSWORD).await.problem(401, "invalid_credentials").unwrap();
    login(&server, "ann", OTHER_PASSWORD).await.success().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_sets_a_password_once_and_ends_all_sessions() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let root = server.register_admin().await.unwrap();
    let (ann, _, id) = register(&server, "ann").await;
    // The answer is the same for those who are there and those who are not.
    let ask = async |login: &str| {
        let body = json!({ "login": login });
        server.rest().post("/api/v1/auth/reset/request", &body).await.unwrap()
    };
    let (known, unknown) = (ask("ann").await, ask("nobody").await);
    assert_eq!((known.status, known.body), (202, unknown.body));
    assert_eq!(unknown.status, 202);
    let make = format!("/api/v1/admin/users/{id}/reset");
    let link = async || root.post(&make, &json!({})).await.unwrap().success().unwrap();
    let (old, new) = (link().await, link().await);
    let set = async |token: &str| {
        let body = json!({"token": token, "newPassword": OTHER_PASSWORD});
        server.rest().post("/api/v1/auth/reset", &body).await.unwrap()
    };
    // A newer link makes an older one useless, a guess is none, and a used one is used.
    set(&old.text("token").unwrap()).await.problem(403, "invalid_reset_token").unwrap();
    set("guess").await.problem(403, "invalid_reset_token").unwrap();
    let token = new.text("token").unwrap();
    assert_eq!(set(&token).await.status, 204);
    set(&token).await.problem(403, "invalid_reset_token").unwrap();
    ann.get("/api/v1/users/me").await.unwrap().problem(401, "session_revoked").unwrap();
    login(&server, "ann", PASSWORD).await.problem(401, "invalid_credentials").unwrap();
    login(&server, "ann", OTHER_PASSWORD).await.success().unwrap();
    no_file_tells_the_token(&server, &token);
}

/// The token is nowhere on the disk: only its hash is.
fn no_file_tells_the_token(server: &Server, token: &str) {
    let mut folders = vec![server.data_dir()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            let found = String::from_utf8_lossy(&bytes).contains(token);
            assert!(!found, "{}", entry.path().display());
        }
    }
    assert!(!server.output().contains(token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_everywhere_ends_every_session() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    for by_logout in [true, false] {
        let name = if by_logout { "ann" } else { "bob" };
        let (here, ..) = register(&server, name).await;
        let other = login(&server, name, PASSWORD).await.success().unwrap();
        let other = Rest::new(server.address(), Some(other.text("accessToken").unwrap()));
        other.get("/api/v1/users/me").await.unwrap().success().unwrap();
        let (method, path, body) = if by_logout {
            (Method::POST, "/api/v1/auth/logout", json!({"everywhere": true}))
        } else {
            (Method::DELETE, "/api/v1/auth/sessions", json!({}))
        };
        assert_eq!(here.json(method, path, &body).await.unwrap().status, 204);
        for rest in [&here, &other] {
            let answer = rest.get("/api/v1/users/me").await.unwrap();
            answer.problem(401, "session_revoked").unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_reaches_open_connections_within_a_second_and_ends_with_the_unban() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let root = server.register_admin().await.unwrap();
    let (ann, token, id) = register(&server, "ann").await;
    let (_sender, mut socket) = socket::connect(server.address(), &token, "").await.unwrap();
    socket.next_of("hello", SOON).await.unwrap();
    // A user of another issuer has no session, but is locked out all the same.
    let foreign = server.rest_as("eve");
    let eve = foreign.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let eve = eve.text("userId").unwrap();
    let begun = Instant::now();
    let banned = patch(&root, &id, &json!({"banned": true})).await.success().unwrap();
    assert_eq!(banned.0["banned"], true);
    assert_eq!(socket.closed(SOON).await.unwrap(), Some(4020));
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
    ann.get("/api/v1/users/me").await.unwrap().problem(401, "session_revoked").unwrap();
    assert!(socket::connect(server.address(), &token, "").await.is_err());
    login(&server, "ann", PASSWORD).await.problem(403, "account_locked").unwrap();
    login(&server, "ann", "wrong password").await.problem(401, "invalid_credentials").unwrap();
    patch(&root, &eve, &json!({"banned": true})).await.success().unwrap();
    foreign.get("/api/v1/users/me").await.unwrap().problem(401, "session_revoked").unwrap();
    patch(&root, &id, &json!({"banned": false})).await.success().unwrap();
    ann.get("/api/v1/users/me").await.unwrap().problem(401, "session_revoked").unwrap();
    login(&server, "ann", PASSWORD).await.success().unwrap();
    let audit = root.get("/api/v1/admin/audit?limit=2").await.unwrap().success().unwrap();
    let acts: Vec<_> = audit.items().unwrap().iter().map(|it| it["act"].clone()).collect();
    assert_eq!(acts, ["unbanned", "banned"]);
    let cursor = audit.text("nextCursor").unwrap();
    let path = format!("/api/v1/admin/audit?cursor={cursor}");
    let rest = root.get(&path).await.unwrap().success().unwrap();
    assert_eq!(rest.items().unwrap().len(), 1);
    assert_eq!(rest.items().unwrap()[0]["userId"], id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_count_at_once_and_an_administrator_always_stays() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let root = server.register_admin().await.unwrap();
    let me = root.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let root_id = me.text("userId").unwrap();
    let (ann, _, id) = register(&server, "ann").await;
    ann.get("/api/v1/admin/users").await.unwrap().problem(403, "admin_only").unwrap();
    let step_down = json!({"role": "member"});
    patch(&ann, &id, &json!({"role": "admin"})).await.problem(403, "admin_only").unwrap();
    patch(&root, &root_id, &step_down).await.problem(409, "last_admin").unwrap();
    patch(&root, &root_id, &json!({"banned": true})).await.problem(409, "not_yourself").unwrap();
    patch(&root, &id, &json!({"role": "emperor"})).await.problem(422, "invalid_field").unwrap();
    let nobody = "0192f7a0-5c3e-7abc-8def-0123456789ab";
    patch(&root, nobody, &step_down).await.problem(404, "user_not_found").unwrap();
    patch(&root, &id, &json!({"role": "admin"})).await.success().unwrap();
    let page = ann.get("/api/v1/admin/users?limit=1").await.unwrap().success().unwrap();
    assert_eq!(page.items().unwrap()[0]["username"], "root");
    assert!(page.text("nextCursor").is_ok());
    let found = ann.get("/api/v1/admin/users?q=an").await.unwrap().success().unwrap();
    assert_eq!(found.items().unwrap()[0]["role"], "admin");
    assert_eq!(found.items().unwrap()[0]["email"], "ann@example.org");
    patch(&ann, &root_id, &step_down).await.success().unwrap();
    root.get("/api/v1/admin/users").await.unwrap().problem(403, "admin_only").unwrap();
    patch(&ann, &id, &json!({"role": "guest"})).await.problem(409, "last_admin").unwrap();
}
