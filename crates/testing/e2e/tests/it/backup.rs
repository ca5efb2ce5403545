//! Backups under load, and what becomes of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Said, Server, Settings, quiet, run};
use klatch_e2e::socket;
use klatch_e2e::token;
use serde_json::json;

/// Messages of a room by seq: id and words.
type Room = BTreeMap<u64, (String, String)>;

/// The part of a position behind the dot.
fn offset(position: &str) -> u64 {
    position.rsplit('.').next().unwrap().parse().unwrap()
}

async fn make_room(owner: &Rest) -> String {
    let made = owner.post("/api/v1/rooms", &json!({"type": "group"})).await.unwrap();
    made.success().unwrap().text("roomId").unwrap()
}

/// Says things until it is told to stop; what was acknowledged, as (offset, seq, id, words).
async fn speak(
    rest: Rest,
    room: String,
    stop: Arc<AtomicBool>,
) -> (String, Vec<(u64, u64, String, String)>) {
    let mut said = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let words = format!("{room} {n}");
        let path = format!("/api/v1/rooms/{room}/messages");
        let ack = rest.post(&path, &json!({"content": words})).await.unwrap().success().unwrap();
        let position = offset(&ack.text("position").unwrap());
        said.push((position, ack.number("seq").unwrap(), ack.text("messageId").unwrap(), words));
    }
    (room, said)
}

/// Everything in a room, read page by page.
async fn read(rest: &Rest, room: &str) -> Room {
    let mut found = Room::new();
    let mut after = 0;
    loop {
        let path = format!("/api/v1/rooms/{room}/messages?after={after}&limit=200");
        let page = rest.get(&path).await.unwrap().success().unwrap();
        let items = page.items().unwrap().clone();
        for item in &items {
            let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
            let seq = item["seq"].as_u64().unwrap();
            found.insert(seq, (text("messageId"), text("content")));
            after = after.max(seq);
        }
        if items.is_empty() {
            return found;
        }
    }
}

fn back_up(server: &Server, to: &Path, keys_to: &Path) -> Said {
    let data = server.data_dir();
    let paths = [&data, to, keys_to].map(|path| path.to_str().unwrap());
    let [data, to, keys_to] = paths;
    let arguments = ["backup", "--data-dir", data, "--to", to, "--keys-to", keys_to];
    run(&arguments, &[], server.data_dir().parent().unwrap()).unwrap()
}

fn restore(from: &Path, keys_from: &Path, data: &Path) -> Said {
    let [from, keys_from, data] = [from, keys_from, data].map(|path| path.to_str().unwrap());
    let arguments = ["restore", "--from", from, "--keys-from", keys_from, "--data-dir", data];
    run(&arguments, &[], Path::new("/")).unwrap()
}

