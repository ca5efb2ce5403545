//! What a machine does to a server: taken ports and directories, damaged files, a full disk.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Server, Settings, quiet, run};
use serde_json::json;

/// A room of the administrator with `messages` in it.
async fn talk(admin: &Rest, messages: usize) -> String {
    let wish = json!({ "type": "channel", "name": "talk" });
    let room = admin.post("/api/v1/rooms", &wish).await.unwrap().success().unwrap();
    let room = room.text("roomId").unwrap();
    for n in 0..messages {
        send(admin, &room, &format!("message {n}")).await;
    }
    room
}

async fn send(admin: &Rest, room: &str, content: &str) {
    let path = format!("/api/v1/rooms/{room}/messages");
    let sent = admin.post(&path, &json!({ "content": content })).await.unwrap();
    sent.success().unwrap();
}

/// How many messages the room shows, once the stores have what the log has.
async fn history(admin: &Rest, room: &str, expected: usize) {
    let path = format!("/api/v1/rooms/{room}/messages?limit=200");
    for _ in 0..100 {
        let page = admin.get(&path).await.unwrap().success().unwrap();
        let shown = page.items().unwrap().len();
        assert!(shown <= expected, "{shown} of {expected}");
        if shown == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the room never showed its {expected} messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_and_a_taken_directory_are_told_and_leave_the_first_server_alone() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = talk(&admin, 3).await;
    let here = tempfile::tempdir().unwrap();
    let (address, dir) = (server.address().to_string(), server.data_dir());
    let said =
        run(&["serve", "--listen", &address, "--data-dir", "other"], &[], here.path()).unwrap();
    assert!(said.exit == Exit::Code(1) && said.err.contains("--listen"), "{said:?}");
    let dir = dir.to_str().unwrap();
    let said =
        run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", dir], &[], here.path()).unwrap();
    assert!(
        said.exit == Exit::Code(1) && said.err.contains("in use by another process"),
        "{said:?}"
    );
    send(&admin, &room, "still here").await;
    history(&admin, &room, 4).await;
}

#[test]
fn an_unknown_setting_ends_with_64_and_a_suggestion() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("klatch.toml"), "[server]\nlisten_on = \"127.0.0.1:1\"\n").unwrap();
    let said = run(&["serve"], &[], here.path()).unwrap();
    assert_eq!(said.exit, Exit::Code(64), "{said:?}");
    assert!(said.err.contains("did you mean `listen`"), "{said:?}");
    assert!(!here.path().join("data").exists(), "nothing may be made before the settings fit");
}

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("file"), "in the way").unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "file/data"];
    let said = run(&arguments, &[], here.path()).unwrap();
    assert!(said.exit == Exit::Code(1) && said.err.contains("data directory"), "{said:?}");
}

/// The newest segment of a stopped server, and a byte in the middle of what was written there.
/// Zeros pad what was synced together; they mean nothing, so the byte is not one of them.
fn middle_of_log(server: &Server) -> (PathBuf, usize) {
    let log = server.data_dir().join("log");
    let mut segments: Vec<PathBuf> = fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    segments.sort();
    let segment = segments.pop().unwrap();
    let bytes = fs::read(&segment).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let middle = (written / 2..written).find(|at| bytes[*at] != 0).unwrap();
    (segment, middle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_named_and_refused_and_nothing_is_changed() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = talk(&admin, 50).await;
    let (exit, _) = server.terminate(Duration::from_secs(30)).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
    let (segment, middle) = middle_of_log(&server);
    let whole = fs::read(&segment).unwrap();
    let mut bent = whole.clone();
    bent[middle] ^= 0x10;
    fs::write(&segment, &bent).unwrap();

    server.spawn().unwrap();
    let exit = server.wait_ended(Duration::from_secs(30)).await.unwrap();
    assert!(exit == Exit::Code(1));
    let told = server.output();
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(told.contains(name), "{told}");
    assert_eq!(fs::read(&segment).unwrap(), bent, "a damaged file must not be touched");

    fs::write(&segment, &whole).unwrap();
    server.begin().await.unwrap();
    history(&admin, &room, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_that_were_removed_are_built_again_from_the_log() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = talk(&admin, 50).await;
    server.kill();
    for part in ["stores", "key-index"] {
        fs::remove_dir_all(server.data_dir().join(part)).unwrap();
    }
    server.begin().await.unwrap();
    send(&admin, &room, "after").await;
    history(&admin, &room, 51).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_what_is_accepted_and_nothing_else() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = talk(&admin, 5).await;
    let (exit, _) = server.terminate(Duration::from_secs(30)).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
    // A reserve that no disk has: the same as a disk without space.
    let variable = ("KLATCH_LOG__RESERVE_MIB".to_owned(), "1000000000".to_owned());
    server.settings_mut().variables.push(variable);
    server.begin().await.unwrap();
    let path = format!("/api/v1/rooms/{room}/messages");
    // What is prepared ahead of the end may still be used up; a few of these fill it.
    let long = json!({ "content": "no space ".repeat(2_000) });
    let mut accepted = 5;
    loop {
        let answer = admin.post(&path, &long).await.unwrap();
        if answer.success().is_err() {
            answer.problem(507, "storage_full").unwrap();
            break;
        }
        accepted += 1;
        assert!(accepted < 150, "it never stops");
    }
    history(&admin, &room, accepted).await;
    server.settings_mut().variables.retain(|(name, _)| name != "KLATCH_LOG__RESERVE_MIB");
    let (exit, _) = server.terminate(Duration::from_secs(30)).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
    server.begin().await.unwrap();
    send(&admin, &room, "space again").await;
    history(&admin, &room, accepted + 1).await;
}

/// Free bytes where the server keeps its data.
fn free_bytes(server: &Server) -> u64 {
    // The data directory itself is made by the server.
    let about = rustix::fs::statvfs(server.data_dir().parent().unwrap()).unwrap();
    about.f_bavail * about.f_frsize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_space_returns_sends_are_accepted_again_without_a_restart() {
    const GIB: u64 = 1 << 30;
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::stopped(Settings::default()).unwrap();
    // A file takes the disk's last space away: the reserve begins a gigabyte below what is free.
    // On a disk too small for that, the rest of what is free must do.
    let margin = GIB.min(free_bytes(&server) / 4);
    let reserve = (free_bytes(&server) - margin) >> 20;
    let variable = ("KLATCH_LOG__RESERVE_MIB".to_owned(), reserve.to_string());
    server.settings_mut().variables.push(variable);
    server.begin().await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = talk(&admin, 5).await;
    let filler = server.data_dir().parent().unwrap().join("filler");
    let file = fs::File::create(&filler).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 2 * margin).unwrap();

    let path = format!("/api/v1/rooms/{room}/messages");
    let long = json!({ "content": "no space ".repeat(4_000) });
    let mut accepted = 5;
    // The log's prepared space is used up first; it looks at the disk from time to time.
    let refused = loop {
        let answer = admin.post(&path, &long).await.unwrap();
        if answer.success().is_err() {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 5_000, "it never stops");
    };
    refused.problem(507, "storage_full").unwrap();
    history(&admin, &room, accepted.min(200)).await;

    drop(file);
    fs::remove_file(&filler).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while admin.post(&path, &long).await.unwrap().success().is_err() {
        assert!(std::time::Instant::now() < deadline, "space returned, sends are still refused");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    send(&admin, &room, "space again").await;
}
