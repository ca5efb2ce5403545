//! What whoever has the machine does without a password: `klatch user` and `klatch token`.

use std::os::unix::fs::PermissionsExt as _;

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Server, Settings, quiet, run};
use serde_json::json;

/// Runs a command on the server's directory: whether it went well, and what it said.
fn command(server: &Server, words: &[&str]) -> (bool, String) {
    let dir = server.data_dir();
    let mut all: Vec<&str> = words.to_vec();
    all.extend(["--data-dir", dir.to_str().unwrap()]);
    let said = run(&all, &[], dir.parent().unwrap()).unwrap();
    (said.exit == Exit::Code(0), format!("{}{}", said.out, said.err))
}

#[track_caller]
fn done(server: &Server, words: &[&str]) -> String {
    let (good, said) = command(server, words);
    assert!(good, "{words:?}: {said}");
    said
}

/// What stands behind the last slash.
fn token_of(link: &str) -> String {
    link.trim_end().rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_makes_changes_and_rescues_accounts_on_the_machine() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let said = done(&server, &["user", "create", "ann", "--role", "admin"]);
    assert!(said.contains("/#/reset/"), "{said}");
    let password = "a long password";
    let set = async |token: &str| {
        let body = json!({"token": token, "newPassword": password});
        server.rest().post("/api/v1/auth/reset", &body).await.unwrap()
    };
    let login = async || {
        let body = json!({"login": "ann", "password": password});
        server.rest().post("/api/v1/auth/login", &body).await.unwrap()
    };
    assert_eq!(set(&token_of(&said)).await.status, 204);
    let ann = login().await.success().unwrap().text("accessToken").unwrap();
    let ann = Rest::new(server.address(), Some(ann));
    ann.get("/api/v1/admin/users").await.unwrap().success().unwrap();
    // The last administrator stays, whoever asks.
    let (good, said) = command(&server, &["user", "ban", "ann"]);
    assert!(!good && said.contains("last administrator"), "{said}");
    done(&server, &["user", "create", "bob", "--email", "bob+x@example.org"]);
    done(&server, &["user", "role", "bob+x@example.org", "admin"]);
    done(&server, &["user", "ban", "ann"]);
    login().await.problem(403, "account_locked").unwrap();
    done(&server, &["user", "unban", "ann"]);
    login().await.success().unwrap();
    let link = done(&server, &["user", "reset", "ann"]);
    assert_eq!(set(&token_of(&link)).await.status, 204);
    let listed = done(&server, &["user", "list"]);
    assert!(listed.contains("admin   ann") && listed.contains("bob"), "{listed}");
    let (good, said) = command(&server, &["user", "reset", "nobody"]);
    assert!(!good && said.contains("there is no nobody"), "{said}");
    // All of it is in the audit log, without a name of who did it.
    let token = login().await.success().unwrap().text("accessToken").unwrap();
    let audit = Rest::new(server.address(), Some(token)).get("/api/v1/admin/audit").await;
    let audit = audit.unwrap().success().unwrap();
    let acts: Vec<_> =
        audit.items().unwrap().iter().map(|it| it["act"].as_str().unwrap()).collect();
    assert_eq!(
        acts,
        [
            "reset_link_made",
            "unbanned",
            "banned",
            "role_changed",
            "reset_link_made",
            "user_made",
            "reset_link_made",
            "user_made",
        ]
    );
    assert!(audit.items().unwrap().iter().all(|entry| entry.get("by").is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_token_for_a_bot_works_until_it_is_revoked() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    done(&server, &["user", "create", "helper", "--bot"]);
    let said = done(&server, &["token", "create", "helper", "--scope", "read"]);
    let bot = Rest::new(server.address(), Some(said.trim().to_owned()));
    let me = bot.get("/api/v1/users/me").await.unwrap().success().unwrap();
    assert_eq!(me.text("username").unwrap(), "helper");
    let room = bot.post("/api/v1/rooms", &json!({"type": "group"})).await.unwrap();
    room.problem(403, "insufficient_scope").unwrap();
    let listed = done(&server, &["token", "list", "helper"]);
    assert!(!listed.contains(said.trim()), "{listed}");
    let id = listed.split_whitespace().next().unwrap();
    done(&server, &["token", "revoke", "helper", id]);
    let answer = bot.get("/api/v1/users/me").await.unwrap();
    answer.problem(401, "session_revoked").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_way_in_is_open_to_the_owner_of_the_directory_alone() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let mode = std::fs::metadata(server.data_dir().join("operator")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // The network's way in is none.
    let answer = server.rest().get("/api/v1/admin/users").await.unwrap();
    answer.problem(401, "unauthorized").unwrap();
    // What a killed server left does not stop the next one; a stopped one is told of.
    server.kill();
    let (good, said) = command(&server, &["user", "list"]);
    assert!(!good && said.contains("no server answers"), "{said}");
    server.begin().await.unwrap();
    done(&server, &["user", "list"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotated_keys_are_there_after_a_restart_and_forgotten_ones_are_not() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let login = json!({"login": "root", "password": "correct horse battery staple"});
    done(&server, &["token", "rotate-keys"]);
    let newer = server.rest().post("/api/v1/auth/login", &login).await.unwrap();
    let newer = newer.success().unwrap().text("accessToken").unwrap();
    let newer = Rest::new(server.address(), Some(newer));
    server.kill();
    server.begin().await.unwrap();
    for rest in [&chief, &newer] {
        rest.get("/api/v1/users/me").await.unwrap().success().unwrap();
    }
    done(&server, &["token", "rotate-keys", "--forget-old"]);
    for rest in [&chief, &newer] {
        rest.get("/api/v1/users/me").await.unwrap().problem(401, "invalid_token").unwrap();
    }
}