/// The position in what `backup` said.
fn position_of(said: &Said) -> String {
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    let line = said.out.lines().next().unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_under_load_holds_all_that_was_acknowledged_before_it() {
    let _turn = quiet::beside_others().await.unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let place = |name: &str| temporary.path().join(name);
    // Small segments, so that some are sealed while they are copied.
    let settings = Settings::default().with("KLATCH_LOG__SEGMENT_MIB", "1");
    let server = Server::start(settings).await.unwrap();
    let ada = server.rest_as("ada");
    let named = json!({"type": "channel", "name": "kept", "visibility": "public"});
    ada.post("/api/v1/rooms", &named).await.unwrap().success().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut speakers = Vec::new();
    for name in ["ada", "bob", "cy", "dee"] {
        let rest = server.rest_as(name);
        let room = make_room(&rest).await;
        speakers.push(tokio::spawn(speak(rest, room, Arc::clone(&stop))));
    }
    let first = make_room(&ada).await;
    let path = format!("/api/v1/rooms/{first}/messages");
    let before = ada.post(&path, &json!({"content": "x"})).await.unwrap().success().unwrap();
    let before = before.text("position").unwrap();
    let (to, keys_to) = (place("backup"), place("keys"));
    let said = tokio::task::block_in_place(|| back_up(&server, &to, &keys_to));
    let position = position_of(&said);
    assert!(said.out.contains("while the server runs"), "{}", said.out);
    assert!(offset(&position) >= offset(&before), "{position} {before}");
    // Taken after it: must not be taken for ever.
    let later = json!({"type": "channel", "name": "later", "visibility": "public"});
    ada.post("/api/v1/rooms", &later).await.unwrap().success().unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for speaker in speakers {
        acknowledged.push(speaker.await.unwrap());
    }

    let data = place("restored");
    let said = restore(&to, &keys_to, &data);
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    let again = Server::start(Settings::default().on(&data)).await.unwrap();
    let mut held = 0;
    for ((room, acknowledged), name) in acknowledged.iter().zip(["ada", "bob", "cy", "dee"]) {
        let whole = read(&server.rest_as(name), room).await;
        let restored = read(&again.rest_as(name), room).await;
        for (at, seq, id, words) in acknowledged {
            if *at <= offset(&position) {
                assert_eq!(restored.get(seq), Some(&(id.clone(), words.clone())), "{room} {seq}");
                held += 1;
            }
        }
        // The same order and ids, and nothing else: a prefix of what the server has.
        assert!(restored.iter().eq(whole.iter().take(restored.len())), "{room}");
    }
    assert!(held > 20, "only {held} messages came before the backup");
    // The life of the log is another one.
    let (kind, payload) =
        socket::resume_at(again.address(), &token::of("ada"), &before).await.unwrap();
    assert_eq!((kind.as_str(), &payload["reason"]), ("invalid", &json!("epoch_changed")));
    let stale = again.rest_as("ada").get_at("/api/v1/rooms", Some(&before)).await.unwrap();
    stale.problem(400, "invalid_position").unwrap();
    // Names: one from before is held, one from after is free again.
    let ada = again.rest_as("ada");
    ada.post("/api/v1/rooms", &named).await.unwrap().problem(409, "name_taken").unwrap();
    ada.post("/api/v1/rooms", &later).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_by_name_and_bad_places_too() {
    let _turn = quiet::beside_others().await.unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let place = |name: &str| temporary.path().join(name);
    let mut server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let room = make_room(&admin).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    admin.post(&path, &json!({"content": "hello"})).await.unwrap().success().unwrap();

    let data = server.data_dir();
    let inside = data.join("backup");
    for (to, keys_to) in [
        (place("a"), place("a")),
        (place("a"), place("a/keys")),
        (inside.clone(), place("keys")),
        (place("a"), inside),
        (place("a"), data.join("keys")),
    ] {
        let said = back_up(&server, &to, &keys_to);
        assert_eq!(said.exit, Exit::Code(1), "{to:?} {keys_to:?}: {}", said.out);
        assert!(said.err.contains("are not apart"), "{}", said.err);
    }
    // Offline as well, and the keys in the same place again.
    position_of(&back_up(&server, &place("online"), &place("keys")));
    server.terminate(std::time::Duration::from_secs(20)).await.unwrap();
    let said = back_up(&server, &place("offline"), &place("keys"));
    position_of(&said);
    assert!(said.out.contains("of a server at rest"), "{}", said.out);
    let said = back_up(&server, &place("offline"), &place("keys"));
    assert!(said.err.contains("is not empty"), "{}", said.err);

    let mut files = Vec::new();
    for half in ["offline", "keys"] {
        list(&place(half), &mut files);
    }
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let mut bent = bytes.clone();
        let at = bent.len() / 2;
        bent[at] ^= 1;
        std::fs::write(&file, &bent).unwrap();
        let said = restore(&place("offline"), &place("keys"), &place("new"));
        assert_eq!(said.exit, Exit::Code(1), "{file:?}");
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(said.err.contains(name) && said.err.contains("damaged"), "{name}: {}", said.err);
        assert!(!place("new").exists() && !place("new.restoring").exists());
        std::fs::write(&file, &bytes).unwrap();
    }
    let swapped = restore(&place("keys"), &place("offline"), &place("new"));
    assert!(swapped.err.contains("the other half"), "{}", swapped.err);

    // The older data with the newest keys: they open everything.
    let said = restore(&place("online"), &place("keys"), &place("new"));
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("1 sessions ended"), "{}", said.out);
    let again = Server::start(Settings::default().on(&place("new"))).await.unwrap();
    // Who was signed in signs in again, with the same password.
    let old = Rest::new(again.address(), admin.token().map(str::to_owned));
    old.get("/api/v1/users/me").await.unwrap().problem(401, "invalid_token").unwrap();
    let login = json!({"login": "root", "password": "correct horse battery staple"});
    let answer = again.rest().post("/api/v1/auth/login", &login).await.unwrap();
    let token = answer.success().unwrap().text("accessToken").unwrap();
    let again = Rest::new(again.address(), Some(token));
    let words: Vec<_> = read(&again, &room).await.into_values().map(|(_, words)| words).collect();
    assert_eq!(words, ["hello"]);
    let said = restore(&place("online"), &place("keys"), &place("new"));
    assert!(said.err.contains("is there already"), "{}", said.err);
}

fn list(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, out) } else { out.push(path) }
    }
}
