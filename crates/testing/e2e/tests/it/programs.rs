//! Programs: bots and tokens with scopes, on REST and WebSocket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use klatch_e2e::rest::{Answer, Json, Rest};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
/// A second by promise, another for a busy machine.
const WITHIN: Duration = Duration::from_secs(2);

async fn made(who: &Rest, path: &str, body: &Value) -> Json {
    who.post(path, body).await.unwrap().success().unwrap()
}

async fn token(who: &Rest, path: &str, scopes: &[&str]) -> (String, String) {
    let made = made(who, path, &json!({"name": "a program", "scopes": scopes})).await;
    let text = made.text("token").unwrap();
    assert!(text.starts_with("kla_"), "{text}");
    (text, made.text("tokenId").unwrap())
}

async fn delete(who: &Rest, path: &str) -> Answer {
    who.ask(Method::DELETE, path, &[], Bytes::new()).await.unwrap()
}

async fn group(owner: &Rest) -> String {
    made(owner, "/api/v1/rooms", &json!({"type": "group"})).await.text("roomId").unwrap()
}

const OWN: &str = "/api/v1/users/me/tokens";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_does_what_its_scopes_say_on_every_surface_and_no_more() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let room = group(&chief).await;
    let messages = format!("/api/v1/rooms/{room}/messages");
    let say = json!({"content": "hello"});
    let client = |token: &str| Rest::new(server.address(), Some(token.to_owned()));

    let (reads, _) = token(&chief, OWN, &["read"]).await;
    let reader = client(&reads);
    reader.get("/api/v1/users/me").await.unwrap().success().unwrap();
    made(&reader, "/api/v1/presence/query", &json!({"userIds": []})).await;
    reader.post(&messages, &say).await.unwrap().problem(403, "insufficient_scope").unwrap();
    reader.get("/api/v1/admin/users").await.unwrap().problem(403, "insufficient_scope").unwrap();
    let (mut sender, mut socket) = socket::connect(server.address(), &reads, "").await.unwrap();
    socket.next_of("hello", SOON).await.unwrap();
    let frame = json!({"roomId": room, "content": "hello"});
    sender.send("message", frame, "1").await.unwrap();
    let refused = socket.next_of("error", SOON).await.unwrap();
    assert_eq!(refused["payload"]["code"], "insufficient_scope");

    let (writes, _) = token(&chief, OWN, &["write"]).await;
    let author = client(&writes);
    made(&author, &messages, &say).await;
    author.get(&messages).await.unwrap().problem(403, "insufficient_scope").unwrap();
    assert!(socket::connect(server.address(), &writes, "").await.is_err());
    // The reader got it.
    assert_eq!(socket.next_of("message", SOON).await.unwrap()["payload"]["content"], "hello");

    let (admin, _) = token(&chief, OWN, &["admin"]).await;
    let admin = client(&admin);
    admin.get("/api/v1/admin/users").await.unwrap().success().unwrap();
    admin.get("/api/v1/users/me").await.unwrap().problem(403, "insufficient_scope").unwrap();

    // Whatever its scopes, a program makes no tokens and touches no passwords or sessions.
    let (all, _) = token(&chief, OWN, &["read", "write", "admin"]).await;
    let all = client(&all);
    let wish = json!({"name": "another", "scopes": ["read"]});
    let password = json!({"currentPassword": "x", "newPassword": "a long password"});
    for (path, body) in [(OWN, &wish), ("/api/v1/users/me/password", &password)] {
        all.post(path, body).await.unwrap().problem(403, "session_needed").unwrap();
    }
    for path in ["/api/v1/auth/sessions", OWN] {
        all.get(path).await.unwrap().problem(403, "session_needed").unwrap();
    }
    for scopes in [json!([]), json!(["everything"]), json!(["read", "read"]), json!("read")] {
        let bad = json!({"name": "x", "scopes": scopes});
        chief.post(OWN, &bad).await.unwrap().problem(422, "invalid_field").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_ended_works_nowhere_within_a_second() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let (text, id) = token(&chief, OWN, &["read"]).await;
    let (_sender, mut socket) = socket::connect(server.address(), &text, "").await.unwrap();
    socket.next_of("hello", SOON).await.unwrap();
    let program = Rest::new(server.address(), Some(text.clone()));
    program.get("/api/v1/users/me").await.unwrap().success().unwrap();
    // Listed, without what it is.
    let listed = chief.get(OWN).await.unwrap().success().unwrap();
    assert_eq!(listed.items().unwrap()[0]["tokenId"], id);
    assert_eq!(listed.items().unwrap()[0].get("token"), None);
    // Another cannot end it.
    let path = format!("{OWN}/{id}");
    delete(&server.rest_as("eve"), &path).await.problem(404, "token_not_found").unwrap();
    let begun = Instant::now();
    assert_eq!(delete(&chief, &path).await.status, 204);
    assert_eq!(socket.closed(SOON).await.unwrap(), Some(4020));
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
    let answer = program.get("/api/v1/users/me").await.unwrap();
    answer.problem(401, "session_revoked").unwrap();
    // Bent ones and guesses are none.
    let mut bent = text.clone();
    bent.replace_range(40..41, if &text[40..41] == "A" { "B" } else { "A" });
    for bad in [bent.as_str(), &text[..30], "kla_", "kla_****"] {
        let rest = Rest::new(server.address(), Some(bad.to_owned()));
        rest.get("/api/v1/users/me").await.unwrap().problem(401, "invalid_token").unwrap();
    }
}

