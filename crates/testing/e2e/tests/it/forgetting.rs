//! A log that has forgotten its beginning: nobody notices who only talks.

use std::path::Path;
use std::time::{Duration, Instant};

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Said, Server, Settings, quiet, run};
use klatch_e2e::socket;
use klatch_e2e::token;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// The job looks every second; a machine under load may need some of them.
const FORGOTTEN_MOST: Duration = Duration::from_mins(2);
/// So long that a segment of a MiB holds some two dozen.
const LONG: usize = 39_000;

fn settings() -> Settings {
    Settings::default()
        .with("KLATCH_LOG__SEGMENT_MIB", "1")
        .with("KLATCH_LOG__RETENTION", "12s")
        .with("KLATCH_LOG__KEY_MEMORY", "12s")
}

async fn room(owner: &Rest, body: &Value) -> String {
    let made = owner.post("/api/v1/rooms", body).await.unwrap().success().unwrap();
    made.text("roomId").unwrap()
}

/// Says something; the whole answer.
async fn say(rest: &Rest, room: &str, body: &Value) -> Value {
    let path = format!("/api/v1/rooms/{room}/messages");
    rest.post(&path, body).await.unwrap().success().unwrap().0
}

/// The newest messages of a room, newest first.
async fn history(rest: &Rest, room: &str) -> Vec<Value> {
    let path = format!("/api/v1/rooms/{room}/messages?limit=200");
    rest.get(&path).await.unwrap().success().unwrap().items().unwrap().clone()
}

