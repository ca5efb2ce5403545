//! People who were erased, and canaries that tell whether they are gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Said, Server, Settings, quiet, run};
use klatch_e2e::socket::{self, Incoming};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// Every one of them is said somewhere else.
const CANARIES: [&str; 8] = [
    "canaryusername",
    "canary-address",
    "Canary Shown",
    "canary in a message",
    "canary in an edit",
    "canary in metadata",
    "canary status",
    "canary device",
];

async fn register(server: &Server) -> (Rest, String, Value) {
    let body = json!({
        "username": "canaryusername", "email": "canary-address@example.org",
        "password": "canary password 123", "displayName": "Canary Shown",
    });
    let headers = [("content-type", "application/json"), ("user-agent", "canary device")];
    let bytes = body.to_string().into();
    let path = "/api/v1/auth/register";
    let answer = server.rest().ask(Method::POST, path, &headers, bytes).await.unwrap();
    let answer = answer.success().unwrap();
    let user = answer.0["user"]["userId"].as_str().unwrap().to_owned();
    (Rest::new(server.address(), answer.text("accessToken").ok()), user, body)
}

/// Says all canaries; the room they are in.
async fn sing(admin: &Rest, canary: &Rest, user: &str) -> String {
    let body = json!({"type": "group", "memberIds": [user]});
    let room = admin.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let room = room.text("roomId").unwrap();
    let path = format!("/api/v1/rooms/{room}/messages");
    let message = json!({
        "content": "canary in a message", "metadata": {"note": "canary in metadata"},
    });
    let sent = canary.post(&path, &message).await.unwrap().success().unwrap();
    let id = sent.text("messageId").unwrap();
    let edit = json!({"content": "canary in an edit"});
    let edited = canary.json(Method::PATCH, &format!("{path}/{id}"), &edit).await.unwrap();
    edited.success().unwrap();
    canary.post(&path, &json!({"content": "canary in a message"})).await.unwrap();
    let status = json!({"text": "canary status"});
    let put = canary.json(Method::PUT, "/api/v1/users/me/presence", &status).await.unwrap();
    put.success().unwrap();
    admin.post(&path, &json!({"content": "words of another"})).await.unwrap().success().unwrap();
    room
}

/// Files below a directory that hold the bytes. Rows and segments are not compressed, and journals
/// neither: their settings say so, and `the_scan_finds_what_is_there` that it is so.
fn holding(dir: &Path, words: &str, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, words, out);
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes
                .windows(words.len())
                .any(|window| window.eq_ignore_ascii_case(words.as_bytes()))
        {
            out.push(path);
        }
    }
}

fn nothing_readable_in(dir: &Path) {
    for canary in CANARIES {
        let mut found = Vec::new();
        holding(dir, canary, &mut found);
        assert!(found.is_empty(), "{canary:?} is in {found:?}");
    }
}

/// Nothing of the person in any answer, and what was theirs is shown as of a deleted user.
async fn nothing_readable_by(asker: &Rest, room: &str, user: &str) {
    let mut answers = String::new();
    for path in [
        format!("/api/v1/rooms/{room}/messages"),
        format!("/api/v1/rooms/{room}/members"),
        format!("/api/v1/users/{user}"),
        "/api/v1/users?q=can".to_owned(),
        "/api/v1/sync".to_owned(),
        format!("/api/v1/admin/users/{user}/export"),
    ] {
        let answer = asker.get(&path).await.unwrap();
        answers.push_str(&String::from_utf8_lossy(&answer.body));
    }
    let query = json!({"userIds": [user]});
    let answer = asker.post("/api/v1/presence/query", &query).await.unwrap();
    answers.push_str(&String::from_utf8_lossy(&answer.body));
    for canary in CANARIES {
        assert!(!answers.contains(canary), "{canary}: {answers}");
    }
    assert!(answers.contains("deleted user") && answers.contains("words of another"), "{answers}");
}

fn klatch(arguments: &[&str], paths: &[(&str, &Path)]) -> Said {
    let mut all: Vec<&str> = arguments.to_vec();
    for (flag, path) in paths {
        all.extend([*flag, path.to_str().unwrap()]);
    }
    run(&all, &[], Path::new("/")).unwrap()
}

/// Exports the person; everything that is theirs is in it, and nothing of others.
fn everything_is_exported(data: &Path, to: &Path) {
    let said = klatch(&["export", "canaryusername"], &[("--data-dir", data), ("--to", to)]);
    assert_eq!(said.exit, Exit::Code(0), "{}", said.err);
    let lines = std::fs::read_to_string(to).unwrap();
    for known in CANARIES.iter().filter(|known| **known != "canary status") {
        assert!(lines.contains(known), "{known} is not in the export:\n{lines}");
    }
    assert!(lines.lines().last().unwrap().contains("\"end\"") && !lines.contains("another"));
    std::fs::remove_file(to).unwrap();
}

