//! A real conversation goes through an import that is killed midway, and reads the same live,
//! forwards and backwards.
//!
//! `KLATCH_TEST_CONVERSATION` names a file of the corpus (see `klatch_e2e::ubuntu_irc`); without
//! it a made-up one of the same shape is taken.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use klatch_e2e::rest::{Json, Rest};
use klatch_e2e::server::{Exit, Said, run};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming};
use klatch_e2e::ubuntu_irc::{self, Conversation, Message};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Rooms of a large file that are read whole after the import.
const ROOMS_READ: usize = 12;

fn conversation() -> Conversation {
    let Some(path) = std::env::var_os("KLATCH_TEST_CONVERSATION") else {
        return Conversation::read(sample().as_bytes()).unwrap();
    };
    Conversation::read(ubuntu_irc::open(Path::new(&path)).unwrap()).unwrap()
}

/// Twenty rooms with all that the corpus has: bursts and pauses, system lines, replies, odd names.
fn sample() -> String {
    const SAID: [&str; 6] = [
        "try `lpq -a`",
        "日本語でも 🙂",
        "\\o/ \"quoted\"\ttab",
        "yes",
        "https://a.example/?b=c#d",
        " ",
    ];
    let people = ["Ada", "bob^away", "|Cleo|", "Ναταλία", "d_d"];
    let mut out = String::new();
    for room in 0..20_usize {
        for line in 0..400_usize {
            let (minute, second) = (line / 60, line % 60);
            let mut said = json!({
                "room": format!("sample-{room:02}"), "line": line,
                "time": format!("2019-12-31T2{}:{minute:02}:{second:02}.000Z", room / 10),
            });
            if line % 11 == 10 {
                said["system"] = "someone has joined".into();
            } else {
                said["sender"] = people[(line * line + room) % people.len()].into();
                said["text"] = format!("{} ({line})", SAID[line % SAID.len()]).into();
                if line % 9 == 8 {
                    // What the server said is no message: nobody answers it.
                    let answered = |line: &usize| line % 11 != 10;
                    let before: Vec<usize> = (0..line).rev().filter(answered).take(2).collect();
                    said["replyTo"] = json!(before);
                }
                if line % 13 == 0 {
                    said["action"] = true.into();
                }
            }
            writeln!(out, "{said}").unwrap();
        }
    }
    out
}

fn import(server: &Server, admin: &Rest, file: &Path) -> JoinHandle<Said> {
    let at = format!("http://{}", server.address());
    let token = ("KLATCH_TOKEN".to_owned(), admin.token().unwrap().to_owned());
    let file = file.to_owned();
    tokio::task::spawn_blocking(move || {
        let file_name = file.to_str().unwrap();
        let arguments = ["import", file_name, "--server", &at];
        run(&arguments, &[token], file.parent().unwrap()).unwrap()
    })
}