/// Of all accounts, `bot` is the only one of a program.
async fn bots_are_listed_apart(chief: &Rest, bot: &str) {
    for path in ["/api/v1/admin/users?bot=true&limit=1", "/api/v1/admin/users?bot=true&q=he"] {
        let bots = chief.get(path).await.unwrap().success().unwrap();
        let ids: Vec<_> = bots.items().unwrap().iter().map(|it| it["userId"].clone()).collect();
        assert_eq!((ids, &bots.0["nextCursor"]), (vec![json!(bot)], &Value::Null), "{path}");
    }
    let people = chief.get("/api/v1/admin/users?bot=false").await.unwrap().success().unwrap();
    assert!(people.items().unwrap().iter().all(|it| it["bot"] == false));
    let odd = chief.get("/api/v1/admin/users?bot=maybe").await.unwrap();
    odd.problem(400, "invalid_parameter").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_acts_by_its_token_and_never_signs_in() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let bot = made(&chief, "/api/v1/admin/bots", &json!({"username": "helper"})).await;
    let id = bot.text("userId").unwrap();
    let path = format!("/api/v1/admin/bots/{id}/tokens");
    let (text, _) = token(&chief, &path, &["read", "write"]).await;
    let helper = Rest::new(server.address(), Some(text));
    let me = helper.get("/api/v1/users/me").await.unwrap().success().unwrap();
    assert_eq!((&me.0["bot"], &me.0["role"]), (&json!(true), &json!("member")));
    let room = group(&chief).await;
    let add = format!("/api/v1/rooms/{room}/members");
    made(&chief, &add, &json!({ "userId": id })).await;
    made(&helper, &format!("/api/v1/rooms/{room}/messages"), &json!({"content": "beep"})).await;
    let login = json!({"login": "helper", "password": ""});
    let answer = server.rest().post("/api/v1/auth/login", &login).await.unwrap();
    answer.problem(401, "invalid_credentials").unwrap();
    let reset = format!("/api/v1/admin/users/{id}/reset");
    chief.post(&reset, &json!({})).await.unwrap().problem(404, "user_not_found").unwrap();
    bots_are_listed_apart(&chief, &id).await;
    // Nobody gets a token in the name of another person.
    let eve = server.rest_as("eve").get("/api/v1/users/me").await.unwrap().success().unwrap();
    let path = format!("/api/v1/admin/bots/{}/tokens", eve.text("userId").unwrap());
    let wish = json!({"name": "x", "scopes": ["read"]});
    chief.post(&path, &wish).await.unwrap().problem(404, "user_not_found").unwrap();
    // A bot that is locked out is so with its token.
    let path = format!("/api/v1/admin/users/{id}");
    let ban = json!({"banned": true});
    chief.json(Method::PATCH, &path, &ban).await.unwrap().success().unwrap();
    let answer = helper.get("/api/v1/users/me").await.unwrap();
    answer.problem(401, "session_revoked").unwrap();
    let audit = chief.get("/api/v1/admin/audit").await.unwrap().success().unwrap();
    let acts: Vec<_> = audit.items().unwrap().iter().map(|it| it["act"].clone()).collect();
    assert_eq!(acts, ["banned", "token_made", "bot_made"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_made_for_another_gets_its_password_by_its_link() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let wish = json!({"username": "ann", "email": "ann@example.org", "role": "guest"});
    let ann = made(&chief, "/api/v1/admin/users", &wish).await;
    assert_eq!(ann.0["user"]["hasPassword"], false);
    let taken = chief.post("/api/v1/admin/users", &wish).await.unwrap();
    taken.problem(409, "username_taken").unwrap();
    let password = "a long password";
    let set = json!({"token": ann.text("resetToken").unwrap(), "newPassword": password});
    assert_eq!(server.rest().post("/api/v1/auth/reset", &set).await.unwrap().status, 204);
    let login = json!({"login": "ann@example.org", "password": password});
    let signed_in = made(&server.rest(), "/api/v1/auth/login", &login).await;
    assert_eq!(signed_in.0["user"]["role"], "guest");
}