/// Both rooms' histories are as they were, as soon as the read model has them.
async fn is_as_it_was(rest: &Rest, rooms: [&str; 2], whole: &[Vec<Value>; 2]) {
    let begun = Instant::now();
    loop {
        let found = [history(rest, rooms[0]).await, history(rest, rooms[1]).await];
        if found == *whole {
            return;
        }
        assert!(begun.elapsed() < SOON, "{found:?} instead of {whole:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A number among the metrics.
async fn metric(server: &Server, name: &str) -> u64 {
    let page = server.rest().get("/metrics").await.unwrap();
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
}

fn offset(position: &Value) -> u64 {
    position.as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap()
}

/// Talks elsewhere until the log begins behind `offset`.
async fn until_forgotten(server: &Server, rest: &Rest, busy: &str, offset: u64) {
    let begun = Instant::now();
    while metric(server, "klatch_log_start").await < offset {
        assert!(begun.elapsed() < FORGOTTEN_MOST, "the log still holds offset {offset}");
        assert_eq!(metric(server, "klatch_retention_failures_total").await, 0);
        for _ in 0..8 {
            say(rest, busy, &json!({"content": "x".repeat(LONG)})).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn klatch(arguments: &[&str], data: &Path) -> Said {
    let mut all = arguments.to_vec();
    all.extend(["--data-dir", data.to_str().unwrap()]);
    run(&all, &[], data.parent().unwrap()).unwrap()
}

/// Flips a bit in the middle of what is written in a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// Damages rows of messages wherever they are by now: in the journal, in the largest sorted file.
fn damage_rows(stores: &Path) {
    let keyspaces = std::fs::read_dir(stores.join("messages/1/keyspaces")).unwrap();
    let tables = keyspaces.map(|keyspace| keyspace.unwrap().path().join("tables"));
    let files = tables.filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
    let files = files.map(|file| file.unwrap().path());
    if let Some(largest) = files.max_by_key(|file| file.metadata().unwrap().len()) {
        damage(&largest);
    }
    damage(&stores.join("messages/1/0.jnl"));
}

/// Verified, backed up, killed, rebuilt, restored: the rooms stay as they were.
async fn through_every_mending(server: &mut Server, rooms: [&str; 2], whole: &[Vec<Value>; 2]) {
    // While it serves: verify, and a backup.
    let data = server.data_dir();
    let verified = tokio::task::block_in_place(|| klatch(&["verify"], &data));
    assert_eq!(verified.exit, Exit::Code(0), "{}{}", verified.out, verified.err);
    assert_eq!(verified.out.matches("base snapshot").count(), 2, "{}", verified.out);
    let copies = tempfile::tempdir().unwrap();
    let place = |name: &str| copies.path().join(name).to_str().unwrap().to_owned();
    let (to, keys_to) = (place("backup"), place("keys"));
    let backup = ["backup", "--to", to.as_str(), "--keys-to", keys_to.as_str()];
    let said = tokio::task::block_in_place(|| klatch(&backup, &data));
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);

    // Killed, rebuilt, restored: the same rows.
    server.kill();
    server.begin().await.unwrap();
    let ada = server.rest_as("ada");
    is_as_it_was(&ada, rooms, whole).await;
    server.terminate(SOON).await.unwrap();
    let said = klatch(&["rebuild"], &data);
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    assert_eq!(said.out.matches("base snapshot").count(), 2, "{}", said.out);
    std::fs::remove_dir_all(data.join("stores")).unwrap();
    server.begin().await.unwrap();
    let ada = server.rest_as("ada");
    is_as_it_was(&ada, rooms, whole).await;
    let restored = copies.path().join("data");
    let restore = ["restore", "--from", to.as_str(), "--keys-from", keys_to.as_str()];
    let said = klatch(&restore, &restored);
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("from the snapshot and the log"), "{}", said.out);
    assert!(said.out.contains("0 names given back"), "{}", said.out);
    let other = Server::start(settings().on(&restored)).await.unwrap();
    let ada = other.rest_as("ada");
    is_as_it_was(&ada, rooms, whole).await;
    let more = say(&ada, rooms[1], &json!({"content": "after all"})).await;
    assert_eq!(more["seq"].as_u64().unwrap(), whole[1][0]["seq"].as_u64().unwrap() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_there_after_the_log_has_forgotten_them_and_through_every_mending() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(settings()).await.unwrap();
    let (ada, bob) = (server.rest_as("ada"), server.rest_as("bob"));
    let me = bob.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let with_bob = json!({"type": "direct", "memberIds": [me.text("userId").unwrap()]});
    let direct = room(&ada, &with_bob).await;
    let still = room(&ada, &json!({"type": "channel", "name": "quiet"})).await;
    let busy = room(&ada, &json!({"type": "group"})).await;
    let keyed = json!({"content": "with a key", "clientMessageId": "k"});
    let first = say(&ada, &direct, &json!({"content": "hello bob"})).await;
    let with_key = say(&ada, &still, &keyed).await;
    assert_eq!(say(&ada, &still, &keyed).await, with_key, "a retry gets the first answer");
    for n in 0..5 {
        say(&ada, &still, &json!({"content": format!("early {n}")})).await;
    }
    let rooms = [direct.as_str(), still.as_str()];
    let last = say(&ada, &busy, &json!({"content": "mark"})).await;
    let at = Some(last["position"].as_str().unwrap());
    for room in rooms {
        let path = format!("/api/v1/rooms/{room}/messages");
        ada.get_at(&path, at).await.unwrap().success().unwrap();
    }
    let before = [history(&ada, &direct).await, history(&ada, &still).await];
    assert_eq!((before[0].len(), before[1].len()), (1, 6));
    until_forgotten(&server, &ada, &busy, offset(&last["position"])).await;

    // What was said is there, and goes on where it was.
    is_as_it_was(&ada, rooms, &before).await;
    let old = first["position"].as_str().unwrap();
    let (kind, payload) =
        socket::resume_at(server.address(), &token::of("ada"), old).await.unwrap();
    assert_eq!((kind.as_str(), &payload["reason"]), ("invalid", &json!("forgotten")));
    let again = ada.post("/api/v1/rooms", &with_bob).await.unwrap();
    assert_eq!(again.status, 200, "the room of the pair is there");
    assert_eq!(again.success().unwrap().text("roomId").unwrap(), direct);
    let path = format!("/api/v1/rooms/{still}/messages");
    let late = ada.post(&path, &keyed).await.unwrap();
    late.problem(422, "idempotency_mismatch").unwrap();
    let fresh = json!({"content": "late", "clientMessageId": "fresh"});
    let next = say(&ada, &still, &fresh).await;
    assert_eq!(next["seq"].as_u64().unwrap(), with_key["seq"].as_u64().unwrap() + 6);
    assert_eq!(say(&ada, &still, &fresh).await, next);
    let taken = json!({"type": "channel", "name": "quiet"});
    bob.post("/api/v1/rooms", &taken).await.unwrap().problem(409, "name_taken").unwrap();

    let at = Some(next["position"].as_str().unwrap());
    ada.get_at(&path, at).await.unwrap().success().unwrap();
    let whole = [history(&ada, &direct).await, history(&ada, &still).await];
    assert_eq!(whole[1].len(), 7);
    through_every_mending(&mut server, rooms, &whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_named_and_lets_nothing_be_forgotten() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(settings()).await.unwrap();
    let ada = server.rest_as("ada");
    let busy = room(&ada, &json!({"type": "group"})).await;
    let first = say(&ada, &busy, &json!({"content": "first"})).await;
    until_forgotten(&server, &ada, &busy, offset(&first["position"])).await;
    server.terminate(SOON).await.unwrap();
    let data = server.data_dir();
    damage_rows(&data.join("snapshot/stores"));
    let said = klatch(&["verify"], &data);
    assert_eq!(said.exit, Exit::Code(1), "{}{}", said.out, said.err);
    assert!(said.out.contains("snapshot could not be verified"), "{}", said.out);
    assert!(said.out.contains("is damaged"), "{}", said.out);
    assert!(said.err.contains("klatch rebuild"), "{}", said.err);

    server.begin().await.unwrap();
    let ada = server.rest_as("ada");
    let begun = Instant::now();
    while metric(&server, "klatch_retention_failures_total").await == 0 {
        assert!(begun.elapsed() < FORGOTTEN_MOST, "nothing was tried");
        for _ in 0..8 {
            say(&ada, &busy, &json!({"content": "x".repeat(LONG)})).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let start = metric(&server, "klatch_log_start").await;
    assert!(start >= offset(&first["position"]));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(metric(&server, "klatch_log_start").await, start);
    assert_eq!(metric(&server, "klatch_log_forgotten_segments_total").await, 0);

    // Made anew of the read models, it goes on.
    server.terminate(SOON).await.unwrap();
    let said = klatch(&["rebuild", "snapshot"], &data);
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    server.begin().await.unwrap();
    let ada = server.rest_as("ada");
    until_forgotten(&server, &ada, &busy, start + 1).await;
}