/// Rooms by name, as the importing administrator sees them.
async fn rooms(admin: &Rest) -> HashMap<String, Json> {
    let mut found = HashMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/rooms?scope=public&limit=200{cursor}");
        let page = admin.get(&path).await.unwrap().success().unwrap();
        for room in page.items().unwrap() {
            found.insert(room["name"].as_str().unwrap().to_owned(), Json(room.clone()));
        }
        match page.0["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// A room's messages in order of seq, read in one direction.
async fn walk(admin: &Rest, room: &str, forwards: bool, limit: usize) -> Vec<Value> {
    let base = format!("/api/v1/rooms/{room}/messages?limit={limit}");
    let mut path = if forwards { format!("{base}&after=0") } else { base.clone() };
    let mut found = Vec::new();
    loop {
        let page = admin.get(&path).await.unwrap().success().unwrap();
        let mut items = page.items().unwrap().clone();
        if forwards {
            items.reverse();
        }
        found.append(&mut items);
        let Some(next) = page.0["nextCursor"].as_str() else { break };
        let word = if forwards { "after" } else { "before" };
        path = format!("{base}&{word}={next}");
    }
    if !forwards {
        found.reverse();
    }
    found
}

fn check(name: &str, expected: &[Message], found: &[Value]) {
    assert_eq!(found.len(), expected.len(), "messages of {name}");
    let ids: HashMap<u64, &Value> = expected
        .iter()
        .zip(found)
        .map(|(message, row)| (message.line, &row["messageId"]))
        .collect();
    let mut people: HashMap<&str, &Value> = HashMap::new();
    let mut last = 0;
    for (message, row) in expected.iter().zip(found) {
        let at = format!("{name} line {}", message.line);
        assert_eq!(row["content"], message.text.as_str(), "{at}");
        assert_eq!(row["createdAt"], message.time.as_str(), "{at}");
        let sender = people.entry(&message.sender).or_insert(&row["senderId"]);
        assert_eq!(*sender, &row["senderId"], "{at}: one person, two ids");
        let answered = message.reply_to.and_then(|line| ids.get(&line).copied());
        assert_eq!(&row["replyTo"], answered.unwrap_or(&Value::Null), "{at}");
        assert!(row["seq"].as_u64().unwrap() > last, "{at}: order");
        last = row["seq"].as_u64().unwrap();
    }
}

/// Everything a connection of the administrator gets, by room: seq and content of each message.
type Heard = BTreeMap<String, Vec<(u64, String)>>;

/// Listens until the server is gone. A connection that is too slow for the import is cut off;
/// then the next one begins.
async fn listen(server: std::net::SocketAddr, token: String) -> Vec<Heard> {
    let mut all = Vec::new();
    while let Ok((mut sender, mut receiver)) = socket::connect(server, &token, "").await {
        // Says that it will not resume, so that events come at once.
        sender.send("ping", json!({}), "p").await.unwrap();
        let mut heard = Heard::new();
        while let Incoming::Frame(kind, frame) = receiver.next().await {
            let payload = &frame["payload"];
            if kind == "message" {
                let said = (payload["seq"].as_u64().unwrap(), payload["content"].to_string());
                heard.entry(payload["roomId"].to_string()).or_default().push(said);
            }
        }
        all.push(heard);
    }
    all
}

/// What was heard is a run of what is there: in order, nothing twice, nothing left out, no ghosts.
fn check_heard(heard: &Heard, room: &str, found: &[Value]) -> usize {
    let Some(said) = heard.get(&json!(room).to_string()) else { return 0 };
    let first = said[0].0;
    let there: Vec<(u64, String)> = found
        .iter()
        .map(|row| (row["seq"].as_u64().unwrap(), row["content"].to_string()))
        .filter(|(seq, _)| *seq >= first)
        .take(said.len())
        .collect();
    assert_eq!(said, &there, "room {room}");
    said.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_reads_the_same_live_forwards_and_backwards_and_survives_kills() {
    let _turn = quiet::beside_others().await.unwrap();
    let conversation = conversation();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let admin = server.register_admin().await.unwrap();
    let file = server.data_dir().parent().unwrap().join("conversation.ndjson");
    ubuntu_irc::write_import(&conversation, std::fs::File::create(&file).unwrap()).unwrap();

    // Killed when some rooms are there and others are not.
    let some = conversation.rooms.len() / 3;
    let broken = import(&server, &admin, &file);
    while rooms(&admin).await.len() < some {
        assert!(!broken.is_finished(), "the import ended before it could be killed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill();
    assert_ne!(broken.await.unwrap().exit, Exit::Code(0));

    server.begin().await.unwrap();
    let ears = tokio::spawn(listen(server.address(), admin.token().unwrap().to_owned()));
    let said = import(&server, &admin, &file).await.unwrap();
    assert_eq!(said.exit, Exit::Code(0), "{}{}", said.out, said.err);
    let again = import(&server, &admin, &file).await.unwrap();
    let nothing = "added 0 users, 0 rooms, 0 members, 0 messages";
    assert!(again.out.contains(nothing) || again.err.contains(nothing), "{again:?}");

    let known = rooms(&admin).await;
    assert_eq!(known.len(), conversation.rooms.len());
    server.kill();
    let heard = ears.await.unwrap();
    server.begin().await.unwrap();
    let step = conversation.rooms.len().div_ceil(ROOMS_READ);
    let mut heard_count = 0;
    // The last rooms came while someone listened.
    for (name, expected) in conversation.rooms.iter().rev().step_by(step) {
        let room = known[name].text("roomId").unwrap();
        let backwards = walk(&admin, &room, false, 200).await;
        check(name, expected, &backwards);
        assert_eq!(walk(&admin, &room, true, 73).await, backwards, "{name}, forwards");
        for heard in &heard {
            heard_count += check_heard(heard, &room, &backwards);
        }
    }
    println!("{heard_count} messages heard over {} connections", heard.len());
    assert!(heard_count > 0, "nobody heard anything");
}
