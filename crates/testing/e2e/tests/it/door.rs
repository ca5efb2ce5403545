//! Too many at once: per person, per second, and for the process's files.

use std::collections::BTreeSet;
use std::time::Duration;

use klatch_e2e::hostile::Hostile;
use klatch_e2e::server::{Exit, Server, Settings, quiet};
use klatch_e2e::{socket, token};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

/// The status of a refusal, and the seconds it asks to wait.
fn refusal(head: &str) -> (u16, u64) {
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut waits = lines.filter(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    let wait = waits.next().unwrap_or_else(|| panic!("no Retry-After: {head}")).1;
    (status, wait.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_more_than_a_person_may_have_is_refused_until_another_ends() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings::default()
        .with("KLATCH_LIMITS__PROFILE", "default")
        .with("KLATCH_LIMITS__PERSON__CONNECTIONS", "2");
    let server = Server::start(settings).await.unwrap();
    let ada = token::of("ada");
    let first = Hostile::upgraded(server.address(), &ada).await.unwrap();
    let _second = Hostile::upgraded(server.address(), &ada).await.unwrap();
    let (_, head) = Hostile::knock(server.address(), &ada).await.unwrap();
    let (status, wait) = refusal(&head);
    assert!(status == 429 && (1..=5).contains(&wait), "{head}");
    Hostile::upgraded(server.address(), &token::of("bob")).await.unwrap();
    drop(first);
    for _ in 0..200 {
        if Hostile::upgraded(server.address(), &ada).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place of a connection that ended is not given to another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_handshakes_in_a_second_are_sent_away_for_different_times_and_get_in_later() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings::default().with("KLATCH_REALTIME__HANDSHAKES_PER_SECOND", "20");
    let server = Server::start(settings).await.unwrap();
    let address = server.address();
    let mut knocking = Vec::new();
    for n in 0..120 {
        let token = token::of(&format!("user{n}"));
        knocking.push(tokio::spawn(async move { Hostile::knock(address, &token).await.unwrap() }));
    }
    let (mut inside, mut waits) = (0, BTreeSet::new());
    for knock in knocking {
        let (_, head) = knock.await.unwrap();
        if head.starts_with("HTTP/1.1 101 ") {
            inside += 1;
        } else {
            let (status, wait) = refusal(&head);
            assert_eq!(status, 503, "{head}");
            waits.insert(wait);
        }
    }
    assert!((20..120).contains(&inside), "{inside} got in");
    assert!(waits.len() >= 3 && waits.iter().all(|wait| (1..=5).contains(wait)), "{waits:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    Hostile::upgraded(address, &token::of("late")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_few_files_turns_connections_away_and_goes_on_for_those_inside() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings { files: Some(256), ..Settings::default() };
    let mut server = Server::start(settings).await.unwrap();
    let address = server.address();
    let ada = server.rest_as("ada");
    let body = json!({"type": "group", "name": "few"});
    let room = ada.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let path = format!("/api/v1/rooms/{}/messages", room.text("roomId").unwrap());
    let (_sender, mut receiver) = socket::connect(address, &token::of("ada"), "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();

    let (mut inside, mut refused) = (Vec::new(), 0);
    for n in 0..400 {
        let (connection, head) =
            Hostile::knock(address, &token::of(&format!("user{n}"))).await.unwrap();
        if head.starts_with("HTTP/1.1 101 ") {
            inside.push(connection);
        } else {
            assert_eq!(refusal(&head).0, 503, "{head}");
            refused += 1;
        }
    }
    assert!(inside.len() > 100 && refused > 100, "{} in, {refused} refused", inside.len());
    let files = server.process().unwrap().open_files().unwrap();
    assert!(files < 256, "{files} of 256 files");
    // And more silent sockets than there are files at all.
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let files = server.process().unwrap().open_files().unwrap();
    assert!(files < 256, "{files} of 256 files");
    assert!(server.is_running());
    drop(silent);
    ada.post(&path, &json!({"content": "still here"})).await.unwrap().success().unwrap();
    let event = receiver.next_of("message", SOON).await.unwrap();
    assert_eq!(event["payload"]["content"], "still here");

    drop(inside);
    tokio::time::sleep(Duration::from_millis(500)).await;
    Hostile::upgraded(address, &token::of("late")).await.unwrap();
    let (exit, _) = server.terminate(Duration::from_secs(20)).await.unwrap();
    assert_eq!(exit, Exit::Code(0), "{}", server.log_tail());
}