/// Somebody has to run the server.
async fn the_last_administrator_stays(admin: &Rest) {
    let me = admin.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let path = format!("/api/v1/admin/users/{}/erase", me.text("userId").unwrap());
    admin.post(&path, &json!({})).await.unwrap().problem(409, "last_admin").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_readable_is_left_of_an_erased_person_and_no_restore_brings_them_back() {
    let _turn = quiet::beside_others().await.unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let place = |name: &str| temporary.path().join(name);
    let mut server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let (canary, user, registered) = register(&server).await;
    let room = sing(&admin, &canary, &user).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    // Read by another, so that pages and keys are in memory.
    for _ in 0..3 {
        let page = admin.get(&path).await.unwrap();
        assert!(String::from_utf8_lossy(&page.body).contains("canary in an edit"));
    }
    let (_sender, mut receiver) =
        socket::connect(server.address(), canary.token().unwrap(), "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    let data = server.data_dir();
    everything_is_exported(&data, &place("export.ndjson"));
    // From before the erasure: keys and data.
    let backup = [("--to", place("old")), ("--keys-to", place("old-keys"))];
    let backup: Vec<_> = backup.iter().map(|(flag, path)| (*flag, path.as_path())).collect();
    let said = klatch(&["backup"], &[&[("--data-dir", data.as_path())], &backup[..]].concat());
    assert_eq!(said.exit, Exit::Code(0), "{}", said.err);

    the_last_administrator_stays(&admin).await;
    let path = format!("/api/v1/admin/users/{user}/erase");
    let erased = admin.post(&path, &json!({})).await.unwrap().success().unwrap();
    let checked = erased.0["checked"].as_array().unwrap();
    assert!(checked.len() >= 8, "{checked:?}");
    assert!(checked.iter().all(|store| store["readable"] == 0), "{checked:?}");
    // At once, on the server that runs: pages, names, presence, tokens, connections.
    nothing_readable_by(&admin, &room, &user).await;
    canary.get("/api/v1/users/me").await.unwrap().problem(401, "session_revoked").unwrap();
    loop {
        match tokio::time::timeout(SOON, receiver.next()).await.unwrap() {
            Incoming::Frame(..) => {}
            Incoming::Closed(code, _) => break assert_eq!(code, 4020),
            Incoming::Lost => panic!("lost"),
        }
    }
    let login = json!({"login": "canaryusername", "password": "canary password 123"});
    let refused = server.rest().post("/api/v1/auth/login", &login).await.unwrap();
    assert_eq!(refused.status, 401);
    let again = admin.post(&path, &json!({})).await.unwrap().success().unwrap();
    assert!(again.0["checked"][0]["found"].as_str().unwrap().contains("no key any more"));
    nothing_readable_in(&data);
    for known in CANARIES {
        assert!(!server.output().contains(known), "the log says {known}");
    }
    server.terminate(SOON).await.unwrap();
    nothing_readable_in(&data);

    // The backup from before it, restored with the ledger.
    let ledger = data.join("keys/erasures");
    let new = place("new");
    let restore = [
        ("--from", place("old")),
        ("--keys-from", place("old-keys")),
        ("--data-dir", new.clone()),
        ("--erasures", ledger),
    ];
    let restore: Vec<_> = restore.iter().map(|(flag, path)| (*flag, path.as_path())).collect();
    let said = klatch(&["restore"], &restore);
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("1 erasures in the ledger, 1 applied again"), "{}", said.out);
    nothing_readable_in(&new);
    let restored = Server::start(Settings::default().on(&new)).await.unwrap();
    let login = json!({"login": "root", "password": "correct horse battery staple"});
    let token = restored.rest().post("/api/v1/auth/login", &login).await.unwrap();
    let token = token.success().unwrap().text("accessToken").unwrap();
    let admin = Rest::new(restored.address(), Some(token));
    nothing_readable_by(&admin, &room, &user).await;
    nothing_readable_in(&new);
    // The name and the address are free for whoever wants them.
    let answer = restored.rest().post("/api/v1/auth/register", &registered).await.unwrap();
    assert_ne!(answer.success().unwrap().0["user"]["userId"], json!(user));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scan_finds_what_is_there_and_erasing_without_a_server_works_as_well() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let (canary, user, _) = register(&server).await;
    let room = sing(&admin, &canary, &user).await;
    server.terminate(SOON).await.unwrap();
    let data = server.data_dir();
    // What is not sealed lies in the files as it is, so the scan can find it.
    for known in ["canaryusername", "canary-address", "canary device"] {
        let mut found = Vec::new();
        holding(&data, known, &mut found);
        assert!(!found.is_empty(), "{known}");
    }
    let said = klatch(&["erase", "nobody", "--yes"], &[("--data-dir", &data)]);
    assert!(said.err.contains("there is no user nobody"), "{}", said.err);
    let said = klatch(&["erase", "canaryusername"], &[("--data-dir", &data)]);
    assert!(said.err.contains("cannot be undone"), "{}", said.err);
    let said = klatch(&["erase", "canaryusername", "--yes"], &[("--data-dir", &data)]);
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("ok    keys: the key was destroyed"), "{}", said.out);
    assert!(!said.out.contains("LEFT"), "{}", said.out);
    nothing_readable_in(&data);
    let said = klatch(&["verify"], &[("--data-dir", &data)]);
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    server.begin().await.unwrap();
    let login = json!({"login": "root", "password": "correct horse battery staple"});
    let token = server.rest().post("/api/v1/auth/login", &login).await.unwrap();
    let token = token.success().unwrap().text("accessToken").unwrap();
    nothing_readable_by(&Rest::new(server.address(), Some(token)), &room, &user).await;
}
