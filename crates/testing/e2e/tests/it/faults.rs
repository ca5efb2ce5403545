//! A disk that says no, a file that was cut short, a process that stood still.

use std::fs;
use std::time::{Duration, Instant};

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming};
use klatch_e2e::token;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// A public channel of its administrator.
async fn channel(admin: &Rest) -> String {
    let wish = json!({ "type": "channel", "name": "talk" });
    let room = admin.post("/api/v1/rooms", &wish).await.unwrap().success().unwrap();
    room.text("roomId").unwrap()
}

/// Every message that the room shows, oldest first, once the stores have reached the position.
async fn contents(admin: &Rest, room: &str, position: &str) -> Vec<String> {
    let mut path = format!("/api/v1/rooms/{room}/messages?limit=200");
    let mut found = Vec::new();
    loop {
        let page = admin.get_at(&path, Some(position)).await.unwrap().success().unwrap();
        let items = page.items().unwrap().iter();
        found.extend(items.map(|item| item["content"].as_str().unwrap().to_owned()));
        let Ok(cursor) = page.text("nextCursor") else { break };
        path = format!("/api/v1/rooms/{room}/messages?limit=200&cursor={cursor}");
    }
    found.reverse();
    found
}

/// From here on the process can write no file beyond `bytes`: the system answers such a write with
/// an error that is not "disk full".
fn limit_files(server: &Server, bytes: u64) {
    let pid = i32::try_from(server.process().unwrap().id()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(bytes), maximum: None };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

/// The length of the log's newest segment.
fn newest_segment(server: &Server) -> u64 {
    let entries = fs::read_dir(server.data_dir().join("log")).unwrap().flatten();
    let segments = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "seg"));
    segments.map(|entry| entry.metadata().unwrap().len()).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_write_its_log_ends_and_comes_back_with_all_it_acknowledged() {
    let _turn = quiet::beside_others().await.unwrap();
    // The error instead of the signal that would otherwise come with it.
    let settings = Settings { prelude: Some("trap '' XFSZ".to_owned()), ..Settings::default() };
    let mut server = Server::start(settings).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = channel(&admin).await;
    limit_files(&server, newest_segment(&server));
    let path = format!("/api/v1/rooms/{room}/messages");
    let (mut acknowledged, mut position, mut number) = (Vec::new(), String::new(), 0);
    let begun = Instant::now();
    while server.is_running() {
        assert!(begun.elapsed() < SOON, "it goes on\n{}", server.log_tail());
        number += 1;
        let text = format!("{number} {}", "words ".repeat(3_000));
        let Ok(answer) = admin.post(&path, &json!({ "content": text })).await else { continue };
        match answer.success() {
            Ok(sent) => {
                position = sent.text("position").unwrap();
                acknowledged.push(text);
            }
            // What could not be written is never said to be there.
            Err(_) => assert!([500, 503, 504].contains(&answer.status), "{}", answer.status),
        }
    }
    let exit = server.wait_ended(SOON).await.unwrap();
    assert_eq!(exit, Exit::Code(1), "{}", server.log_tail());
    assert!(server.output().contains("the log's disk failed"), "{}", server.log_tail());
    assert!(!acknowledged.is_empty() && acknowledged.len() < 1_000, "{}", acknowledged.len());

    server.begin().await.unwrap();
    let found = contents(&admin, &room, &position).await;
    assert!(found.starts_with(&acknowledged), "{} of {}", found.len(), acknowledged.len());
    // One that was under way may be there or not, but no more than it.
    assert!(found.len() <= acknowledged.len() + 1);
    admin.post(&path, &json!({"content": "again"})).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_short_is_refused_and_named_and_not_touched() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = channel(&admin).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    for number in 0..50 {
        admin
            .post(&path, &json!({"content": number.to_string()}))
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    assert_eq!(server.terminate(SOON).await.unwrap().0, Exit::Code(0));
    let log = server.data_dir().join("log");
    let segment = fs::read_dir(&log).unwrap().flatten().map(|entry| entry.path());
    let segment =
        segment.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().unwrap();
    let whole = fs::read(&segment).unwrap();
    let written = whole.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&segment, &whole[..written / 2]).unwrap();
    server.spawn().unwrap();
    assert_eq!(server.wait_ended(SOON).await.unwrap(), Exit::Code(1));
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(server.output().contains(name), "{}", server.log_tail());
    assert_eq!(fs::read(&segment).unwrap(), whole[..written / 2], "it must not be touched");
    fs::write(&segment, &whole).unwrap();
    server.begin().await.unwrap();
    admin.post(&path, &json!({"content": "again"})).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stood_still_for_ten_seconds_goes_on_with_everyone_and_everything() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let ada = server.rest_as("ada");
    let room = channel(&ada).await;
    let (mut sender, mut receiver) =
        socket::connect(server.address(), &token::of("ada"), "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    let path = format!("/api/v1/rooms/{room}/messages");
    let say =
        |number: u32| json!({"content": number.to_string(), "clientMessageId": number.to_string()});
    ada.post(&path, &say(0)).await.unwrap().success().unwrap();
    receiver.next_of("message", SOON).await.unwrap();

    let process = server.process().unwrap();
    process.pause().unwrap();
    // Sent while it stands still; whoever waits for an answer gets it afterwards.
    let mut payload = say(1);
    payload["roomId"] = room.as_str().into();
    sender.send("message", payload, "1").await.unwrap();
    let (waiting, again) = (server.rest_as("ada"), server.rest_as("ada"));
    let (path, body) = (path.as_str(), say(2));
    let (one, other, ()) = tokio::join!(
        waiting.post(path, &body),
        // The same again, from a client that lost its patience.
        again.post(path, &body),
        async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            process.go_on().unwrap();
        }
    );
    let (one, other) = (one.unwrap().success().unwrap(), other.unwrap().success().unwrap());
    assert_eq!(one.text("messageId").unwrap(), other.text("messageId").unwrap());
    let (mut acknowledged, mut seqs) = (false, Vec::new());
    while !acknowledged || seqs.len() < 2 {
        let Incoming::Frame(kind, frame) = receiver.next().await else { panic!("it was cut off") };
        acknowledged |= kind == "ack";
        if kind == "message" {
            seqs.push(frame["payload"]["seq"].as_u64().unwrap());
        }
    }
    assert_eq!(seqs, [3, 4], "room, 0, then both in order");
    let last = ada.post(path, &say(3)).await.unwrap().success().unwrap();
    let mut found = contents(&ada, &room, &last.text("position").unwrap()).await;
    assert_eq!((found.remove(0), found.pop().unwrap()), ("0".to_owned(), "3".to_owned()));
    found.sort();
    assert_eq!(found, ["1", "2"], "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_write_its_accounts_says_so_and_serves_what_it_can() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings { prelude: Some("trap '' XFSZ".to_owned()), ..Settings::default() };
    let mut server = Server::start(settings).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = channel(&admin).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    let body = json!({"username": "cy", "email": "cy@example.org", "password": "a long password"});
    let registered = server.rest().post("/api/v1/auth/register", &body).await.unwrap();
    let mut token = registered.success().unwrap().text("refreshToken").unwrap();
    let note = async || {
        let ready = server.rest().get("/readyz").await.unwrap();
        assert_eq!(ready.status, 200);
        ready.value().unwrap()["checks"]["accounts"].clone()
    };
    assert_eq!(note().await, "ok");
    // The accounts' journal comes to this end; the log, to which less is written, does not.
    limit_files(&server, 48 * 1024);
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < SOON, "it goes on\n{}", server.log_tail());
        let refresh = json!({ "refreshToken": token });
        let answer = server.rest().post("/api/v1/auth/refresh", &refresh).await.unwrap();
        match answer.success() {
            Ok(tokens) => token = tokens.text("refreshToken").unwrap(),
            Err(_) => break assert!([500, 503].contains(&answer.status), "{}", answer.status),
        }
    }
    let told = note().await.as_str().unwrap().to_owned();
    assert!(told.contains("takes no more writes") && !told.contains('/'), "{told}");
    let sent = admin.post(&path, &json!({"content": "still"})).await.unwrap().success().unwrap();
    assert_eq!(contents(&admin, &room, &sent.text("position").unwrap()).await, ["still"]);
    // Started again it takes the token that was the last to be told of.
    server.kill();
    server.begin().await.unwrap();
    let refresh = json!({ "refreshToken": token });
    server.rest().post("/api/v1/auth/refresh", &refresh).await.unwrap().success().unwrap();
}
